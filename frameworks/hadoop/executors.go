package hadoop

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/tasktracker"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
)

// What an executor needs beside its attempts. It has no cpus of its own: what it does for an attempt, the attempt's are for.
const (
	// ExecutorMem is its memory, in MB.
	ExecutorMem = 64
	// idleFor is how long an executor has nothing to do before it is given back.
	idleFor = 2 * time.Second
)

// executor is the program on a slave in which a job's attempts run. Its slots are its attempts: each comes out of an
// offer, and its resources go back when it ends.
type executor struct {
	id, slaveID string
	host        string // where it serves its attempts' files; "" if it does not
	info        *mesos.ExecutorInfo
	number      int // in the order of their launch
	running     int // attempts
	outputs     int // of maps that are done
	idleSince   time.Time
	blamed      bool // its slave has been, for attempts that were lost in it
}

// executorOn is the executor that a job has on an offer's slave; nil if it has none. Resources of another role can not
// be added to it.
func (p *plan) executorOn(o *scheduler.Offer) *executor {
	for _, x := range p.executors {
		if x.slaveID == o.SlaveID() && roleOf(x.info) == o.Role() {
			return x
		}
	}
	return nil
}

func roleOf(info *mesos.ExecutorInfo) string {
	for _, r := range info.GetResources() {
		return r.GetAllocationInfo().GetRole()
	}
	return ""
}

// fits says whether an attempt, and its executor if that must be started, can be taken out of an offer.
func (p *plan) fits(o *scheduler.Offer, kind taskKind, x *executor) error {
	wish := p.job.wish(kind, nil)
	if !p.job.containers && x == nil {
		wish.Mem += ExecutorMem
	}
	return o.Fits(wish)
}

// takeExecutor takes a new executor's resources out of an offer.
func (p *plan) takeExecutor(o *scheduler.Offer) *mesos.ExecutorInfo {
	host := o.Info.GetUrl().GetAddress().GetIp()
	if p.job.environment[task.AuthorityVariable] != "" {
		host = "" // files are read from slaves, who can prove who they are
	}
	info := p.job.executor(p.nextExecutorID(), host)
	resources, err := o.TakeResources(scheduler.Task{Mem: ExecutorMem, Role: p.job.role})
	if err != nil {
		panic(fmt.Sprintf("hadoop: an executor that fits could not be taken: %v", err))
	}
	info.Resources = resources
	return info
}

func (p *plan) nextExecutorID() string {
	return fmt.Sprintf("%s.executor-%d", cmp.Or(p.job.id, "job"), p.executorsLaunched)
}

// used notes that an attempt runs in an executor, which comes with the first.
func (p *plan) used(e placed) *executor {
	x := p.executors[e.GetExecutorId()]
	if x == nil {
		x = newExecutor(e.GetExecutor(), e.GetSlave(), p.executorsLaunched)
		p.executors[x.id] = x
		p.executorsLaunched++
	}
	x.running++
	return x
}

func newExecutor(info *mesos.ExecutorInfo, slaveID string, number int) *executor {
	x := &executor{id: info.GetExecutorId().GetValue(), slaveID: slaveID, info: info, number: number}
	for _, v := range info.GetCommand().GetEnvironment().GetVariables() {
		if v.GetName() == tasktracker.ListenVariable {
			x.host = v.GetValue()
		}
	}
	return x
}

// base is where an attempt's files are served; "" by the slave.
func (x *executor) base(o *jobpb.Outcome) string {
	if x.host == "" || o.GetPath() == "" {
		return ""
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(x.host, strconv.Itoa(int(o.GetPort()))), Path: o.GetPath()}
	return u.String()
}

func (p *plan) sortedExecutors() []*executor {
	return slices.SortedFunc(maps.Values(p.executors), func(a, b *executor) int { return cmp.Compare(a.number, b.number) })
}

// idle are the executors that nobody needs: they have had nothing to do for a while, the job has nothing for them, and
// what their maps have made no reduce will want.
func (p *plan) idle(now time.Time) []string {
	if p.over {
		return nil
	}
	var ids []string
	for _, x := range p.sortedExecutors() {
		wanted := x.outputs > 0 && !p.job.mapOnly() && !p.allDone(reduceKind)
		if x.running == 0 && !wanted && now.Sub(x.idleSince) >= idleFor {
			ids = append(ids, x.id)
		}
	}
	return ids
}

// giveBack ends an executor.
func (p *plan) giveBack(id string) []operation {
	x := p.executors[id]
	if x == nil {
		return nil
	}
	delete(p.executors, id)
	return []operation{shutdown{x.slaveID, x.id}}
}

// executorGone takes the outputs with it that reduces may still need. What ran there is heard of task by task, unless the
// framework is told first.
func (p *plan) executorGone(now time.Time, id string) []operation {
	x := p.executors[id]
	if x == nil || p.over {
		return nil
	}
	delete(p.executors, id)
	if p.allDone(reduceKind) {
		return nil
	}
	return p.outputsLost(now, func(a *try) bool { return a.executor == x }, "its output was with an executor that has gone")
}

// executor is the program that runs a job's attempts on a slave, serving their files at host; "" does not serve.
func (j *job) executor(id, host string) *mesos.ExecutorInfo {
	command := &mesos.CommandInfo{Shell: proto.Bool(true), Value: proto.String(subcommand(ExecutorSubcommand)), Environment: &mesos.Environment{}}
	if j.user != "" {
		command.User = proto.String(j.user)
	}
	variables := maps.Clone(j.environment)
	if host != "" {
		if variables == nil {
			variables = map[string]string{}
		}
		variables[tasktracker.ListenVariable] = host
	}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		command.Environment.Variables = append(command.Environment.Variables, &mesos.Environment_Variable{
			Name: proto.String(name), Value: proto.String(variables[name]),
		})
	}
	command.Uris = j.uris
	return &mesos.ExecutorInfo{
		Type: mesos.ExecutorInfo_CUSTOM.Enum(), ExecutorId: mesos.NewExecutorID(id),
		Name: proto.String(cmp.Or(j.id, j.name) + ": executor"), Source: proto.String(j.name),
		Command: command, Container: readOnly(j.mounts()),
	}
}
