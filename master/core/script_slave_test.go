package core

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// register: register S RESOURCES [at=HOST:PORT] [cluster=C] [attributes=A:V,A:V] [domain=REGION/ZONE] [secret=S]
func (s *script) register(args []string, options map[string]string) {
	p := s.peer(args[0])
	s.describeSlave(p, args, options)
	s.say(p, &wire.RegisterSlave{Slave: p.info, Version: wire.Version, ClusterId: or(options["cluster"], p.cluster), Secret: secretOf(p, options)})
}

// secretOf is a slave's own secret, or another one; secret=none is none.
func secretOf(p *scriptPeer, options map[string]string) []byte {
	if options["secret"] == "none" {
		return nil
	}
	return []byte(or(options["secret"], p.name))
}

func (s *script) describeSlave(p *scriptPeer, args []string, options map[string]string) {
	if p.info == nil {
		p.info = &mesos.AgentInfo{Hostname: proto.String(p.name), Port: proto.Int32(5051)}
	}
	p.info = proto.CloneOf(p.info)
	if at, ok := options["at"]; ok {
		host, port, _ := strings.Cut(at, ":")
		p.info.Hostname, p.info.Port = proto.String(host), proto.Int32(int32(s.number(port)))
	}
	if text, ok := options["attributes"]; ok {
		p.info.Attributes = attributes(text)
	}
	if text, ok := options["domain"]; ok {
		p.info.Domain = domain(text)
	}
	if len(args) > 1 && strings.Contains(args[1], ":") {
		p.info.Resources = s.resources(args[1])
	}
}

// reregister: reregister S [new] [RESOURCES] [cluster=C] [secret=S] [F/T=STATE]... [executor:F/E=RESOURCES]...
// Tasks that the slave was once told to run are as they were launched.
func (s *script) reregister(args []string, options map[string]string) {
	p := s.peer(args[0])
	if slices.Contains(args, "new") {
		p.session = 0
	}
	s.describeSlave(p, slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "new" || strings.Contains(a, "=") }), options)
	info := proto.CloneOf(p.info)
	info.Id = mesos.NewAgentID(strings.ReplaceAll(or(options["id"], p.id), "%", "/"))
	p.deaf = false
	m := &wire.ReregisterSlave{Slave: info, Version: wire.Version, ClusterId: or(options["cluster"], p.cluster), Secret: secretOf(p, options)}
	if p.total != nil {
		m.Resources, m.Operations = p.total.ToProto(), p.sortedOperations()
	}
	known := map[string]bool{}
	list := func(f *mesos.FrameworkInfo) {
		if !known[f.GetId().GetValue()] {
			known[f.GetId().GetValue()] = true
			m.Frameworks = append(m.Frameworks, f)
		}
	}
	for _, arg := range args[1:] {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			continue
		}
		executor, isExecutor := strings.CutPrefix(key, "executor:")
		if isExecutor {
			key = executor
		}
		f, id, _ := strings.Cut(key, "/")
		scheduler := s.peer(f)
		framework := proto.CloneOf(scheduler.scheme)
		framework.Id = mesos.NewFrameworkID(scheduler.id)
		list(framework)
		if isExecutor {
			m.Executors = append(m.Executors, &wire.SlaveExecutor{FrameworkId: framework.Id, Executor: s.executor(scheduler, id, value)})
			continue
		}
		run := p.runs[scheduler.id+"/"+id]
		if run == nil {
			s.fatal("slave %s was never told to run %s/%s", p.name, scheduler.id, id)
		}
		m.Tasks = append(m.Tasks, &mesos.Task{
			Name: run.Task.Name, TaskId: run.Task.TaskId, FrameworkId: framework.Id, AgentId: info.Id, State: state(value).Enum(),
			ExecutorId: run.Task.GetExecutor().GetExecutorId(), Resources: run.Task.Resources,
		})
	}
	s.say(p, m)
}

func (s *script) executor(f *scriptPeer, id, resources string) *mesos.ExecutorInfo {
	e := &mesos.ExecutorInfo{ExecutorId: mesos.NewExecutorID(id), Command: &mesos.CommandInfo{Value: proto.String("run-" + id)}}
	if f.id != "" {
		e.FrameworkId = mesos.NewFrameworkID(f.id)
	}
	if resources != "" {
		e.Resources = s.resources(resources)
	}
	return e
}

func state(text string) mesos.TaskState { return mesos.TaskState(mesos.TaskState_value["TASK_"+text]) }

func (s *script) unregister(args []string, _ map[string]string) {
	p := s.peer(args[0])
	s.say(p, &wire.UnregisterSlave{SlaveId: mesos.NewAgentID(p.id)})
}

// update: update S F/T STATE [latest=STATE] [uuid=U|none] [message=TEXT]. Its uuid is u1, u2, …
func (s *script) update(args []string, options map[string]string) {
	p := s.peer(args[0])
	name, id, _ := strings.Cut(args[1], "/")
	f := s.peer(name)
	s.updates++
	status := &mesos.TaskStatus{
		TaskId: mesos.NewTaskID(id), State: state(args[2]).Enum(), AgentId: mesos.NewAgentID(p.id),
		Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), Uuid: uuid(or(options["uuid"], fmt.Sprintf("u%d", s.updates))),
	}
	if options["uuid"] == "none" {
		status.Uuid = nil
	}
	if message, ok := options["message"]; ok {
		status.Message = proto.String(message)
	}
	m := &wire.TaskUpdate{FrameworkId: mesos.NewFrameworkID(or(f.id, name)), Status: status}
	if latest, ok := options["latest"]; ok {
		m.Latest = proto.CloneOf(status)
		m.Latest.State = state(latest).Enum()
	}
	s.say(p, m)
}

// exited: exited S F/E STATUS
func (s *script) exited(args []string, _ map[string]string) {
	f, e, _ := strings.Cut(args[1], "/")
	s.say(s.peer(args[0]), &wire.ExecutorExited{
		FrameworkId: mesos.NewFrameworkID(s.peer(f).id), ExecutorId: mesos.NewExecutorID(e), WaitStatus: int32(s.number(args[2])),
	})
}
