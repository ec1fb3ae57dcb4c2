package hadoop

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/frameworks/scheduler/schedulertest"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

// TestMain lets the test binary be the stoa binary of the tasks.
func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) > 2 && os.Args[1] == TaskSubcommand:
		os.Exit(task.Main(context.Background(), os.Args[2], os.Stdin, os.Stderr))
	case len(os.Args) > 2 && os.Args[1] == "hadoop" && os.Args[2] == WordCountMapperSubcommand:
		err = task.WordCountMap(os.Stdin, os.Stdout)
	case len(os.Args) > 2 && os.Args[1] == "hadoop" && os.Args[2] == WordCountReducerSubcommand:
		err = task.WordCountReduce(os.Stdin, os.Stdout)
	default:
		goleak.VerifyTestMain(m)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// cluster runs tasks as processes: each slave has a folder that no other reads, and a real HTTP server on it.
type cluster struct {
	t      testing.TB
	master *schedulertest.Master
	slaves []*testSlave
	tasks  sync.WaitGroup

	// launching is called for each task before it starts; nil is nothing.
	launching func(s *testSlave, info *mesos.TaskInfo)
	// ended is called for each task after its end, before the master hears of it; nil is nothing.
	ended func(info *mesos.TaskInfo, sandbox string)
}

type testSlave struct {
	id, dir string
	server  *httptest.Server
}

func newCluster(t testing.TB, slaves int) *cluster {
	t.Helper()
	c := &cluster{t: t, master: schedulertest.New(t)}
	for i := range slaves {
		s := &testSlave{id: "S" + strconv.Itoa(i), dir: t.TempDir()}
		s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/files/download" {
				http.NotFound(w, r)
				return
			}
			http.ServeFile(w, r, filepath.Join(s.dir, filepath.FromSlash(r.URL.Query().Get("path"))))
		}))
		t.Cleanup(s.server.Close)
		c.slaves = append(c.slaves, s)
	}
	t.Cleanup(c.tasks.Wait)
	c.master.RunTasks(func(info *mesos.TaskInfo) []mesos.TaskState {
		for _, s := range c.slaves {
			if s.id == info.GetAgentId().GetValue() {
				if c.launching != nil {
					c.launching(s, info)
				}
				c.tasks.Go(func() { c.execute(s, info) })
			}
		}
		return []mesos.TaskState{mesos.TaskState_TASK_RUNNING}
	})
	return c
}

// execute is what a slave does with a task.
func (c *cluster) execute(s *testSlave, info *mesos.TaskInfo) {
	status := c.master.NewStatus(info, mesos.TaskState_TASK_FINISHED)
	place := sandbox.Place{
		SlaveID: s.id, FrameworkID: c.master.FrameworkID(), ExecutorID: info.GetTaskId().GetValue(),
		ContainerID: status.GetContainerStatus().GetContainerId().GetValue(),
	}
	dir := filepath.Join(s.dir, filepath.FromSlash(place.Path("")))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.t.Error(err)
		return
	}
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		c.t.Error(err)
		return
	}
	defer stderr.Close()
	binary, err := os.Executable()
	if err != nil {
		c.t.Error(err)
		return
	}
	cmd := exec.Command("/bin/sh", "-c", info.GetCommand().GetValue())
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, bytes.NewReader(info.GetData()), stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), task.BinaryVariable + "=" + binary}
	if err := cmd.Run(); err != nil {
		status.State, status.Message = mesos.TaskState_TASK_FAILED.Enum(), proto.String("Command "+err.Error())
	}
	if c.ended != nil {
		c.ended(info, dir)
	}
	if len(c.master.Calls(schedulerpb.Call_TEARDOWN)) == 0 {
		c.master.Status(status)
	}
}

// run does a job and offers its slaves whenever the framework wants offers.
func (c *cluster) run(ctx context.Context, o Options) (Result, error) {
	c.t.Helper()
	base := c.master.Options("test")
	o.Master, o.User, o.Network = base.Master, base.User, base.Network
	o.Containers = true // what is run here is a command
	type answer struct {
		result Result
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		result, err := Run(ctx, o)
		done <- answer{result, err}
	}()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case a := <-done:
			return a.result, a.err
		case <-tick.C:
			subscribed := len(c.master.Calls(schedulerpb.Call_SUBSCRIBE)) > 0 && c.master.FrameworkID() != ""
			asked := len(c.master.Calls(schedulerpb.Call_REVIVE)) - len(c.master.Calls(schedulerpb.Call_SUPPRESS))
			if subscribed && asked == 0 && ctx.Err() == nil {
				c.offer()
			}
		}
	}
}

func (c *cluster) offer() {
	var offers []*mesos.Offer
	for _, s := range c.slaves {
		u, err := url.Parse(s.server.URL)
		if err != nil {
			c.t.Fatal(err)
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			c.t.Fatal(err)
		}
		offers = append(offers, &mesos.Offer{
			AgentId: mesos.NewAgentID(s.id), Hostname: proto.String("host-" + s.id),
			Resources: []*mesos.Resource{scalar("cpus", 1), scalar("mem", 1024)},
			Url: &mesos.URL{Scheme: proto.String("http"), Address: &mesos.Address{
				Ip: proto.String(u.Hostname()), Port: proto.Int32(int32(port)),
			}},
		})
	}
	c.master.Offers(offers...)
}
