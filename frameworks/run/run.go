// Package run is `stoa run`: the smallest real framework, the one to read first. It runs N instances of one command on the
// cluster, shows their output as it comes, and ends with their exit status.
//
//	plan.go     decides, PURE: offers, updates and time go in, operations come out
//	outcome.go  what the end of a task means: exit code, reason, message (PURE)
//	explain.go  why a slave can not run an instance (PURE)
//	runner.go   wires the plan to the scheduler's driver
//	output.go   carries the sandboxes' stdout and stderr to the terminal
//	result.go   what the caller gets
//
// The life of an instance:
//
//	waiting ──offer──▶ launched ──RUNNING──▶ running ──terminal update──▶ ended
//	   ▲                  │
//	   └── never reached ─┘ (the offer was void: nothing ran, so it may be placed again)
//
// A task that is lost together with its slave is not run again: nobody can tell how far it got.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

const (
	// DefaultCPUs and DefaultMem (megabytes of 2^20 bytes) are what an instance gets if it is not said.
	DefaultCPUs = 1
	DefaultMem  = 128
	// MaxInstances bounds the instances of one run: each has two open streams of output.
	MaxInstances = 10_000
	// InterruptTimeout bounds the wait for killed tasks to end: the command executor's grace of 3 s, and some. A longer
	// Options.KillGrace comes on top.
	InterruptTimeout = 8 * time.Second
	// ExplainAfter is how long instances wait before the reasons are shown.
	ExplainAfter = 2 * time.Second
)

// Options say what to run. Command and nothing else is a whole value: one instance on the master of this machine.
type Options struct {
	// Command is the executable and its arguments; it is executed as it is, without a shell.
	Command []string
	// Instances is how many of it; 0 is 1.
	Instances int
	// Name is shown to people; "" is the name of the executable.
	Name string
	// CPUs and GPUs in numbers, Mem and Disk in megabytes (2^20 bytes), for each instance; 0 cpus and mem are their
	// defaults.
	CPUs, GPUs, Mem, Disk float64
	Env                   map[string]string
	// Volume is a persistent volume; nil: none.
	Volume *Volume
	// URIs are fetched into the sandbox of each instance before it starts.
	URIs []*mesos.CommandInfo_URI
	// Files are paths of this machine whose files are sent into the sandbox of each instance, under their own names.
	Files []string
	// PIDs bounds the processes and threads of each instance; 0 is the slave's default.
	PIDs int
	// OpenStdin keeps the standard input of each instance open, for whoever attaches to it; else there is nothing to read.
	OpenStdin bool
	// CFS makes CPUs a ceiling: an instance gets no more even where others are idle.
	CFS bool
	// Container has volumes and resource limits; nil is a plain one.
	Container *mesos.ContainerInfo
	// KillGrace is the time between SIGTERM and SIGKILL for an instance that is ended; nil is the command executor's.
	KillGrace *time.Duration
	// Constraints restrict on which slaves instances run, and how many beside each other.
	Constraints []scheduler.Constraint
	// User runs the command; "" is the current user.
	User string
	// Roles are those whose offers are used, and which are charged for it; none is "*".
	Roles []string
	// MinAllocatable are sets of amounts of one slave of which an offer must have one; nil leaves that to the master, an
	// empty list takes any offer.
	MinAllocatable []resource.Quantities
	// OfferConstraints are groups of conditions of which one must hold of a slave, else the master makes no offer of it.
	OfferConstraints []*scheduler.OfferGroup
	// Refuse is for how long the master does not offer again what was declined, or what an instance left of its offer; nil is
	// scheduler.DefaultRefuse for the former, and no time for the latter.
	Refuse *time.Duration
	// FailoverTimeout is how long instances outlive the connection to the master; 0: they end with it.
	FailoverTimeout time.Duration
	// Timeout ends an instance so long after it began to run; 0 is never.
	Timeout time.Duration
	// PlacementTimeout ends the run when instances have waited so long and none of them could be placed; 0 is never.
	PlacementTimeout time.Duration
	// OutputToErr sends the instances' stdout to err as well, which leaves out to the caller (--json).
	OutputToErr bool

	// Master, the timeouts, Network, TLS and Log are those of scheduler.Options.
	Master                           string
	ConnectTimeout, ReconnectTimeout time.Duration
	Network                          remote.Network
	TLS                              *remote.TLS
	Log                              zerolog.Logger
}

// Run runs the command, streams its output, and returns when all instances have ended and all their output was written. When
// ctx ends the instances are killed, and Run returns when they have ended, or after InterruptTimeout.
//
// The result always has the exit code. The error is not nil if Stoa itself failed before the instances could end: bad
// options, no master, refused. Everything else that people should know was written to err, a line each.
func Run(ctx context.Context, o Options, out, err io.Writer) (Result, error) {
	o, bad := o.withDefaults()
	var files *scheduler.Files
	if bad == nil {
		files, bad = o.offerFiles()
	}
	if bad != nil {
		return failed(ReasonBadOptions, bad), bad
	}
	return run(ctx, o, files, out, err)
}

// offerFiles offers the files that instances get, and asks for them as for other URIs.
func (o *Options) offerFiles() (*scheduler.Files, error) {
	files, names := &scheduler.Files{}, map[string]string{}
	o.URIs = slices.Clone(o.URIs)
	for _, file := range o.Files {
		name := filepath.Base(file)
		if other, taken := names[name]; taken {
			return nil, fmt.Errorf("files %s and %s: both would be %s in the sandbox", other, file, name)
		}
		names[name] = file
		uri, err := files.Add(file)
		if err != nil {
			return nil, err
		}
		o.URIs = append(o.URIs, uri)
	}
	return files, nil
}

func (o Options) withDefaults() (Options, error) {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return o, errors.New("no command to run")
	}
	if o.Instances == 0 {
		o.Instances = 1
	}
	if o.Instances < 0 || o.Instances > MaxInstances {
		return o, fmt.Errorf("%d instances: allowed are 1 to %d", o.Instances, MaxInstances)
	}
	if o.CPUs == 0 {
		o.CPUs = DefaultCPUs
	}
	if o.Mem == 0 {
		o.Mem = DefaultMem
	}
	if o.Timeout < 0 || o.PlacementTimeout < 0 {
		return o, fmt.Errorf("timeout %s, placement timeout %s: neither may be negative", o.Timeout, o.PlacementTimeout)
	}
	if o.PIDs < 0 {
		return o, fmt.Errorf("%d processes: it must not be less than 0", o.PIDs)
	}
	if o.KillGrace != nil && *o.KillGrace < 0 {
		return o, fmt.Errorf("kill grace of %s: it must not be negative", *o.KillGrace)
	}
	if o.Name == "" {
		o.Name = path.Base(o.Command[0])
	}
	if len(o.Roles) == 0 {
		o.Roles = []string{mesos.DefaultRole}
	}
	if o.Refuse != nil && (*o.Refuse < 0 || *o.Refuse > mesos.MaxRefuse) {
		return o, fmt.Errorf("offers are refused for %s: allowed are 0 to %s", *o.Refuse, mesos.MaxRefuse)
	}
	if o.Volume != nil {
		if err := o.Volume.check(o); err != nil {
			return o, err
		}
	}
	if err := mesos.ValidateID("name", o.taskID(o.Instances, 0)); err != nil {
		return o, err
	}
	task := o.task(0, 0)
	if err := task.Validate(); err != nil {
		return o, err
	}
	return o, nil
}

// task is the wish for an instance.
func (o Options) task(instance, attempt int) scheduler.Task {
	task := scheduler.Task{
		ID: o.taskID(instance, attempt), Name: o.Name, Args: o.Command, Env: o.Env, URIs: o.URIs, User: o.User,
		CPUs: o.CPUs, GPUs: o.GPUs, Mem: o.Mem, Disk: o.Disk, Container: o.Container, Constraints: o.Constraints,
	}
	if o.Volume != nil {
		task.Volumes = []scheduler.Volume{{ID: o.Volume.ID, Path: o.Volume.Path}}
	}
	task.Labels = map[string]string{}
	if o.PIDs > 0 {
		task.Labels[mesos.LabelPIDs] = strconv.Itoa(o.PIDs)
	}
	if o.OpenStdin {
		task.Labels[mesos.LabelStdin] = mesos.StdinOpen
	}
	return task
}

// complete gives a task what no wish can say.
func (o Options) complete(task *mesos.TaskInfo) {
	if o.CFS {
		task.Limits = map[string]*mesos.Value_Scalar{resource.CPUs: {Value: proto.Float64(o.CPUs)}}
	}
	if o.KillGrace != nil {
		task.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(o.KillGrace.Nanoseconds())}}
	}
}

// refuse is for how long what was declined is not offered again, and what an instance left.
func (o Options) refuse() (declined, left time.Duration) {
	if o.Refuse == nil {
		return scheduler.DefaultRefuse, 0
	}
	return *o.Refuse, *o.Refuse
}

// killTimeout bounds the wait for killed tasks to end.
func (o Options) killTimeout() time.Duration {
	if o.KillGrace == nil {
		return InterruptTimeout
	}
	return InterruptTimeout + *o.KillGrace
}

// taskID names an instance's task so that people can tell instances apart. An attempt that never reached a slave has used up
// its id.
func (o Options) taskID(instance, attempt int) string {
	if attempt == 0 {
		return fmt.Sprintf("%s-%d", o.Name, instance)
	}
	return fmt.Sprintf("%s-%d-again-%d", o.Name, instance, attempt)
}
