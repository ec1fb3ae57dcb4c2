package scheduler

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// Task is a wish: what to run and how much of a slave it needs. Offer.Take makes a TaskInfo of it, which may be changed
// before it is launched where a field is missing here.
type Task struct {
	// ID is unique among the framework's tasks; "" makes one from the name and the offer.
	ID   string
	Name string
	// Command is a line for /bin/sh. Args, instead, is an executable and its arguments. Executor, instead of both, is the
	// framework's own program that runs the task.
	Command  string
	Args     []string
	Executor *mesos.ExecutorInfo
	// ExecutorRuns says that the executor's own resources need not be taken: it is known to run on the slave, or TakeResources
	// has taken them. Without it they are unless the offer says that it runs.
	ExecutorRuns bool
	Env          map[string]string
	// URIs are fetched into the sandbox before Command or Args start; Files.Add makes those of files of this machine. An
	// Executor has its own.
	URIs []*mesos.CommandInfo_URI
	// User runs it; "" is the framework's.
	User string
	// CPUs and GPUs in numbers, Mem and Disk in megabytes (2^20 bytes); only thousandths count. Ports is how many, any.
	CPUs, GPUs, Mem, Disk float64
	Ports                 int
	// Volumes are persistent volumes of the offer's role that the task sees.
	Volumes []Volume
	// Role restricts it to offers to this role; "" takes any.
	Role string
	// Constraints restrict where it may run beside others of its kind: see MatchBeside.
	Constraints []Constraint
	// Data is for the framework's executor; the built-in one gives it to the command as standard input.
	Data []byte
	// Container has volumes and more; nil is a plain one.
	Container *mesos.ContainerInfo
	Labels    map[string]string
}

// Shortage is the error for resources that are too little.
type Shortage struct {
	Lacks    []Lack
	executor string // that it is too little for; empty: for the task
}

// Lack is one resource of which there is too little, in its own unit.
type Lack struct {
	Name       string
	Has, Wants float64
}

// Error says how much there is of how much: "too small: has 2 of 4 cpus, 64 of 128 mem".
func (s *Shortage) Error() string {
	if s.executor != "" {
		return fmt.Sprintf("too small for the task and its executor %s: %s", s.executor, s.Amounts())
	}
	return "too small: " + s.Amounts()
}

// Amounts is the Error without its judgement: "has 2 of 4 cpus, 64 of 128 mem".
func (s *Shortage) Amounts() string {
	var b strings.Builder
	for i, l := range s.Lacks {
		if i > 0 {
			b.WriteString(", ")
		} else {
			b.WriteString("has ")
		}
		fmt.Fprintf(&b, "%s of %s %s", number(l.Has), number(l.Wants), l.Name)
	}
	return b.String()
}

// FitsIn says why resources are not enough for the task; nil if they are. Resources that are revocable, shared or
// persistent volumes do not count.
func (t Task) FitsIn(r resource.Resources) error {
	_, err := t.pick(r)
	return err
}

// Ports lists the ports that a task has been given, in order.
func Ports(info *mesos.TaskInfo) []uint64 {
	r, err := resource.FromProto(info.GetResources())
	if err != nil {
		return nil // only what Take made has ports to speak of
	}
	var ports []uint64
	for _, span := range r.Spans(resource.Ports) {
		for p := span.Begin; p <= span.End; p++ {
			ports = append(ports, p)
		}
	}
	return ports
}

// scalars are the amounts that are wished for, in the order in which lacks are told.
func (t Task) scalars() []resource.Quantity {
	return []resource.Quantity{
		{Name: resource.CPUs, Thousandths: resource.Thousandths(t.CPUs)},
		{Name: resource.Mem, Thousandths: resource.Thousandths(t.Mem)},
		{Name: resource.Disk, Thousandths: resource.Thousandths(t.Disk)},
		{Name: resource.GPUs, Thousandths: resource.Thousandths(t.GPUs)},
	}
}

// pick chooses concrete resources for the task.
func (t Task) pick(from resource.Resources) (resource.Resources, error) {
	plain := from.Filter(func(r resource.Resource) bool { return r.Divisible() && !r.Revocable() && !r.Shared() })
	var picked resource.Resources
	var lacks []Lack
	for _, q := range t.scalars() {
		if q.Thousandths == 0 {
			continue
		}
		p, ok := plain.Take(resource.Scalar(q.Name, q.Thousandths))
		if !ok {
			lacks = append(lacks, Lack{Name: q.Name, Has: resource.Float(plain.Get(q.Name)), Wants: resource.Float(q.Thousandths)})
			continue
		}
		picked = picked.Add(p)
	}
	if t.Ports > 0 {
		p, ok := plain.TakeCount(resource.Ports, t.Ports)
		if !ok {
			lacks = append(lacks, Lack{Name: resource.Ports, Has: float64(plain.Count(resource.Ports)), Wants: float64(t.Ports)})
		}
		picked = picked.Add(p)
	}
	if len(lacks) > 0 {
		return resource.Resources{}, &Shortage{Lacks: lacks}
	}
	return picked, nil
}

// Validate says what makes no sense wherever it runs.
func (t Task) Validate() error {
	ways := 0
	for _, set := range []bool{t.Command != "", len(t.Args) > 0, t.Executor != nil} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		return fmt.Errorf("task %q: exactly one of Command, Args and Executor must be set, not %d", t.Name, ways)
	}
	if t.Ports < 0 {
		return fmt.Errorf("task %q wants %d ports: it must not be negative", t.Name, t.Ports)
	}
	wanted := false
	for _, a := range []struct {
		name  string
		value float64
	}{{resource.CPUs, t.CPUs}, {resource.Mem, t.Mem}, {resource.Disk, t.Disk}, {resource.GPUs, t.GPUs}} {
		// Beyond 2^53 thousandths a double counts no single ones any more.
		if !(a.value >= 0 && a.value <= math.MaxInt32) {
			return fmt.Errorf("task %q wants %v %s: allowed are 0 to %d", t.Name, a.value, a.name, math.MaxInt32)
		}
		wanted = wanted || resource.Thousandths(a.value) > 0
	}
	if !wanted {
		return errors.New("task " + t.Name + " wants no resources: set CPUs and Mem")
	}
	return nil
}

// info is the task without what an offer gives it.
func (t Task) info() *mesos.TaskInfo {
	info := &mesos.TaskInfo{
		Name:      proto.String(t.Name),
		TaskId:    mesos.NewTaskID(t.ID),
		Container: t.Container,
		Data:      t.Data,
		Labels:    labels(t.Labels),
		Executor:  t.Executor,
	}
	if t.Executor != nil {
		return info
	}
	command := &mesos.CommandInfo{Shell: proto.Bool(len(t.Args) == 0), Value: proto.String(t.Command), Uris: t.URIs}
	if len(t.Args) > 0 {
		command.Value, command.Arguments = proto.String(t.Args[0]), t.Args
	}
	if t.User != "" {
		command.User = proto.String(t.User)
	}
	for _, key := range sortedKeys(t.Env) {
		if command.Environment == nil {
			command.Environment = &mesos.Environment{}
		}
		command.Environment.Variables = append(command.Environment.Variables,
			&mesos.Environment_Variable{Name: proto.String(key), Value: proto.String(t.Env[key])})
	}
	info.Command = command
	return info
}

func number(f float64) string { return resource.FormatThousandths(resource.Thousandths(f)) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
