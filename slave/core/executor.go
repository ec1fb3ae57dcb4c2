package core

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// framework is a framework that has tasks or executors on this slave.
type framework struct {
	id        string
	info      *mesos.FrameworkInfo
	executors map[string]*executor // by executor id: those that are not gone
	tasks     map[string]*task     // by task id: those that are not forgotten
	known     int                  // bytes of what the slave says of it and of these when it registers again
	removed   bool                 // by the master: nobody waits for updates any more, only executors are left to end

	dropped    uint64    // messages of its executors
	complained time.Time // when the log last said so
}

// executorState is where an executor is in its life. From registering on, its host knows it.
type executorState int

const (
	preparing   executorState = iota // its sandbox is being made
	launching                        // waits for a host
	registering                      // the host starts it
	running                          // it has subscribed
	terminating                      // it was told to end, or is being killed
)

func (s executorState) String() string {
	return [...]string{"preparing", "launching", "registering", "running", "terminating"}[s]
}

// executor is one run of an executor, in one container.
type executor struct {
	id          string
	info        *mesos.ExecutorInfo // with framework_id
	framework   *framework
	command     bool // the built-in command executor: its id is that of its only task
	containerID string
	order       uint64 // of creation
	directory   string // empty while preparing
	state       executorState
	session     Session // 0: not subscribed, or its session ended
	pid         uint32  // 0: not known, or an actor of the host
	deadline    *timer  // to register, to register again or to end
	verdict     *verdict
	volumes     []Volume // that its container was started with
	tasks       []*task  // that are not forgotten, in the order of their arrival
	flying      int      // bytes for it that are on their way over the connection with the host
	waits       bool     // in hostState.waits
}

// verdict is what becomes of an executor's tasks, decided before the executor is gone.
type verdict struct {
	state      mesos.TaskState
	reason     mesos.TaskStatus_Reason
	message    string
	limitation *mesos.TaskResourceLimitation
	cause      string   // of mesos.LabelCause
	labels     []string // further labels: keys and values in turn
}

func (c *Core) addFramework(info *mesos.FrameworkInfo) *framework {
	id := info.GetId().GetValue()
	f := c.frameworks[id]
	if f == nil {
		f = &framework{id: id, executors: map[string]*executor{}, tasks: map[string]*task{}}
		c.frameworks[id] = f
	}
	c.know(f, proto.Size(info)-proto.Size(f.info))
	f.info = info
	return f
}

// know counts what the slave says of a framework, its executors and tasks when it registers again.
func (c *Core) know(f *framework, bytes int) {
	f.known += bytes
	c.known += bytes
}

// knownBytes is what the executor counts.
func (ex *executor) knownBytes() int {
	if ex.command {
		return 0
	}
	return proto.Size(ex.info)
}

// knownBytes is what the task counts, at least as much as what toProto makes of it.
func knownBytes(t *mesos.TaskInfo) int {
	return taskOverhead + proto.Size(t) - proto.Size(t.GetExecutor()) - len(t.GetData())
}

// taskOverhead is what the slave says of a task beside its info: ids, states.
const taskOverhead = 1 << 10

func (c *Core) addExecutor(f *framework, info *mesos.ExecutorInfo, command bool) *executor {
	ex := &executor{
		id: info.GetExecutorId().GetValue(), info: info, framework: f, command: command,
		containerID: c.nextContainerID(), order: c.counter,
	}
	f.executors[ex.id] = ex
	c.know(f, ex.knownBytes())
	c.containers[ex.containerID] = ex
	if ex.fetches() {
		c.mustWithin(ex, MaxFetchTime, mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED, mesos.CauseFetchFailed, "what the executor's command asks for was not fetched within ")
	} else {
		c.awaitRegistration(ex)
	}
	return ex
}

// fetches says whether the executor's sandbox needs more than to be made.
func (ex *executor) fetches() bool { return len(ex.info.GetCommand().GetUris()) > 0 }

// awaitRegistration bounds the time until an executor registers.
func (c *Core) awaitRegistration(ex *executor) {
	c.mustWithin(ex, c.config.ExecutorRegistrationTimeout, mesos.TaskStatus_REASON_EXECUTOR_REGISTRATION_TIMEOUT, mesos.CauseExecutorLost, "the executor did not register within ")
}

// mustWithin ends an executor that is no further by then. The message ends with the time.
func (c *Core) mustWithin(ex *executor, timeout time.Duration, reason mesos.TaskStatus_Reason, cause, message string) {
	c.timers.stop(ex.deadline)
	ex.deadline = c.timers.after(c.now.Add(timeout), func() {
		c.killOrEnd(ex, &verdict{
			state: mesos.TaskState_TASK_FAILED, reason: reason, message: message + stoutDuration(timeout), cause: cause,
		})
	})
}

// prepare has the sandbox made.
func (c *Core) prepare(ex *executor) {
	c.emit(PrepareSandbox{
		SlaveID: c.slaveID, FrameworkID: ex.framework.id, ExecutorID: ex.id, ContainerID: ex.containerID,
		User: c.user(ex), Asked: c.unheeded(ex), Principal: ex.framework.info.GetPrincipal(), URIs: ex.info.GetCommand().GetUris(),
		DiskBytes: ex.disk(),
	})
}

// disk is what the sandbox may take, in bytes; 0 is not limited.
func (ex *executor) disk() int64 {
	bytes := mesos.SandboxBytes(ex.info.GetResources())
	for _, t := range ex.tasks {
		bytes += mesos.SandboxBytes(t.info.GetResources())
	}
	return bytes
}

// user is whom an executor runs as; empty: as the slave.
func (c *Core) user(ex *executor) string {
	switch {
	case !c.config.SwitchUser:
		return ""
	case ex.info.GetCommand().GetUser() != "":
		return ex.info.GetCommand().GetUser()
	default:
		return ex.framework.info.GetUser()
	}
}

// unheeded is the user that an executor's command names and does not get. What its framework runs as is no wish of that kind:
// schedulers always say that, and most mean themselves.
func (c *Core) unheeded(ex *executor) string {
	if c.config.SwitchUser {
		return ""
	}
	return ex.info.GetCommand().GetUser()
}

func (c *Core) sandboxReady(e SandboxReady) {
	ex := c.containers[e.ContainerID]
	if ex == nil || ex.state != preparing {
		c.collect(e.Directory) // its executor did not live to see it
		return
	}
	ex.directory = e.Directory
	if e.FetchURL != "" {
		ex.verdict = &verdict{
			state: mesos.TaskState_TASK_FAILED, reason: mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED, message: e.Err,
			cause: mesos.CauseFetchFailed, labels: []string{mesos.LabelFetchURL, e.FetchURL},
		}
	}
	if e.Err != "" {
		c.endExecutor(ex, &wire.ContainerExit{Cause: wire.ContainerExit_LAUNCH_FAILED, Message: e.Err})
		return
	}
	ex.state = launching
	if ex.fetches() { // else it has been awaited since its creation
		c.awaitRegistration(ex)
	}
	if c.host.session != 0 {
		c.launch(ex)
	}
}

// launch gives an executor to the host, as soon as there is room on the way.
func (c *Core) launch(ex *executor) {
	m := &wire.LaunchExecutor{
		Framework:       ex.framework.info,
		Executor:        ex.info,
		ContainerId:     containerID(ex.containerID),
		Slave:           c.slaveInfo(),
		Directory:       ex.directory,
		User:            c.user(ex),
		Environment:     c.environment(ex),
		CommandExecutor: ex.command,
		Resources:       ex.demand(),
		Limits:          ex.limits(),
	}
	if !c.mayFly(ex, proto.Size(m)) {
		return
	}
	ex.state = registering
	ex.volumes = volumesIn(ex.demand())
	c.emit(Launch{c.host.session, m})
}

// demand is what an executor's container is given: its own resources and those of its tasks that have not ended. That
// of a command task asks for itself.
func (ex *executor) demand() []*mesos.Resource {
	if ex.command {
		return nil
	}
	all := slices.Clone(ex.info.GetResources())
	for _, t := range ex.tasks {
		if t.phase != ended {
			all = append(all, t.info.GetResources()...)
		}
	}
	return all
}

// limits are the ceilings of an executor's container where one of its tasks has a limit of its own (TaskInfo.limits): what the
// executor has and all the tasks may have together, as in Mesos. Those of a command task are in what it asks for itself.
func (ex *executor) limits() map[string]*mesos.Value_Scalar {
	if ex.command {
		return nil
	}
	limits := map[string]*mesos.Value_Scalar{}
	for _, name := range []string{resource.CPUs, resource.Mem} {
		sum, asked := amount(ex.info.GetResources(), name), false
		for _, t := range ex.tasks {
			limit := t.info.GetLimits()[name]
			switch {
			case t.phase == ended:
			case limit != nil:
				sum, asked = sum+limit.GetValue(), true
			default:
				sum += amount(t.info.GetResources(), name)
			}
		}
		if asked {
			limits[name] = &mesos.Value_Scalar{Value: &sum}
		}
	}
	return limits
}

// amount is how much there is of a scalar resource; what is not valid was the master's to refuse.
func amount(all []*mesos.Resource, name string) float64 {
	r, _ := resource.FromProto(all)
	return resource.Float(r.Get(name))
}

// maybeResize lets the container of a task's executor follow when the task comes or goes.
func (c *Core) maybeResize(t *task) {
	ex := t.executor
	if ex == nil || ex.command || len(t.info.GetResources()) == 0 || c.host.session == 0 {
		return
	}
	if c.containers[ex.containerID] != ex || ex.state != registering && ex.state != running {
		return // it is not there yet, or about to go
	}
	c.send(c.host.session, &wire.ResizeExecutor{ContainerId: containerID(ex.containerID), Resources: ex.demand(), Limits: ex.limits()})
}

// fromExecutor handles what comes over a session that claims to be an executor's.
func (c *Core) fromExecutor(s Session, p *peer, call *executorpb.Call) {
	if call.GetType() == executorpb.Call_SUBSCRIBE {
		c.subscribe(s, p, call)
		return
	}
	ex := p.executor
	if ex == nil || ex.id != call.GetExecutorId().GetValue() || ex.framework.id != call.GetFrameworkId().GetValue() {
		c.refuse(s, "executor %q of framework %q has not subscribed over this session",
			call.GetExecutorId().GetValue(), call.GetFrameworkId().GetValue())
		return
	}
	switch call.GetType() {
	case executorpb.Call_UPDATE:
		c.landed(ex)
		c.updateFromExecutor(ex, call.GetUpdate().GetStatus())
	case executorpb.Call_MESSAGE:
		c.messageFromExecutor(ex, call.GetMessage().GetData())
	case executorpb.Call_HEARTBEAT:
	default:
		c.refuse(s, "executors may call SUBSCRIBE, UPDATE, MESSAGE and HEARTBEAT, not %s", call.GetType())
	}
}

// subscribe makes a session that of its executor, says what the executor has to know and delivers what waits for it.
func (c *Core) subscribe(s Session, p *peer, call *executorpb.Call) {
	f := c.frameworks[call.GetFrameworkId().GetValue()]
	var ex *executor
	if f != nil {
		ex = f.executors[call.GetExecutorId().GetValue()]
	}
	switch {
	case ex == nil || ex.state < registering:
		c.expel(s, "executor %q of framework %q was not started by this slave",
			call.GetExecutorId().GetValue(), call.GetFrameworkId().GetValue())
		return
	case !c.proved(p.proof, ex):
		c.expel(s, "executor %q of framework %q did not prove itself with its secret", ex.id, f.id)
		return
	case p.executor != nil && p.executor != ex:
		c.expel(s, "this session belongs to executor %q", p.executor.id)
		return
	}
	if ex.session != 0 && ex.session != s {
		c.closeSession(ex.session, "the executor subscribed over another session")
	}
	ex.session, p.executor = s, ex
	if ex.state == terminating {
		for _, u := range call.GetSubscribe().GetUnacknowledgedUpdates() {
			c.updateFromExecutor(ex, u.GetStatus())
		}
		c.send(s, &executorpb.Event{Type: executorpb.Event_SHUTDOWN.Enum()})
		return
	}
	ex.state = running
	c.timers.stop(ex.deadline)
	c.landed(ex)
	c.send(s, &executorpb.Event{Type: executorpb.Event_SUBSCRIBED.Enum(), Subscribed: c.subscribed(ex)})
	c.reconcile(ex, call.GetSubscribe())
	for _, t := range slices.Clone(ex.tasks) {
		c.maybeDeliver(t)
		c.maybeDeliverKill(t)
	}
}

// subscribed is what an executor hears of itself. A command executor was launched with all of it.
func (c *Core) subscribed(ex *executor) *executorpb.Event_Subscribed {
	m := &executorpb.Event_Subscribed{
		ExecutorInfo: ex.info, FrameworkInfo: ex.framework.info, AgentInfo: c.slaveInfo(), ContainerId: containerID(ex.containerID),
	}
	if ex.command {
		m.ExecutorInfo = &mesos.ExecutorInfo{ExecutorId: ex.info.ExecutorId, FrameworkId: ex.info.FrameworkId}
		m.FrameworkInfo = &mesos.FrameworkInfo{Id: ex.framework.info.Id, Name: ex.framework.info.Name, User: ex.framework.info.User}
	}
	return m
}

// proved says whether a peer may speak for an executor: with the executor's own secret, or, for the actors of the
// host that command executors are, with the host's.
func (c *Core) proved(proof Proof, ex *executor) bool {
	if ex.command {
		return proof.HostID != "" && proof.HostID == c.host.id
	}
	return proof.ContainerID == ex.containerID
}

// reconcile compares what an executor that subscribes again knows with what it was given. A task that was sent and
// that it has never heard of was lost on the way.
func (c *Core) reconcile(ex *executor, subscribe *executorpb.Call_Subscribe) {
	for _, u := range subscribe.GetUnacknowledgedUpdates() {
		c.updateFromExecutor(ex, u.GetStatus())
	}
	known := map[string]bool{}
	for _, t := range subscribe.GetUnacknowledgedTasks() {
		known[t.GetTaskId().GetValue()] = true
	}
	for _, t := range slices.Clone(ex.tasks) {
		if t.phase == delivered && t.latest == nil && !known[t.id] {
			c.endTask(t, verdict{
				state:   dropped(ex.framework.info),
				reason:  mesos.TaskStatus_REASON_EXECUTOR_REREGISTRATION_TIMEOUT,
				message: "the task was lost on its way to the executor",
			})
		}
	}
}

// executorSessionClosed gives an executor a little time to come back, or to be reported as ended by its host.
func (c *Core) executorSessionClosed(ex *executor, s Session, why string) {
	if ex.session != s {
		return
	}
	ex.session = 0
	if ex.state != running {
		return
	}
	timeout := c.config.ExecutorReregistrationTimeout
	ex.deadline = c.timers.after(c.now.Add(timeout), func() {
		c.killOrEnd(ex, &verdict{
			state:   lost(ex.framework.info),
			reason:  mesos.TaskStatus_REASON_EXECUTOR_REREGISTRATION_TIMEOUT,
			message: fmt.Sprintf("the executor did not come back within %s after its session had ended: %s", stoutDuration(timeout), why),
			cause:   mesos.CauseExecutorLost,
		})
	})
}

// killOrEnd ends an executor by force. One that no host knows has nothing that could be killed.
func (c *Core) killOrEnd(ex *executor, v *verdict) {
	if ex.verdict == nil {
		ex.verdict = v
	}
	if ex.state < registering {
		if ex.state == preparing && ex.fetches() {
			c.emit(AbandonSandbox{ex.containerID})
		}
		c.endExecutor(ex, &wire.ContainerExit{Cause: wire.ContainerExit_KILLED, WaitStatus: killedBySignal})
		return
	}
	c.killExecutor(ex)
}

// shutdownExecutor asks an executor to end and makes sure that it does. One that has lost its session is asked when it is back.
func (c *Core) shutdownExecutor(ex *executor, grace time.Duration, v *verdict) {
	if ex.state == terminating {
		return
	}
	if ex.state != running {
		c.killOrEnd(ex, v)
		return
	}
	ex.state, ex.verdict = terminating, v
	if ex.session != 0 {
		c.send(ex.session, &executorpb.Event{Type: executorpb.Event_SHUTDOWN.Enum()})
	}
	c.timers.stop(ex.deadline)
	ex.deadline = c.timers.after(c.now.Add(grace), func() { c.killExecutor(ex) })
}

// blame remembers who wanted the end of all of an executor's tasks.
func (ex *executor) blame(by string) {
	for _, t := range ex.tasks {
		t.blame(by)
	}
}

// grace is how long an executor may take to end after SHUTDOWN.
func (c *Core) grace(ex *executor) time.Duration {
	if d := ex.info.GetShutdownGracePeriod(); d != nil {
		return max(0, time.Duration(d.GetNanoseconds()))
	}
	return c.config.ExecutorShutdownGrace
}

func (c *Core) shutdownExecutorRequested(m *wire.ShutdownExecutor) {
	f := c.frameworks[m.GetFrameworkId().GetValue()]
	if f == nil || f.executors[m.GetExecutorId().GetValue()] == nil {
		c.note(Info, "executor %s of framework %s is to be shut down, but it does not run here",
			m.GetExecutorId().GetValue(), m.GetFrameworkId().GetValue())
		return
	}
	ex := f.executors[m.GetExecutorId().GetValue()]
	ex.blame(mesos.KilledByScheduler)
	c.shutdownExecutor(ex, c.grace(ex), &verdict{
		state:   mesos.TaskState_TASK_KILLED,
		reason:  mesos.TaskStatus_REASON_EXECUTOR_TERMINATED,
		message: "the executor was shut down as its framework asked",
		cause:   mesos.CauseKilled,
	})
}

// removeFramework ends all that a framework has here. Nobody is left to acknowledge its updates.
func (c *Core) removeFramework(m *wire.RemoveFramework) {
	c.forgetOperationsOf(m.GetFrameworkId().GetValue())
	f := c.frameworks[m.GetFrameworkId().GetValue()]
	if f == nil || f.removed {
		return
	}
	f.removed = true
	for _, id := range sortedKeys(f.tasks) {
		c.forgetTask(f.tasks[id])
	}
	for _, id := range sortedKeys(f.executors) {
		ex := f.executors[id]
		c.shutdownExecutor(ex, c.grace(ex), nil)
	}
	c.maybeForgetFramework(f)
}

func (c *Core) messageToExecutor(m *wire.FrameworkMessage) {
	var ex *executor
	if f := c.frameworks[m.GetFrameworkId().GetValue()]; f != nil {
		ex = f.executors[m.GetExecutorId().GetValue()]
	}
	if ex != nil && ex.command {
		return // It has no ear for messages, and the connection that it shares with all others is not for them.
	}
	if ex == nil || ex.session == 0 || ex.state != running {
		c.note(Info, "dropped a message for executor %s of framework %s: it is not subscribed",
			m.GetExecutorId().GetValue(), m.GetFrameworkId().GetValue())
		return
	}
	c.send(ex.session, &executorpb.Event{
		Type: executorpb.Event_MESSAGE.Enum(), Message: &executorpb.Event_Message{Data: m.GetData()},
	})
}

// endExecutor is the end of an executor, and of those of its tasks that have not ended.
func (c *Core) endExecutor(ex *executor, exit *wire.ContainerExit) {
	f := ex.framework
	c.timers.stop(ex.deadline)
	delete(f.executors, ex.id)
	c.know(f, -ex.knownBytes())
	delete(c.containers, ex.containerID)
	c.landed(ex)
	if ex.state >= registering && !ex.command {
		c.emit(ForgetSecret{ex.containerID})
	}
	if ex.session != 0 {
		c.closeSession(ex.session, "the executor ended")
		ex.session = 0
	}
	v := ex.verdictOn(exit)
	for _, t := range slices.Clone(ex.tasks) {
		if t.phase != ended {
			c.endTask(t, v)
		}
	}
	if !ex.command {
		c.note(Info, "executor %s of framework %s ended: %s", ex.id, f.id, describe(exit))
		c.tellExited(&wire.ExecutorExited{
			FrameworkId: f.info.GetId(), ExecutorId: ex.info.GetExecutorId(), WaitStatus: exit.GetWaitStatus(),
		})
	}
	c.counters.ExecutorsEnded++
	c.completed.addExecutor(f, ex, c.now)
	c.collect(ex.directory)
	c.persist(nil, ExecutorForgotten{f.id, ex.id, ex.containerID})
	c.maybeForgetFramework(f)
}

// tellExited tells the master of an executor's end, or will as soon as it has accepted this slave with that executor. One that
// is asked later does not hear of the executor at all.
func (c *Core) tellExited(m *wire.ExecutorExited) {
	if !c.toMaster(m) && c.master.asked {
		c.master.exited = append(c.master.exited, m)
	}
}

// verdictOn says what became of the tasks of an executor that ended without having said so itself.
func (ex *executor) verdictOn(exit *wire.ContainerExit) verdict {
	if ex.verdict != nil {
		return *ex.verdict
	}
	switch exit.GetCause() {
	case wire.ContainerExit_HOST_LOST:
		return verdict{state: lost(ex.framework.info), reason: mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, message: describe(exit), cause: mesos.CauseHostLost}
	case wire.ContainerExit_LAUNCH_FAILED, wire.ContainerExit_NOT_FOUND, wire.ContainerExit_NOT_EXECUTABLE:
		return verdict{
			state: mesos.TaskState_TASK_FAILED, reason: mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED, message: describe(exit),
			cause: launchCause(exit.GetCause()),
		}
	case wire.ContainerExit_MEMORY:
		return verdict{
			state: mesos.TaskState_TASK_FAILED, reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY, message: describe(exit),
			limitation: mesos.LimitationOf("mem", exit.GetMemoryPeakBytes()), cause: mesos.CauseMemory,
			labels: []string{
				mesos.LabelMemoryLimitBytes, fmt.Sprint(exit.GetMemoryLimitBytes()), mesos.LabelMemoryPeakBytes, fmt.Sprint(exit.GetMemoryPeakBytes()),
			},
		}
	case wire.ContainerExit_DISK:
		return verdict{
			state: mesos.TaskState_TASK_FAILED, reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK, message: describe(exit),
			limitation: mesos.LimitationOf("disk", exit.GetDiskUsedBytes()), cause: mesos.CauseDisk,
			labels: []string{
				mesos.LabelDiskLimitBytes, fmt.Sprint(exit.GetDiskLimitBytes()), mesos.LabelDiskUsedBytes, fmt.Sprint(exit.GetDiskUsedBytes()),
			},
		}
	case wire.ContainerExit_PIDS:
		return verdict{
			state: mesos.TaskState_TASK_FAILED, reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION, message: "the executor ended: " + describe(exit),
			cause: mesos.CausePIDs, labels: []string{mesos.LabelPIDsLimit, fmt.Sprint(exit.GetPidsLimit())},
		}
	}
	v := verdict{reason: mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, message: "the executor ended: " + describe(exit), cause: mesos.CauseExecutorLost}
	if v.state = lost(ex.framework.info); ex.command {
		v.state = mesos.TaskState_TASK_FAILED
	}
	return v
}

// describe puts the end of a container into words.
func describe(exit *wire.ContainerExit) string {
	switch status := exit.GetWaitStatus(); {
	case exit.GetMessage() != "":
		return exit.GetMessage()
	case exit.GetCause() == wire.ContainerExit_HOST_LOST:
		return "the host process ended"
	case exit.GetCause() == wire.ContainerExit_MEMORY:
		return fmt.Sprintf("out of memory: limit %d bytes, peak %d bytes", exit.GetMemoryLimitBytes(), exit.GetMemoryPeakBytes())
	case exit.GetCause() == wire.ContainerExit_DISK:
		has := fmt.Sprintf("out of disk: limit %d bytes, its sandbox has %d bytes", exit.GetDiskLimitBytes(), exit.GetDiskUsedBytes())
		if unlinked := exit.GetDiskUnlinkedBytes(); unlinked > 0 {
			has += fmt.Sprintf(", %d of them in files that were removed and still open", unlinked)
		}
		return has
	case exit.GetCause() == wire.ContainerExit_KILLED:
		return "killed"
	case exit.GetCause() != wire.ContainerExit_EXITED && exit.GetCause() != wire.ContainerExit_PIDS:
		return "it could not be started"
	case status&0x7f != 0:
		return fmt.Sprintf("signal %d", status&0x7f)
	default:
		return fmt.Sprintf("exit status %d", status>>8&0xff)
	}
}

// launchCause is why an executor could not be started, in one word.
func launchCause(cause wire.ContainerExit_Cause) string {
	switch cause {
	case wire.ContainerExit_NOT_FOUND:
		return mesos.CauseNotFound
	case wire.ContainerExit_NOT_EXECUTABLE:
		return mesos.CauseNotExecutable
	}
	return mesos.CauseLaunchFailed
}

func (c *Core) maybeForgetFramework(f *framework) {
	if len(f.executors) > 0 || len(f.tasks) > 0 || c.frameworks[f.id] != f {
		return
	}
	delete(c.frameworks, f.id)
	c.know(f, -proto.Size(f.info))
	c.completed.addFramework(f, c.now)
	c.persist(nil, FrameworkForgotten{f.id})
}
