package integration_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
)

// lending is a framework that offers a file of its machine to its tasks.
func lending(t *testing.T, c *integration.Cluster, size int) (f *framework, path string, content []byte, uri *mesos.CommandInfo_URI) {
	t.Helper()
	content = make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(content)
	path = filepath.Join(t.TempDir(), "data.bin")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	files := &scheduler.Files{}
	uri, err := files.Add(path)
	if err != nil {
		t.Fatal(err)
	}
	f = subscribe(t, c, "lender", checkpointing, func(o *scheduler.Options) { o.Files, o.ReconnectTimeout = files, 5*time.Minute })
	return f, path, content, uri
}

func withFile(id string, uri *mesos.CommandInfo_URI, args ...string) scheduler.Task {
	wanted := task(id, args...)
	wanted.URIs = []*mesos.CommandInfo_URI{uri}
	return wanted
}

// sandboxFile is a file of the sandbox of the n-th command that was started.
func sandboxFile(t *testing.T, c *integration.Cluster, n int, name string) (content []byte, executable bool) {
	t.Helper()
	path := filepath.Join(c.Started()[n].Sandbox, name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, info.Mode().Perm() == 0o755
}

func TestAFileOfAFrameworkReachesEachSlaveOnce(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f, path, content, uri := lending(t, c, 1<<20+17)
		f.launchOn("slave1", withFile("first", uri, "sleep", "1s"))
		f.awaitState(mesos.TaskState_TASK_FINISHED, "first")
		if got, executable := sandboxFile(t, c, 0, "data.bin"); !bytes.Equal(got, content) || !executable {
			t.Errorf("the file has %d bytes, executable: %t; want the %d that were sent", len(got), executable, len(content))
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		renamed := proto.CloneOf(uri)
		renamed.OutputFile = proto.String("in/other")
		f.launchOn("slave1", withFile("second", renamed, "sleep", "1s"))
		f.awaitState(mesos.TaskState_TASK_FINISHED, "second")
		if got, _ := sandboxFile(t, c, 1, "in/other"); !bytes.Equal(got, content) {
			t.Errorf("the second task's file has %d bytes", len(got))
		}
		f.launchOn("slave2", withFile("elsewhere", uri, "sleep", "1s"))
		f.awaitState(mesos.TaskState_TASK_FAILED, "elsewhere")
		if m := f.last("elsewhere").GetMessage(); !strings.Contains(m, path+" on the scheduler's machine: no such file") {
			t.Errorf("the message is %q", m)
		}
	}, integration.Slaves(2))
}

func TestAFileThatChangesWhileItIsSentIsNotGivenToATask(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f, path, content, uri := lending(t, c, 8<<20)
		c.Delay("slave1", "master", 200*time.Millisecond)
		f.launchOn("slave1", withFile("t", uri, "sleep", "1s"))
		time.Sleep(2 * time.Second) // of fake time: some parts are there
		if err := os.WriteFile(path, content[1:], 0o755); err != nil {
			t.Fatal(err)
		}
		f.awaitState(mesos.TaskState_TASK_FAILED, "t")
		if m := f.last("t").GetMessage(); !strings.Contains(m, path+" on the scheduler's machine has changed since it was offered") {
			t.Errorf("the message is %q", m)
		}
		if n := len(c.Started()); n != 0 {
			t.Errorf("%d commands were started", n)
		}
	}, integration.Slaves(1))
}

// A file whose way is cut goes on where it was.
func TestAFileSurvivesTheLossOfEachSessionOnItsWay(t *testing.T) {
	for name, cut := range map[string]func(c *integration.Cluster){
		"the slave's":     func(c *integration.Cluster) { c.Break("slave1", "master") },
		"the scheduler's": func(c *integration.Cluster) { c.Break("lender", "master") },
		"the master":      func(c *integration.Cluster) { c.Kill("master"); c.Restart("master") },
		"the slave's, for long": func(c *integration.Cluster) {
			c.Partition("slave1", "master")
			time.Sleep(20 * time.Second) // of fake time
			c.Heal("slave1", "master")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
				f, _, content, uri := lending(t, c, 8<<20)
				c.Delay("slave1", "master", 200*time.Millisecond)
				f.launchOn("slave1", withFile("t", uri, "sleep", "1s"))
				time.Sleep(3 * time.Second) // of fake time: 8 MB take 8<<20/(4*128<<10) = 16 round trips of 0.4 s
				if n := len(c.Started()); n != 0 {
					t.Fatal("the file was there before the connection was cut")
				}
				cut(c)
				f.awaitStateFor(2*time.Minute, mesos.TaskState_TASK_FINISHED, "t")
				if got, _ := sandboxFile(t, c, 0, "data.bin"); !bytes.Equal(got, content) {
					t.Errorf("the file has %d bytes, want %d", len(got), len(content))
				}
			}, integration.Slaves(1))
		})
	}
}

func TestAFileWhoseSchedulerIsGoneEndsItsTaskWithTheReason(t *testing.T) {
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		f, _, _, uri := lending(t, c, 8<<20)
		c.Delay("slave1", "master", 200*time.Millisecond)
		f.launchOn("slave1", withFile("t", uri, "sleep", "1s"))
		time.Sleep(2 * time.Second) // of fake time
		c.Partition("lender", "master")
		time.Sleep(70 * time.Second)
		c.Heal("lender", "master")
		f.awaitStateFor(time.Minute, mesos.TaskState_TASK_FAILED, "t")
		if m := f.last("t").GetMessage(); !strings.Contains(m, "sent nothing for 1m0s: the framework's scheduler is away") {
			t.Errorf("the message is %q", m)
		}
	}, integration.Slaves(1))
}
