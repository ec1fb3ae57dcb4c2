package slave

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/actor/remote/identity"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/core"
)

// Where the nodes of a story are.
const (
	masterAddress = "master.test:5050"
	slaveAddress  = "slave.test:5051"
)

// story is a slave in a network in memory, with probes for all that it speaks with.
type story struct {
	*testing.T
	network *remote.MemoryNetwork
	slave   *Slave
	system  *actor.System
	pid     actor.PID
	hosts   chan *hostProcess
	config  Config
	secure  func(role actor.Role, name string) *remote.TLS // nil: in the clear
}

// node is a node of the story with a probe on it.
type node struct {
	*actortest.Probe
	system *actor.System
	remote *remote.Remote
	once   sync.Once
}

func (n *node) end() {
	n.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*core.HostGoodbye)
		defer cancel()
		_ = n.remote.Close(ctx)
		_ = n.system.Shutdown(ctx)
	})
}

// hostProcess is a host in this process: a probe that speaks with the slave.
type hostProcess struct {
	*node
	spec HostSpec
	done chan error
}

func (h *hostProcess) Done() <-chan error { return h.done }

func (h *hostProcess) Kill() {
	h.end()
	select {
	case h.done <- errors.New("signal: killed"):
	default:
	}
}

func newStory(t *testing.T, change func(*Config)) *story { return newSecuredStory(t, nil, change) }

// newSecuredStory is newStory with connections as secure says.
func newSecuredStory(t *testing.T, secure func(role actor.Role, name string) *remote.TLS, change func(*Config)) *story {
	s := &story{T: t, secure: secure, network: remote.NewMemoryNetwork(), hosts: make(chan *hostProcess, 16)}
	s.config = Config{
		Master: masterAddress,
		Info:   &mesos.AgentInfo{Hostname: proto.String("node1"), Port: proto.Int32(5051)},
		IP:     "slave.test", WorkDir: filepath.Join(t.TempDir(), "work"), Isolation: "process",
		StartHost: func(spec HostSpec) (Process, error) {
			h := &hostProcess{node: s.node("host-"+spec.ID, wire.RoleHost, "", spec.Secret), spec: spec, done: make(chan error, 1)}
			s.hosts <- h
			return h, nil
		},
	}
	if change != nil {
		change(&s.config)
	}
	s.slave = New(s.config)
	n := s.start("slave1", wire.RoleSlave, slaveAddress, nil)
	s.system = n.system
	s.pid = s.system.Spawn(Name, s.slave.Produce, actor.Reborn(actor.Backoff{}))
	return s
}

// start starts a node of the network.
func (s *story) start(name string, role actor.Role, address string, credential []byte) *node {
	s.Helper()
	log := zerolog.Nop()
	if testing.Verbose() {
		log = zerolog.New(zerolog.NewTestWriter(s.T)).With().Str("node", name).Logger()
	}
	n := &node{system: actor.NewSystem(actor.SystemOptions{Node: name, Role: role, Log: log})}
	var security *remote.TLS
	if s.secure != nil {
		security = s.secure(role, name)
	}
	options := remote.Options{
		System: n.system, TLS: security, Network: s.network.Host(name), Advertise: address,
		Credential: func(string) []byte { return credential },
	}
	if role == wire.RoleSlave {
		options.Verify = s.slave.Secrets().Verify
		options.May = func(from actor.Role, m protoreflect.FullName) bool { return wire.May(string(from), m) }
	}
	var err error
	if n.remote, err = remote.Start(options); err != nil {
		s.Fatal(err)
	}
	if address != "" {
		if _, err := n.remote.Listen(address); err != nil {
			s.Fatal(err)
		}
	}
	s.Cleanup(n.end)
	return n
}

// node is start with a probe named after the role.
func (s *story) node(name string, role actor.Role, address string, credential []byte) *node {
	n := s.start(name, role, address, credential)
	n.Probe = actortest.Named(s.T, n.system, string(role))
	return n
}

// registerHost waits for a host to be started and lets it register.
func (s *story) registerHost() (*hostProcess, actor.PID) {
	s.Helper()
	h := <-s.hosts
	h.Send(actor.At(slaveAddress, Name), &wire.RegisterHost{HostId: h.spec.ID, Pid: 1, Isolation: "process"})
	r := h.Next(s.T)
	if _, ok := r.Message.(*wire.HostRegistered); !ok {
		s.Fatalf("the host got %v, want HostRegistered", r.Message)
	}
	h.Link(r.From)
	return h, r.From
}

// registerSlave lets the master accept the slave, and returns where to send orders.
func (s *story) registerSlave(master *node) actor.PID {
	s.Helper()
	r := master.Next(s.T)
	if _, ok := r.Message.(*wire.RegisterSlave); !ok {
		s.Fatalf("the master got %v, want RegisterSlave", r.Message)
	}
	master.Send(r.From, &wire.SlaveRegistered{SlaveId: mesos.NewAgentID("K-S0"), ClusterId: "K"})
	return r.From
}

func runTask(id, executor string) *wire.RunTask {
	m := &wire.RunTask{
		Framework: &mesos.FrameworkInfo{Id: mesos.NewFrameworkID("F"), User: proto.String("ann"), Name: proto.String("f")},
		Task: &mesos.TaskInfo{
			Name: &id, TaskId: mesos.NewTaskID(id), AgentId: mesos.NewAgentID("K-S0"),
			Command: &mesos.CommandInfo{Value: proto.String("true")},
		},
	}
	if executor != "" {
		m.Task.Executor = &mesos.ExecutorInfo{ExecutorId: mesos.NewExecutorID(executor), Command: m.Task.Command}
		m.Task.Command = nil
	}
	return m
}

func subscribe(executor string) *executorpb.Call {
	return &executorpb.Call{
		Type:        executorpb.Call_SUBSCRIBE.Enum(),
		FrameworkId: mesos.NewFrameworkID("F"), ExecutorId: mesos.NewExecutorID(executor),
	}
}

func update(executor, task string, state mesos.TaskState, uuid string) *executorpb.Call {
	return &executorpb.Call{
		Type:        executorpb.Call_UPDATE.Enum(),
		FrameworkId: mesos.NewFrameworkID("F"), ExecutorId: mesos.NewExecutorID(executor),
		Update: &executorpb.Call_Update{Status: &mesos.TaskStatus{
			TaskId: mesos.NewTaskID(task), State: state.Enum(), Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum(), Uuid: []byte(uuid),
		}},
	}
}

func TestATaskGoesThroughTheWholeSlave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, func(c *Config) { c.GCDelay = time.Hour })
		master := s.node("master1", wire.RoleMaster, masterAddress, nil)
		host, toSlave := s.registerHost()
		orders := s.registerSlave(master)

		master.Send(orders, runTask("t1", ""))
		launch := actortest.Await[*wire.LaunchExecutor](t, host.Probe)
		if info, err := os.Stat(launch.GetDirectory()); err != nil || !info.IsDir() {
			t.Fatalf("the sandbox %q: %v", launch.GetDirectory(), err)
		}
		want := filepath.Join(s.config.WorkDir, "slaves/K-S0/frameworks/F/executors/t1/runs", launch.GetContainerId().GetValue())
		if launch.GetDirectory() != want {
			t.Errorf("the sandbox is %s, want %s", launch.GetDirectory(), want)
		}
		if launch.GetEnvironment()[tokenVariable] != "" || launch.GetSecret() != nil {
			t.Error("a command executor was given a secret, which its task could read")
		}

		// The command executor is an actor of the host: another actor on the host's connection.
		executor := actortest.NewProbe(t, host.system)
		executor.Send(actor.At(slaveAddress, Name), subscribe("t1"))
		r := executor.Next(t)
		if e, ok := r.Message.(*executorpb.Event); !ok || e.GetType() != executorpb.Event_SUBSCRIBED {
			t.Fatalf("the executor got %v, want SUBSCRIBED", r.Message)
		}
		executor.Link(r.From)
		if e := actortest.Await[*executorpb.Event](t, executor); e.GetType() != executorpb.Event_LAUNCH {
			t.Fatalf("the executor got %v, want LAUNCH", e)
		}
		executor.Send(r.From, update("t1", "t1", mesos.TaskState_TASK_FINISHED, "uuid-of-16-bytes"))
		if e := actortest.Await[*executorpb.Event](t, executor); e.GetType() != executorpb.Event_ACKNOWLEDGED {
			t.Fatalf("the executor got %v, want ACKNOWLEDGED", e)
		}
		host.Send(toSlave, &wire.ExecutorEnded{ContainerId: launch.GetContainerId(), Exit: &wire.ContainerExit{}})
		actortest.Await[actor.Exited](t, executor) // its session

		// The scheduler is slow: the update comes again after 10 s.
		for range 2 {
			u := actortest.Await[*wire.TaskUpdate](t, master.Probe)
			if u.GetStatus().GetState() != mesos.TaskState_TASK_FINISHED {
				t.Fatalf("the master got %v, want TASK_FINISHED", u)
			}
			time.Sleep(core.UpdateRetryFirst - time.Second)
			synctest.Wait()
			master.ExpectNone(t)
		}
		master.Send(orders, &wire.AcknowledgeUpdate{
			FrameworkId: mesos.NewFrameworkID("F"), TaskId: mesos.NewTaskID("t1"), Uuid: []byte("uuid-of-16-bytes"),
		})
		s.await("the task is forgotten", func(v *core.View) bool {
			return len(v.Frameworks) == 0 && len(v.CompletedTasks) == 1 && v.Updates == 0
		})
		time.Sleep(s.config.GCDelay)
		synctest.Wait()
		if _, err := os.Stat(launch.GetDirectory()); !os.IsNotExist(err) {
			t.Errorf("after its time the sandbox is still there: %v", err)
		}
		s.shutDown(host)
	})
}

// await waits for the View to show something.
func (s *story) await(what string, is func(*core.View) bool) {
	s.Helper()
	for deadline := time.Now().Add(actortest.Deadline); time.Now().Before(deadline); time.Sleep(viewInterval) {
		synctest.Wait()
		if v := s.slave.View(); v != nil && is(v) {
			return
		}
	}
	s.Fatalf("%s: not within %s: %+v", what, actortest.Deadline, s.slave.View())
}

// shutDown ends the slave in order. Its host ends when it sees its slave's session end, as hosts do.
func (s *story) shutDown(host *hostProcess) {
	s.Helper()
	s.system.Send(s.pid, Shutdown{})
	actortest.Await[actor.Exited](s.T, host.Probe)
	host.end()
	host.done <- nil
	<-s.slave.Done()
	if err := s.slave.Err(); err != nil {
		s.Error(err)
	}
}

// certified gives masters and slaves a certificate, and hosts and executors what they know their slave by.
func certified(t *testing.T) func(role actor.Role, name string) *remote.TLS {
	dir := t.TempDir()
	pair, err := identity.CreateAuthority(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	authority, err := identity.OpenAuthority(pair)
	if err != nil {
		t.Fatal(err)
	}
	return func(role actor.Role, name string) *remote.TLS {
		var own identity.Pair
		if role == wire.RoleMaster || role == wire.RoleSlave {
			node := identity.Node{Name: name, Roles: []actor.Role{role}, Serves: true, Hosts: []string{"slave.test", "master.test"}}
			if own, err = authority.Create(dir, node, true); err != nil {
				t.Fatal(err)
			}
		}
		files, err := identity.Open(pair.Cert, own, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &remote.TLS{Config: files.Config, Roles: identity.Roles, Exempt: []actor.Role{wire.RoleHost, wire.RoleExecutor}}
	}
}

func TestAnExecutorOfAFrameworkNeedsItsOwnSecret(t *testing.T) {
	for name, security := range map[string]func(*testing.T) func(actor.Role, string) *remote.TLS{
		"in the clear": func(*testing.T) func(actor.Role, string) *remote.TLS { return nil },
		"over TLS":     certified,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { anExecutorNeedsItsSecret(t, security(t)) })
		})
	}
}

func anExecutorNeedsItsSecret(t *testing.T, security func(actor.Role, string) *remote.TLS) {
	s := newSecuredStory(t, security, nil)
	master := s.node("master1", wire.RoleMaster, masterAddress, nil)
	host, _ := s.registerHost()
	orders := s.registerSlave(master)
	master.Send(orders, runTask("t1", "e1"))
	launch := actortest.Await[*wire.LaunchExecutor](t, host.Probe)
	if len(launch.GetSecret()) != secretBytes || len(launch.GetEnvironment()[tokenVariable]) != 2*secretBytes {
		t.Fatalf("the executor was given the secret %x and the token %q", launch.GetSecret(), launch.GetEnvironment()[tokenVariable])
	}
	for name, secret := range map[string][]byte{
		"without a secret":          nil,
		"with the host's secret":    host.spec.Secret,
		"with another's secret":     make([]byte, secretBytes),
		"with a part of its secret": launch.GetSecret()[:16],
	} {
		bad := s.node("executor "+name, wire.RoleExecutor, "", secret)
		bad.Link(actor.At(slaveAddress, Name))
		if e := actortest.Await[actor.Exited](t, bad.Probe); e.Reason != actor.Refused {
			t.Errorf("an executor %s: %v, want refused", name, e)
		}
	}
	// Nor may it pass for whom it is not: with whatever it has.
	for _, role := range []actor.Role{wire.RoleHost, wire.RoleSlave, wire.RoleMaster, wire.RoleFramework} {
		for with, secret := range map[string][]byte{"nothing": nil, "an executor's secret": launch.GetSecret()} {
			liar := s.liar(string(role)+" with "+with, role, secret)
			liar.Link(actor.At(slaveAddress, Name))
			if e := actortest.Await[actor.Exited](t, liar.Probe); e.Reason != actor.Refused {
				t.Errorf("a task that says that it is a %s, with %s: %v, want refused", role, with, e)
			}
		}
	}
	// Who has the right secret may not take the host's name with it.
	thief := s.node("host-"+host.spec.ID, wire.RoleExecutor, "", launch.GetSecret())
	thief.Link(actor.At(slaveAddress, Name))
	if e := actortest.Await[actor.Exited](t, thief.Probe); e.Reason != actor.Refused {
		t.Errorf("an executor with the host's name: %v, want refused", e)
	}
	// An executor may not speak for another executor, nor for a host.
	good := s.node("executor e1", wire.RoleExecutor, "", launch.GetSecret())
	good.Send(actor.At(slaveAddress, Name), subscribe("e2"))
	if m := actortest.Await[*wire.Refused](t, good.Probe); !strings.Contains(m.GetReason(), `"e2"`) {
		t.Errorf("refused: %s, want the executor named", m.GetReason())
	}
	good.Send(actor.At(slaveAddress, Name), subscribe("e1"))
	if e := actortest.Await[*executorpb.Event](t, good.Probe); e.GetType() != executorpb.Event_SUBSCRIBED {
		t.Errorf("the executor got %v, want SUBSCRIBED", e)
	}
	good.Link(actor.At(slaveAddress, Name))
	good.Send(actor.At(slaveAddress, Name), &wire.RegisterHost{HostId: host.spec.ID})
	if e := actortest.Await[actor.Exited](t, good.Probe); e.Reason != actor.Refused {
		t.Errorf("an executor said RegisterHost: %v, want refused", e)
	}
}

// liar is a node that knows the cluster's authority, and has no certificate of its own whatever it says that it is.
func (s *story) liar(name string, role actor.Role, credential []byte) *node {
	secure := s.secure
	defer func() { s.secure = secure }()
	if secure != nil {
		s.secure = func(_ actor.Role, name string) *remote.TLS { return secure(wire.RoleExecutor, name) }
	}
	return s.node(name, role, "", credential)
}

func TestASlaveWaitsForItsMasterAndComesBackToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, nil)
		s.registerHost()
		time.Sleep(time.Minute)
		first := s.node("master1", wire.RoleMaster, masterAddress, nil)
		orders := s.registerSlave(first)
		s.await("it is registered", func(v *core.View) bool { return v.Registered && v.SlaveID == "K-S0" })
		first.Send(orders, runTask("t1", "e1"))
		s.await("the task is there", func(v *core.View) bool { return len(v.Frameworks) == 1 })
		first.end()
		s.await("the master is missed", func(v *core.View) bool { return !v.Registered })

		// A new master with an empty memory gets everything, and soon.
		second := s.node("master1", wire.RoleMaster, masterAddress, nil)
		since := time.Now()
		m := actortest.Await[*wire.ReregisterSlave](t, second.Probe)
		if waited := time.Since(since); waited > 2*MasterRetryFirst+time.Second {
			t.Errorf("the slave came back after %s", waited)
		}
		if m.GetSlave().GetId().GetValue() != "K-S0" || m.GetClusterId() != "K" || len(m.GetTasks()) != 1 || len(m.GetExecutors()) != 1 {
			t.Errorf("the second master got %v", m)
		}
	})
}

func TestAMasterAnswersThroughAnActorOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, nil)
		s.registerHost()
		master := s.node("master1", wire.RoleMaster, masterAddress, nil)
		own := actortest.NewProbe(t, master.system)
		door := master.Next(t)
		own.Send(door.From, &wire.SlaveRegistered{SlaveId: mesos.NewAgentID("K-S0"), ClusterId: "K"})
		s.await("it is registered", func(v *core.View) bool { return v.Registered })
		// What others of the master say is not heard, what it does not know of is.
		own.Send(door.From, &wire.KillTask{FrameworkId: mesos.NewFrameworkID("F"), TaskId: mesos.NewTaskID("t9")})
		u := actortest.Await[*wire.TaskUpdate](t, own)
		if u.GetStatus().GetState() != mesos.TaskState_TASK_LOST || u.GetStatus().GetUuid() != nil {
			t.Errorf("the master got %v, want TASK_LOST without uuid", u)
		}
		// The end of that actor is the end of the session.
		master.system.Stop(own.PID())
		actortest.Await[*wire.ReregisterSlave](t, master.Probe)
	})
}

func TestASlaveThatIsRefusedEndsWithTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, nil)
		s.registerHost()
		master := s.node("master1", wire.RoleMaster, masterAddress, nil)
		r := master.Next(t)
		master.Send(r.From, &wire.Refused{Reason: "cluster L does not know K"})
		<-s.slave.Done()
		if err := s.slave.Err(); err == nil || !strings.Contains(err.Error(), "cluster L does not know K") {
			t.Errorf("got %v, want the master's reason", err)
		}
	})
}

func TestASlaveThatMayNotWaitForEverSaysWhichMasterIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, func(c *Config) { c.FirstContact = 10 * time.Second })
		s.registerHost()
		since := time.Now()
		<-s.slave.Done()
		if err := s.slave.Err(); err == nil || !strings.Contains(err.Error(), masterAddress) {
			t.Errorf("got %v, want an error that names %s", err, masterAddress)
		}
		if waited := time.Since(since); waited < 10*time.Second || waited > 20*time.Second {
			t.Errorf("gave up after %s", waited)
		}
	})
}

func TestAHostThatDiesIsStartedAgainAndItsTasksAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, nil)
		master := s.node("master1", wire.RoleMaster, masterAddress, nil)
		host, _ := s.registerHost()
		orders := s.registerSlave(master)
		master.Send(orders, runTask("t1", ""))
		actortest.Await[*wire.LaunchExecutor](t, host.Probe)
		host.Kill()
		u := actortest.Await[*wire.TaskUpdate](t, master.Probe)
		if u.GetStatus().GetState() != mesos.TaskState_TASK_LOST || u.GetStatus().GetMessage() != "the host process ended" {
			t.Errorf("the master got %v", u)
		}
		second, _ := s.registerHost()
		if second.spec.ID == host.spec.ID || string(second.spec.Secret) == string(host.spec.Secret) {
			t.Error("the second host has the name or the secret of the first")
		}
		if _, err := os.Stat(host.spec.SecretFile); !os.IsNotExist(err) {
			t.Errorf("the secret of a dead host is still there: %v", err)
		}
		master.Send(orders, runTask("t2", ""))
		actortest.Await[*wire.LaunchExecutor](t, second.Probe)
	})
}

func TestASlaveThatPanicsIsBornAgainWithItsCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, nil)
		master := s.node("master1", wire.RoleMaster, masterAddress, nil)
		host, _ := s.registerHost()
		orders := s.registerSlave(master)
		master.Send(orders, runTask("t1", ""))
		actortest.Await[*wire.LaunchExecutor](t, host.Probe)
		s.system.Send(s.pid, written{ids: []uint64{99}}) // an answer that nobody asked for is a bug
		actortest.Await[actor.Exited](t, host.Probe)
		s.registerHost()
		m := actortest.Await[*wire.ReregisterSlave](t, master.Probe)
		if m.GetSlave().GetId().GetValue() != "K-S0" || len(m.GetTasks()) != 1 || m.GetTasks()[0].GetState() != mesos.TaskState_TASK_LOST {
			t.Errorf("the master got %v, want the task of the life before, lost", m)
		}
	})
}

func TestAnExecutorThatSendsAsFastAsItCanHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, nil)
		master := s.node("master1", wire.RoleMaster, masterAddress, nil)
		host, _ := s.registerHost()
		orders := s.registerSlave(master)
		master.Send(orders, runTask("t1", "e1"))
		launch := actortest.Await[*wire.LaunchExecutor](t, host.Probe)
		executor := s.node("executor e1", wire.RoleExecutor, "", launch.GetSecret())
		executor.Send(actor.At(slaveAddress, Name), subscribe("e1"))
		toSlave := executor.Next(t).From
		// More than fits into the slave's mailbox, and each has to be refused.
		const flood = 3 * actor.DefaultMailboxLimit / 2
		executor.Do(func(ctx actor.Context) {
			for range flood {
				ctx.Send(toSlave, update("e1", "t1", mesos.TaskState_TASK_RUNNING, "short"))
			}
		})
		for range 10 {
			synctest.Wait()
			time.Sleep(time.Second)
		}
		// Whether it was refused each time or lost its session for it, the others are well.
		master.Send(orders, runTask("t2", ""))
		actortest.Await[*wire.LaunchExecutor](t, host.Probe)
		if v := s.slave.View(); !v.HasHost || !v.Registered {
			t.Errorf("the slave lost its host or its master: %+v", v)
		}
		if n := s.system.Stats().MailboxHighWater; n > SessionMailbox {
			t.Errorf("%d messages waited for one actor", n)
		}
	})
}

func TestAWorkDirThatCanNotBeMadeIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		s := newStory(t, func(c *Config) { c.WorkDir = filepath.Join(file, "work") })
		<-s.slave.Done()
		if err := s.slave.Err(); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "--work_dir") {
			t.Errorf("got %v, want an error that names the folder and the flag", err)
		}
	})
}

func TestAHostThatCanNotBeStartedEndsTheSlave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, func(c *Config) {
			c.StartHost = func(HostSpec) (Process, error) { return nil, errors.New("exec: no such file") }
		})
		<-s.slave.Done()
		if err := s.slave.Err(); err == nil || !strings.Contains(err.Error(), "exec: no such file") {
			t.Errorf("got %v, want the reason", err)
		}
	})
}
