package integration_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/executor"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos"
)

// The test binary is also a framework and an executor, for tests that kill such processes.

const (
	// programEnv makes the test binary one of these programs.
	programEnv       = "INTEGRATION_TEST_PROGRAM"
	frameworkProgram = "framework"
	executorProgram  = "executor"
	executorLog      = "executor.log"
	// masterEnv tells the framework where its master is.
	masterEnv = "INTEGRATION_TEST_MASTER"
)

// beProgram is the life of such a process. The framework's log goes to stderr, the executor's into a file of its sandbox: its
// stderr goes through the host, which may be stopped.
func beProgram(name string) {
	out, err := os.Stderr, error(nil)
	if name == executorProgram {
		if out, err = os.Create(executorLog); err != nil {
			panic(err)
		}
	}
	log := zerolog.New(out).With().Timestamp().Logger()
	switch name {
	case frameworkProgram:
		options := scheduler.Options{
			Master: os.Getenv(masterEnv), Name: "patient", User: integration.DefaultUser, Checkpoint: true, FailoverTimeout: time.Hour, Log: log,
		}
		err = scheduler.Run(context.Background(), options, &patient{})
	case executorProgram:
		err = executor.Run(context.Background(), executor.Options{Log: log}, idle{})
	case bareProgram:
		err = runBareContainers()
	default:
		err = fmt.Errorf("the test binary is no %q", name)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// patient is a framework with one task, of an executor of its own, that runs for ever.
type patient struct {
	scheduler.Base
	launched bool
}

func (p *patient) Offers(d *scheduler.Driver, offers []*scheduler.Offer) {
	for _, o := range offers {
		task, err := o.Take(scheduler.Task{ID: "idle", Name: "idle", CPUs: 0.1, Mem: 32, Executor: &mesos.ExecutorInfo{
			ExecutorId: mesos.NewExecutorID("idle"), Command: &mesos.CommandInfo{
				Value: proto.String(fmt.Sprintf("exec env %s=%s '%s'", programEnv, executorProgram, os.Args[0])),
			},
		}})
		if p.launched || err != nil {
			d.Decline(o)
			continue
		}
		p.launched = true
		d.Launch(o, task)
	}
}

// idle is an executor whose tasks run until they are killed.
type idle struct{ executor.Base }

func (idle) Launch(d *executor.Driver, task *mesos.TaskInfo) {
	fmt.Println("launched")
	d.Running(task.GetTaskId().GetValue())
}

func (idle) Kill(d *executor.Driver, id string, _ *mesos.KillPolicy) { d.Killed(id) }

// executors lists the processes of the executor program.
func (g *ground) executors() []runningProcess {
	var found []runningProcess
	for _, p := range g.processes() {
		environment, _ := os.ReadFile(filepath.Join("/proc", fmt.Sprint(p.pid), "environ")) // gone in the meantime: not one of them
		if p.args[0] == os.Args[0] && strings.Contains(string(environment), programEnv+"="+executorProgram) {
			found = append(found, p)
		}
	}
	return found
}
