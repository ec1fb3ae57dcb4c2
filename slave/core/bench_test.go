package core

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// bench holds a Core under test together with what surrounds a slave: master, host, executors and disk. It speaks the
// language of the scripts, and checks the Core after every Step.
type bench struct {
	t    testing.TB
	core *Core
	now  time.Time

	disk Checkpoint // what was persisted
	held []Persist  // not on the disk yet
	hold bool

	lastSession Session
	names       map[Session]string // "master", "host", "f1/e1"
	sessions    map[string]Session
	hostID      string
	containers  map[string]string // "f1/e1" → container id of the last run
	forwarded   map[string][]byte // "f1/t1" → uuid of the last TaskUpdate
	operated    map[string][]byte // "f1/o1" → uuid of the last OperationUpdate
	lives       uint64
}

func newBench(t testing.TB) *bench {
	return &bench{
		t: t, core: &Core{}, now: time.Unix(1_000_000_000, 0),
		names: map[Session]string{}, sessions: map[string]Session{},
		containers: map[string]string{}, forwarded: map[string][]byte{}, operated: map[string][]byte{},
	}
}

// step makes an event happen and answers Persist as a disk does.
func (b *bench) step(event Event) []Output {
	b.t.Helper()
	outputs := b.core.Step(b.now, event)
	if err := b.core.Check(); err != nil {
		b.t.Fatalf("after %T %+v:\n%v", event, event, err)
	}
	if next := b.core.Deadline(); !next.IsZero() && !next.After(b.now) {
		b.t.Fatalf("after %T: deadline %s is not in the future", event, next)
	}
	for _, o := range outputs {
		b.notice(o)
	}
	return outputs
}

// steps is step, followed by what the disk answers.
func (b *bench) steps(event Event) []Output {
	b.t.Helper()
	outputs := b.step(event)
	for !b.hold && len(b.held) > 0 {
		outputs = append(outputs, b.answerPersist()...)
	}
	return outputs
}

func (b *bench) answerPersist() []Output {
	b.t.Helper()
	p := b.held[0]
	b.held = b.held[1:]
	for _, change := range p.Changes {
		if err := b.disk.Apply(change); err != nil {
			b.t.Fatalf("persist %+v: %v", change, err)
		}
	}
	return b.step(Persisted{p.ID})
}

// notice keeps what the bench needs of an output.
func (b *bench) notice(o Output) {
	switch o := o.(type) {
	case Persist:
		b.held = append(b.held, o)
	case StartHost:
		b.hostID = o.HostID
	case PrepareSandbox:
		b.containers[o.FrameworkID+"/"+o.ExecutorID] = o.ContainerID
	case Send:
		if m, ok := o.Message.(*wire.OperationUpdate); ok {
			b.operated[m.GetFrameworkId().GetValue()+"/"+m.GetStatus().GetOperationId().GetValue()] = m.GetStatus().GetUuid().GetValue()
		}
		if m, ok := o.Message.(*wire.TaskUpdate); ok && m.GetStatus().GetUuid() != nil {
			b.forwarded[m.GetFrameworkId().GetValue()+"/"+m.GetStatus().GetTaskId().GetValue()] = m.GetStatus().GetUuid()
		}
	}
}

func (b *bench) open(name string) Session {
	b.lastSession++
	b.names[b.lastSession], b.sessions[name] = name, b.lastSession
	return b.lastSession
}

// command does what a line of a script says and returns what came out, a line each.
func (b *bench) command(line string) []string {
	b.t.Helper()
	words := splitWords(line)
	args := map[string]string{}
	var names []string
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			args[key] = value
		} else {
			names = append(names, w)
		}
	}
	a := arguments{b.t, line, names, args}
	var lines []string
	for _, o := range b.do(words[0], a) {
		lines = append(lines, b.show(o))
	}
	return lines
}

// do turns a command into events.
func (b *bench) do(verb string, a arguments) []Output {
	b.t.Helper()
	switch verb {
	case "born":
		return b.born(a)
	case "dies":
		// Whatever was not persisted is lost; the next life begins with born and recovered.
		b.core, b.held = &Core{}, nil
		b.names, b.sessions = map[Session]string{}, map[string]Session{}
		return nil
	case "recovered":
		return b.steps(Recovered{Checkpoint: b.disk.Clone(), Sandboxes: b.garbage(a.args["sandboxes"])})
	case "hold": // persist
		b.hold = true
		return nil
	case "release": // persist
		b.hold = false
		var out []Output
		for len(b.held) > 0 {
			out = append(out, b.answerPersist()...)
		}
		return out
	case "tick":
		b.now = b.now.Add(a.duration(0))
		return b.steps(Tick{})
	case "disk":
		use, err := strconv.ParseFloat(a.args["use"], 64)
		if err != nil {
			b.t.Fatal(err)
		}
		return b.steps(DiskMeasured{use})
	case "sandbox-stays":
		return b.steps(SandboxStays{a.names[0]})
	case "shutdown":
		return b.steps(Shutdown{})
	case "host":
		return b.hostCommand(a)
	case "master":
		return b.masterCommand(a)
	case "sandbox":
		event := SandboxReady{ContainerID: b.container(a.name(0)), Err: a.args["error"], FetchURL: a.args["url"]}
		if event.Err == "" || a.has("half") {
			event.Directory = "/sandboxes/" + shortID(event.ContainerID)
		}
		return b.steps(event)
	case "executor":
		return b.executorCommand(a)
	case "run", "kill", "ack", "end-executor", "remove", "tell", "apply", "ack-operation":
		return b.steps(Received{b.sessions["master"], b.order(verb, a)})
	}
	b.t.Fatalf("%q: no such command", a.line)
	return nil
}

// garbage is what a slave finds on its disk: PATH:AGE,PATH:AGE.
func (b *bench) garbage(list string) []Garbage {
	var found []Garbage
	for one := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' }) {
		directory, age, _ := strings.Cut(one, ":")
		d, err := time.ParseDuration(age)
		if err != nil {
			b.t.Fatal(err)
		}
		found = append(found, Garbage{directory, b.now.Add(-d)})
	}
	return found
}

func (b *bench) born(a arguments) []Output {
	b.lives++
	return b.steps(Born{Config{
		Incarnation: b.lives,
		Slave:       &mesos.AgentInfo{Hostname: proto.String("node1"), Port: proto.Int32(5051), Resources: resources(a.args["resources"])},
		Version:     "1.2.3",
		IP:          "192.0.2.1",
		SwitchUser:  a.args["switch_user"] != "no",

		GCDiskHeadroom: DefaultGCDiskHeadroom,
	}})
}

func (b *bench) hostCommand(a arguments) []Output {
	switch a.name(0) {
	case "connects":
		s := b.open("host")
		proof := Proof{HostID: b.hostID}
		if a.args["secret"] == "wrong" {
			proof = Proof{}
		}
		out := b.steps(PeerFound{s, proof})
		id := b.hostID
		if a.args["id"] != "" {
			id = a.args["id"]
		}
		return append(out, b.steps(Received{s, &wire.RegisterHost{HostId: id, Pid: 77, Isolation: "process"}})...)
	case "closes":
		return b.steps(SessionClosed{b.sessions["host"], "disconnected"})
	case "ends":
		return b.steps(HostEnded{b.hostID, "signal: killed"})
	case "started":
		return b.steps(Received{b.sessions["host"], &wire.ExecutorStarted{
			ContainerId: containerID(b.container(a.name(1))), Pid: uint32(a.number("pid")),
		}})
	case "reports":
		return b.steps(Received{b.sessions["host"], &wire.ExecutorEnded{
			ContainerId: containerID(b.container(a.name(1))),
			Exit: &wire.ContainerExit{
				Cause:      wire.ContainerExit_Cause(wire.ContainerExit_Cause_value[a.args["cause"]]),
				WaitStatus: int32(a.number("status")), Message: a.args["message"],
				MemoryLimitBytes: uint64(a.number("limit")), MemoryPeakBytes: uint64(a.number("peak")),
				PidsLimit: uint64(a.number("pids")), DiskLimitBytes: uint64(a.number("disk")), DiskUsedBytes: uint64(a.number("used")),
			},
		}})
	}
	b.t.Fatalf("%q: a host connects, closes, ends, started X, reports X", a.line)
	return nil
}

func (b *bench) masterCommand(a arguments) []Output {
	slave := &mesos.AgentID{Value: proto.String(a.args["id"])}
	switch a.name(0) {
	case "found":
		return b.steps(MasterFound{b.open("master")})
	case "closes":
		return b.steps(SessionClosed{b.sessions["master"], "disconnected"})
	case "registers":
		return b.steps(Received{b.sessions["master"], &wire.SlaveRegistered{SlaveId: slave, ClusterId: a.args["cluster"]}})
	case "reregisters":
		return b.steps(Received{b.sessions["master"], &wire.SlaveReregistered{SlaveId: slave, ClusterId: a.args["cluster"]}})
	case "refuses":
		return b.steps(Received{b.sessions["master"], &wire.Refused{Reason: a.args["reason"]}})
	}
	b.t.Fatalf("%q: a master is found, closes, registers, reregisters, refuses", a.line)
	return nil
}

// executorCommand: executor VERB f1/e1 …
func (b *bench) executorCommand(a arguments) []Output {
	b.t.Helper()
	name := a.name(1)
	frameworkID, executorID, _ := strings.Cut(name, "/")
	call := &executorpb.Call{
		FrameworkId: &mesos.FrameworkID{Value: &frameworkID}, ExecutorId: &mesos.ExecutorID{Value: &executorID},
	}
	switch a.name(0) {
	case "closes":
		return b.steps(SessionClosed{b.sessions[name], "disconnected"})
	case "subscribes":
		call.Type = executorpb.Call_SUBSCRIBE.Enum()
		call.Subscribe = &executorpb.Call_Subscribe{}
		for id := range strings.FieldsFuncSeq(a.args["tasks"], func(r rune) bool { return r == ',' }) {
			call.Subscribe.UnacknowledgedTasks = append(call.Subscribe.UnacknowledgedTasks, taskInfo(id))
		}
		for u := range strings.FieldsFuncSeq(a.args["updates"], func(r rune) bool { return r == ',' }) {
			part := strings.Split(u, ":")
			call.Subscribe.UnacknowledgedUpdates = append(call.Subscribe.UnacknowledgedUpdates,
				&executorpb.Call_Update{Status: executorStatus(part[0], part[1], part[2])})
		}
		proof := Proof{ContainerID: b.containers[name]}
		switch a.args["secret"] {
		case "host":
			proof = Proof{HostID: b.hostID}
		case "wrong":
			proof = Proof{}
		}
		s := b.open(name)
		return append(b.steps(PeerFound{s, proof}), b.steps(Received{s, call})...)
	case "updates":
		call.Type = executorpb.Call_UPDATE.Enum()
		status := executorStatus(a.name(2), a.name(3), a.name(4))
		if a.args["source"] != "" {
			status.Source = mesos.TaskStatus_SOURCE_AGENT.Enum()
		}
		if a.args["executor"] != "" {
			status.ExecutorId = &mesos.ExecutorID{Value: proto.String(a.args["executor"])}
		}
		if a.args["data"] != "" {
			status.Data = []byte(a.args["data"])
		}
		call.Update = &executorpb.Call_Update{Status: status}
		return b.steps(Received{b.sessions[name], call})
	case "says":
		call.Type = executorpb.Call_MESSAGE.Enum()
		call.Message = &executorpb.Call_Message{Data: []byte(a.name(2))}
		return b.steps(Received{b.sessions[name], call})
	}
	b.t.Fatalf("%q: an executor subscribes, updates, says, closes", a.line)
	return nil
}

// order is a message of the master.
func (b *bench) order(verb string, a arguments) proto.Message {
	frameworkID, id, _ := strings.Cut(a.name(0), "/")
	fid := &mesos.FrameworkID{Value: &frameworkID}
	switch verb {
	case "run":
		return b.runTask(frameworkID, id, a)
	case "kill":
		m := &wire.KillTask{FrameworkId: fid, TaskId: &mesos.TaskID{Value: &id}, KilledBy: a.args["by"]}
		if a.args["grace"] != "" {
			d, err := time.ParseDuration(a.args["grace"])
			if err != nil {
				b.t.Fatal(err)
			}
			m.KillPolicy = &mesos.KillPolicy{GracePeriod: &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(d))}}
		}
		return m
	case "ack":
		uuid := b.forwarded[a.name(0)]
		if a.args["uuid"] != "" {
			uuid = uuidOf(a.args["uuid"])
		}
		return &wire.AcknowledgeUpdate{FrameworkId: fid, TaskId: &mesos.TaskID{Value: &id}, Uuid: uuid}
	case "end-executor":
		return &wire.ShutdownExecutor{FrameworkId: fid, ExecutorId: &mesos.ExecutorID{Value: &id}}
	case "apply":
		return b.operation(frameworkID, a)
	case "ack-operation":
		return &wire.AcknowledgeOperation{FrameworkId: fid, OperationId: mesos.NewOperationID(id), Uuid: b.operated[a.name(0)]}
	case "remove":
		return &wire.RemoveFramework{FrameworkId: fid}
	default: // tell
		return &wire.FrameworkMessage{FrameworkId: fid, ExecutorId: &mesos.ExecutorID{Value: &id}, Data: []byte(a.name(1))}
	}
}

func (b *bench) runTask(frameworkID, id string, a arguments) *wire.RunTask {
	f := &mesos.FrameworkInfo{
		Id: &mesos.FrameworkID{Value: &frameworkID}, User: proto.String("ann"), Name: proto.String(frameworkID),
	}
	if a.has("checkpoint") {
		f.Checkpoint = proto.Bool(true)
	}
	if a.has("partition_aware") {
		f.Capabilities = []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_PARTITION_AWARE.Enum()}}
	}
	t := taskInfo(id)
	t.AgentId = &mesos.AgentID{Value: proto.String("S1")}
	t.Resources = resources(a.args["resources"])
	if id := a.args["volume"]; id != "" {
		t.Resources = append(t.Resources, b.core.total.Volume("web", id).ToProto()...)
	}
	t.Limits = limits(b.t, a.args["limits"])
	if a.args["slave"] != "" {
		t.AgentId.Value = proto.String(a.args["slave"])
	}
	command := &mesos.CommandInfo{Value: proto.String("sleep 1000")}
	if a.args["user"] != "" {
		command.User = proto.String(a.args["user"])
	}
	if a.args["uri"] != "" {
		command.Uris = []*mesos.CommandInfo_URI{{Value: proto.String(a.args["uri"])}}
	}
	if a.args["executor"] == "" {
		t.Command = command
	} else {
		t.Executor = &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String(a.args["executor"])}, Command: command}
		t.Executor.Resources = resources(a.args["own"])
		if a.args["grace"] != "" {
			d, err := time.ParseDuration(a.args["grace"])
			if err != nil {
				b.t.Fatal(err)
			}
			t.Executor.ShutdownGracePeriod = &mesos.DurationInfo{Nanoseconds: proto.Int64(int64(d))}
		}
	}
	return &wire.RunTask{Framework: f, Task: t, ExecutorRuns: a.has("runs")}
}

// limits reads a task's, such as cpus:2;mem:Inf.
func limits(t testing.TB, text string) map[string]*mesos.Value_Scalar {
	all := map[string]*mesos.Value_Scalar{}
	for one := range strings.SplitSeq(text, ";") {
		name, value, some := strings.Cut(one, ":")
		if !some {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = &mesos.Value_Scalar{Value: &v}
	}
	return all
}

// resources reads what a script gives; nothing is none.
func resources(text string) []*mesos.Resource {
	if text == "" {
		return nil
	}
	return resource.MustParse(text).ToProto()
}

func (b *bench) container(name string) string {
	b.t.Helper()
	id := b.containers[name]
	if id == "" {
		b.t.Fatalf("executor %q has no container", name)
	}
	return id
}

func taskInfo(id string) *mesos.TaskInfo {
	return &mesos.TaskInfo{
		Name: proto.String(id), TaskId: &mesos.TaskID{Value: &id}, AgentId: &mesos.AgentID{Value: proto.String("S1")},
	}
}

func executorStatus(taskID, state, uuid string) *mesos.TaskStatus {
	status := &mesos.TaskStatus{
		TaskId: &mesos.TaskID{Value: &taskID},
		State:  mesos.TaskState(mesos.TaskState_value["TASK_"+state]).Enum(),
		Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(),
	}
	if uuid != "" {
		status.Uuid = uuidOf(uuid)
	}
	return status
}

// uuidOf makes 16 bytes of a short name.
func uuidOf(name string) []byte {
	if short, ok := strings.CutPrefix(name, "short:"); ok {
		return []byte(short)
	}
	return append(make([]byte, 16-len(name)), name...)
}

// arguments are the words of a command after its verb.
type arguments struct {
	t     testing.TB
	line  string
	names []string
	args  map[string]string
}

func (a arguments) name(i int) string {
	if i < len(a.names) {
		return a.names[i]
	}
	return ""
}

func (a arguments) has(name string) bool {
	for _, n := range a.names {
		if n == name {
			return true
		}
	}
	return false
}

func (a arguments) duration(i int) time.Duration {
	d, err := time.ParseDuration(a.name(i))
	if err != nil {
		a.t.Fatalf("%q: %v", a.line, err)
	}
	return d
}

func (a arguments) number(key string) int64 {
	if a.args[key] == "" {
		return 0
	}
	n, err := strconv.ParseInt(a.args[key], 10, 64)
	if err != nil {
		a.t.Fatalf("%q: %v", a.line, err)
	}
	return n
}

// splitWords splits at blanks outside of double quotes, which it removes.
func splitWords(line string) []string {
	var words []string
	var word strings.Builder
	quoted := false
	for _, r := range line + " " {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted:
			if word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
			}
		default:
			word.WriteRune(r)
		}
	}
	return words
}
