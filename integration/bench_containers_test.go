package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/libcontainer"
	"github.com/stoa-project/stoa/slave/host"
)

// manyResources are so overstated that whatever a benchmark launches fits at once.
const manyResources = "cpus:1000;mem:1000000;disk:1000"

// isolations are those of real containers.
var isolations = []string{"process", "libcontainer"}

// sleeper is a task that lasts until it is killed.
func sleeper(id string) scheduler.Task {
	return scheduler.Task{ID: id, Name: id, Args: []string{"/bin/sleep", "86400"}, CPUs: 0.1, Mem: 32}
}

// pace is a framework on a cluster of stoa local that says when each update comes.
type pace struct {
	*framework
	updates chan paced
}

type paced struct {
	id    string
	state mesos.TaskState
	at    time.Time
}

func newPace(b *testing.B, c *localCluster, room int) pace {
	p := pace{framework: beginWith(b, scheduler.Options{Master: c.master, Name: "bench", User: integration.DefaultUser}), updates: make(chan paced, room)}
	p.mu.Lock()
	p.hoard = true
	p.onUpdate = func(s *mesos.TaskStatus) { p.updates <- paced{s.GetTaskId().GetValue(), s.GetState(), time.Now()} }
	p.mu.Unlock()
	p.await("it is subscribed", func() bool { return len(p.news()) > 0 })
	return p
}

// launch has tasks run by one ACCEPT of an offer that it waits for, and says when it was sent.
func (p pace) launch(b *testing.B, tasks ...scheduler.Task) (sent time.Time) {
	b.Helper()
	return p.launchAs(b, func(*mesos.TaskInfo) {}, tasks...)
}

// launchAs is launch of tasks that are changed before.
func (p pace) launchAs(b *testing.B, change func(*mesos.TaskInfo), tasks ...scheduler.Task) (sent time.Time) {
	b.Helper()
	p.do(func(d *scheduler.Driver) { d.Revive() })
	p.await("there is an offer", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.offers) > 0
	})
	p.do(func(d *scheduler.Driver) {
		p.mu.Lock()
		defer p.mu.Unlock()
		offer := p.offers[0]
		p.offers = nil
		var infos []*mesos.TaskInfo
		for _, t := range tasks {
			info, err := offer.Take(t)
			if err != nil {
				b.Error(err)
				return
			}
			change(info)
			infos = append(infos, info)
		}
		sent = time.Now()
		d.Launch(offer, infos...)
	})
	return sent
}

// hear waits for n updates of a state, or of an end, and says when the last came.
func (p pace) hear(b *testing.B, n int, want func(mesos.TaskState) bool) (at time.Time) {
	b.Helper()
	patience := time.After(patience)
	for n > 0 {
		select {
		case u := <-p.updates:
			if want(u.state) {
				n, at = n-1, u.at
			} else if isEnd(u.state) {
				b.Fatalf("task %s is %v", u.id, u.state)
			}
		case <-patience:
			b.Fatalf("%d updates are missing", n)
		}
	}
	return at
}

func isRunning(s mesos.TaskState) bool { return s == mesos.TaskState_TASK_RUNNING }

func isEnd(s mesos.TaskState) bool {
	return s != mesos.TaskState_TASK_STAGING && s != mesos.TaskState_TASK_STARTING && s != mesos.TaskState_TASK_RUNNING && s != mesos.TaskState_TASK_KILLING
}

// One task at a time: from its scheduler's ACCEPT to TASK_RUNNING, and from the end of its process, by a signal, to the
// update that says so.
func BenchmarkOneContainerAtATime(b *testing.B) {
	for _, isolation := range isolations {
		b.Run(isolation, func(b *testing.B) {
			if isolation == "libcontainer" {
				needsRoot(b)
			}
			g := newGround(b)
			c := g.local("--slaves", "1", "--isolation", isolation, "--resources", manyResources)
			p := newPace(b, c, 16)
			var starts, ends []time.Duration
			for i := range b.N {
				sent := p.launch(b, sleeper(fmt.Sprint("one-", i)))
				starts = append(starts, p.hear(b, 1, isRunning).Sub(sent))
				var victims []runningProcess
				g.await("its process is seen", func() bool {
					victims = slices.DeleteFunc(g.tasks(), func(p runningProcess) bool { return p.args[0] != "/bin/sleep" })
					return len(victims) == 1
				})
				killed := time.Now()
				if err := syscall.Kill(victims[0].pid, syscall.SIGKILL); err != nil {
					b.Fatal(err)
				}
				ends = append(ends, p.hear(b, 1, isEnd).Sub(killed))
			}
			for name, all := range map[string][]time.Duration{"start": starts, "end": ends} {
				slices.Sort(all)
				b.ReportMetric(milliseconds(all[len(all)/2]), name+"-p50-ms")
				b.ReportMetric(milliseconds(all[len(all)*99/100]), name+"-p99-ms")
			}
			b.Logf("%d tasks: from ACCEPT to TASK_RUNNING p50 %v p99 %v, from the end to its update p50 %v p99 %v", b.N,
				starts[b.N/2], starts[b.N*99/100], ends[b.N/2], ends[b.N*99/100])
			c.interrupt()
		})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// What a slave and its host have in memory that have run one task and are at rest.
func BenchmarkIdleDaemons(b *testing.B) {
	const rest = 5 * time.Second
	for _, isolation := range isolations {
		b.Run(isolation, func(b *testing.B) {
			if isolation == "libcontainer" {
				needsRoot(b)
			}
			g := newGround(b)
			c := g.local("--slaves", "1", "--isolation", isolation)
			c.on("run", "--", "true").expect(0)
			<-time.After(rest) // that is what is measured
			for _, name := range []string{"slave", "host"} {
				resident := residentBytes(b, g.daemons(name))
				b.ReportMetric(float64(resident)/1e6, name+"-MB")
				b.Logf("an idle %s has %.1f MB", name, float64(resident)/1e6)
			}
			c.interrupt()
		})
	}
}

// A thousand tasks that sleep on one slave: how long until all run, what slave and host take then and when they have come to
// rest, how long it takes to ask for the statistics of all, and how long until all are killed and nothing of them is left.
func BenchmarkAThousandSleepers(b *testing.B) {
	const tasks, watched = 1000, 5 * time.Second
	for _, isolation := range isolations {
		b.Run(isolation, func(b *testing.B) {
			if isolation == "libcontainer" {
				needsRoot(b)
			}
			g := newGround(b)
			c := g.local("--slaves", "1", "--isolation", isolation, "--resources", manyResources)
			p := newPace(b, c, 10*tasks)
			var sleepers []scheduler.Task
			for i := range tasks {
				sleepers = append(sleepers, sleeper(fmt.Sprint("sleeper-", i)))
			}
			daemons := append(g.daemons("slave"), g.daemons("host")...)
			if len(daemons) != 2 {
				b.Fatalf("slave and host are %v", daemons)
			}
			slave := c.slaveClient(b)
			defer slave.Close()
			before := residentBytes(b, daemons)

			sent := p.launch(b, sleepers...)
			launched := p.hear(b, tasks, isRunning).Sub(sent)
			launching := residentBytes(b, daemons)

			used, begun := cpuTime(b, daemons), time.Now()
			<-time.After(watched) // that is what is measured
			idle := (cpuTime(b, daemons) - used).Seconds() / time.Since(begun).Seconds()
			resident := residentBytes(b, daemons)

			statistics := fastest(b, func() error {
				all, err := slave.Statistics(b.Context())
				if err == nil && len(all.GetContainers()) != tasks {
					err = fmt.Errorf("%d containers have statistics, want %d", len(all.GetContainers()), tasks)
				}
				return err
			})

			begun = time.Now()
			p.do(func(d *scheduler.Driver) {
				for _, t := range sleepers {
					d.Kill(t.ID, 0)
				}
			})
			told := p.hear(b, tasks, isEnd).Sub(begun)
			g.await("nothing of them is left", func() bool { return len(g.tasks()) == 0 && len(g.containerCgroups()) == 0 })
			gone := time.Since(begun)

			b.ReportMetric(launched.Seconds(), "launch-s")
			b.ReportMetric(float64(launching)/1e6, "launching-MB")
			b.ReportMetric(float64(resident)/1e6, "resident-MB")
			b.ReportMetric(100*idle, "idle-%core")
			b.ReportMetric(milliseconds(statistics), "statistics-ms")
			b.ReportMetric(gone.Seconds(), "gone-s")
			b.Logf("%d sleepers run after %v; slave and host have %.1f MB then (%.1f MB without them), %.1f MB at rest, and use %.1f %% of a core; "+
				"statistics of all take %v; after the kills all are told of in %v and gone in %v", tasks, launched.Round(time.Millisecond),
				float64(launching)/1e6, float64(before)/1e6, float64(resident)/1e6, 100*idle, statistics.Round(time.Millisecond), told.Round(time.Millisecond), gone.Round(time.Millisecond))
			c.interrupt()
		})
	}
}

// What a user waits for when a command does nothing five hundred times: stoa run --instances 500 -- true on one slave where
// all fit at once. The floors are as many bare commands, one after another, and for libcontainer as many containers of the
// same configuration that the library makes alone, as many at a time.
func BenchmarkFiveHundredInstances(b *testing.B) {
	const instances = 500
	for _, isolation := range isolations {
		b.Run(isolation, func(b *testing.B) {
			if isolation == "libcontainer" {
				needsRoot(b)
			}
			g := newGround(b)
			c := g.local("--slaves", "1", "--isolation", isolation, "--resources", manyResources)
			c.on("run", "--", "true").expect(0)
			for b.Loop() {
				c.on("run", "--instances", fmt.Sprint(instances), "--", "/bin/true").expect(0)
			}
			whole := b.Elapsed() / time.Duration(b.N)
			c.interrupt()
			commands := fastest(b, func() error {
				for range instances {
					if err := exec.Command("/bin/true").Run(); err != nil {
						return err
					}
				}
				return nil
			})
			floor, bare := commands, ""
			if isolation == "libcontainer" {
				floor = bareContainers(b, g, instances)
				bare = fmt.Sprintf(", as many bare containers %v", floor.Round(time.Millisecond))
				b.ReportMetric(float64(whole)/float64(commands), "x-exec")
			}
			b.ReportMetric(whole.Seconds(), "run-s")
			b.ReportMetric(floor.Seconds(), "floor-s")
			b.ReportMetric(float64(whole)/float64(floor), "x-floor")
			b.Logf("%d instances take %v, as many bare commands %v%s", instances, whole.Round(time.Millisecond), commands.Round(time.Millisecond), bare)
		})
	}
}

// bareProgram is the test binary as a program that makes containers by the library alone and says how long that took.
const (
	bareProgram  = "bare"
	bareDirEnv   = "STOA_TEST_BARE_DIR"
	bareCountEnv = "STOA_TEST_BARE_COUNT"
)

// bareContainers is how long count containers take that do nothing and that libcontainer makes alone. It is a process of
// its own that makes them, sealed as a host is.
func bareContainers(b *testing.B, g *ground, count int) time.Duration {
	b.Helper()
	dir := filepath.Join(g.tmp, "bare")
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), programEnv+"="+bareProgram, bareDirEnv+"="+dir, bareCountEnv+"="+fmt.Sprint(count))
	command.Stderr = os.Stderr
	said, err := command.Output()
	if err != nil {
		b.Fatal(err)
	}
	took, err := time.ParseDuration(strings.TrimSpace(string(said)))
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// runBareContainers is bareProgram.
func runBareContainers() (err error) {
	if err := libcontainer.Seal(); err != nil {
		return err
	}
	count, err := strconv.Atoi(os.Getenv(bareCountEnv))
	if err != nil {
		return err
	}
	work := filepath.Join(os.Getenv(bareDirEnv), "slave-1") // where a slave of stoa local has it
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	containers, err := libcontainer.New(libcontainer.Options{StateDir: filepath.Join(work, "containers"), HostID: fmt.Sprint("bare-", os.Getpid()), WorkDir: work})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, containers.Close()) }()
	starts := make([]func() error, count)
	for i := range starts {
		id := fmt.Sprint("bare-", i)
		sandbox := filepath.Join(work, "slaves", "S0", "frameworks", "F", "executors", id, "runs", id)
		if err := os.MkdirAll(sandbox, 0o755); err != nil {
			return err
		}
		starts[i], err = libcontainer.Bare(containers, containerizer.Spec{
			ID: id, Sandbox: sandbox, Args: []string{"/bin/true"}, Env: []string{"PATH=" + host.DefaultPath, "HOME=" + sandbox},
			MilliCPUs: 1000, MemoryBytes: 128 << 20, PIDs: host.DefaultPIDs,
		})
		if err != nil {
			return err
		}
	}
	begun := time.Now()
	var group errgroup.Group
	group.SetLimit(host.DefaultParallelStarts)
	for _, start := range starts {
		group.Go(start)
	}
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Println(time.Since(begun))
	return nil
}

// slaveClient is for the only slave of a cluster.
func (c *localCluster) slaveClient(b *testing.B) *client.Client {
	b.Helper()
	var nodes []struct{ Port int }
	if err := json.Unmarshal([]byte(c.on("node", "list", "--json").out.String()), &nodes); err != nil || len(nodes) != 1 {
		b.Fatalf("nodes %v, %v", nodes, err)
	}
	slave, err := client.Connect(client.Options{}, net.JoinHostPort("127.0.0.1", fmt.Sprint(nodes[0].Port)))
	if err != nil {
		b.Fatal(err)
	}
	return slave
}

// residentBytes is what processes have in memory.
func residentBytes(b *testing.B, processes []runningProcess) (sum int64) {
	b.Helper()
	for _, p := range processes {
		status, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.pid), "status"))
		if err != nil {
			b.Fatal(err)
		}
		_, after, _ := strings.Cut(string(status), "VmRSS:")
		var kilobytes int64
		if _, err := fmt.Sscan(after, &kilobytes); err != nil {
			b.Fatal(err)
		}
		sum += kilobytes << 10
	}
	return sum
}

// cpuTime is what processes have used of processors.
func cpuTime(b *testing.B, processes []runningProcess) (sum time.Duration) {
	b.Helper()
	for _, p := range processes {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.pid))
		if err != nil || len(threads) == 0 {
			b.Fatalf("threads of %v: %v", p, err)
		}
		for _, thread := range threads {
			line, _ := os.ReadFile(thread) // ended meanwhile
			var nanoseconds int64
			_, _ = fmt.Sscan(string(line), &nanoseconds)
			sum += time.Duration(nanoseconds)
		}
	}
	return sum
}
