package command

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/executor/core"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// DefaultKillGrace is the time between SIGTERM and SIGKILL for a task without a kill policy: Mesos's 3 s.
const DefaultKillGrace = 3 * time.Second

// driverPrefix is that of the variables by which executors' drivers find the slave: a command has none.
const driverPrefix = "LIBPROCESS_"

// tokenVariable holds an executor's secret, which is not the task's to know.
const tokenVariable = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN"

// phase is how far the only task is.
type phase int

const (
	waiting  phase = iota // for LAUNCH
	starting              // the host starts the container
	running               // the command runs
	over                  // the terminal update is told, or none will be; acknowledged, it ends the executor
)

func (p phase) String() string { return [...]string{"waiting", "starting", "running", "over"}[p] }

// intent is why the task is being ended.
type intent int

const (
	none          intent = iota
	byKill               // KILL
	byShutdown           // SHUTDOWN, or no slave any more
	byTimeAllowed        // max_completion_time
)

// commandCore decides what a command executor does: the ordinary executor's core, and above it the life of one task.
//
//	event (one of)             what it is
//	core.Event                 from the slave, or time
//	*wire.ContainerStarted     from the host
//	*wire.ContainerExited      from the host
//
// Outputs are core.Connect, core.Send and core.HangUp to the slave, *wire.StartContainer, *wire.SignalContainer and
// *wire.KillContainer to the host, and finished, the last one.
type commandCore struct {
	launch *wire.LaunchExecutor
	driver *core.Core
	phase  phase
	intent intent
	task   *mesos.TaskInfo

	without []string // limits that are not enforced; where there are any, volumes are not read-only either
	stopped bool     // the executor's core was told that there is nothing more to do

	killedAt time.Time // when the first SIGTERM was sent
	killBy   time.Time // when SIGKILL follows; zero: no kill is under way, or SIGKILL was sent
	expires  time.Time // by max_completion_time
	out      []any
}

// finished tells that the executor has nothing more to do. Err is why it could not do its work to the end.
type finished struct{ Err error }

func newCore(launch *wire.LaunchExecutor, config core.Config) *commandCore {
	return &commandCore{launch: launch, driver: core.New(config)}
}

// Step takes one event at its time and returns what is to be done, in order. now never goes back.
func (c *commandCore) Step(now time.Time, event any) []any {
	c.out = nil
	switch e := event.(type) {
	case core.Event:
		c.drive(now, e)
	case *wire.ContainerStarted:
		c.started(now)
	case *wire.ContainerExited:
		c.exited(now, e.GetExit())
	default:
		panic(fmt.Sprintf("command executor: event %T", event))
	}
	c.ring(now)
	c.maybeStop(now)
	return c.out
}

// maybeStop has the executor end when nobody waits for it any more. Whoever was told to shut down does not insist on
// acknowledgements: the slave may have gone.
func (c *commandCore) maybeStop(now time.Time) {
	if c.phase == over && !c.stopped && (c.driver.Unacknowledged() == 0 || c.intent == byShutdown) {
		c.stopped = true
		c.drive(now, core.Stop{})
	}
}

// Deadline is when the core next wants a Step, at the latest; zero if it waits for nothing but events.
func (c *commandCore) Deadline() time.Time {
	next := c.driver.Deadline()
	for _, at := range []time.Time{c.killBy, c.expires} {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// ring does what is due.
func (c *commandCore) ring(now time.Time) {
	if !c.killBy.IsZero() && !now.Before(c.killBy) {
		c.killBy = time.Time{}
		c.killContainer()
	}
	if !c.expires.IsZero() && !now.Before(c.expires) {
		c.expires = time.Time{}
		if c.intent == none {
			c.intent = byTimeAllowed
			c.killContainer()
		}
	}
}

// drive gives the executor's core an event, and handles what it says to the executor's author: this one.
func (c *commandCore) drive(now time.Time, event core.Event) {
	for _, output := range c.driver.Step(now, event) {
		switch o := output.(type) {
		case core.Connect, core.Send, core.HangUp:
			c.emit(o)
		case core.Launch:
			c.launched(now, o.Task)
		case core.Kill:
			if c.task != nil && c.task.GetTaskId().GetValue() == o.TaskID {
				c.kill(now, byKill, o.Policy)
			}
		case core.Shutdown:
			c.shutdown(now)
		case core.Ended:
			c.ended(o.Err)
		case core.Subscribed, core.Disconnected, core.Heard, core.Denied:
			// A command has no ear for messages.
		}
	}
}

// launched starts the task's container.
func (c *commandCore) launched(now time.Time, task *mesos.TaskInfo) {
	if c.task != nil {
		c.tell(now, &mesos.TaskStatus{
			TaskId: task.GetTaskId(), State: mesos.TaskState_TASK_FAILED.Enum(),
			Reason:  mesos.TaskStatus_REASON_TASK_INVALID.Enum(),
			Message: proto.String(fmt.Sprintf("a command executor runs one task, and has %q already", c.task.GetTaskId().GetValue())),
		})
		return
	}
	c.task = task
	if what := unsupported(task); what != "" {
		c.finish(now, &mesos.TaskStatus{
			State:   mesos.TaskState_TASK_FAILED.Enum(),
			Reason:  mesos.TaskStatus_REASON_TASK_INVALID.Enum(),
			Message: &what, Labels: mesos.MakeLabels(mesos.LabelCause, mesos.CauseInvalid),
		})
		return
	}
	if c.phase == over { // SHUTDOWN came first
		c.finish(now, terminal(task, c.intent, &wire.ContainerExit{Cause: wire.ContainerExit_KILLED}))
		return
	}
	pids, _ := mesos.AskedPIDs(task.GetLabels()) // unsupported has looked at these
	open, _ := askedStdin(task)
	c.phase = starting
	c.tell(now, &mesos.TaskStatus{TaskId: task.GetTaskId(), State: mesos.TaskState_TASK_STARTING.Enum()})
	c.emit(&wire.StartContainer{
		ContainerId: c.launch.GetContainerId(),
		Command:     task.GetCommand(),
		Container:   task.GetContainer(),
		Resources:   task.GetResources(),
		Directory:   c.launch.GetDirectory(),
		User:        c.launch.GetUser(),
		Environment: c.environment(),
		Stdin:       task.GetData(),
		Limits:      task.GetLimits(),
		Pids:        pids,
		OpenStdin:   open,
	})
}

// unsupported says what a task asks for that this executor can't do, or nothing.
func unsupported(task *mesos.TaskInfo) string {
	switch {
	case task.GetCommand() == nil:
		return "the command executor runs tasks that have a command"
	case task.GetHealthCheck() != nil:
		return "the command executor makes no health checks: health_check must be absent"
	case task.GetCheck() != nil:
		return "the command executor makes no checks: check must be absent"
	}
	if _, err := mesos.AskedPIDs(task.GetLabels()); err != nil {
		return err.Error()
	}
	if _, err := askedStdin(task); err != nil {
		return err.Error()
	}
	return ""
}

// askedStdin tells whether a task asks by its label for a standard input that stays open.
func askedStdin(task *mesos.TaskInfo) (bool, error) {
	for _, label := range task.GetLabels().GetLabels() {
		switch {
		case label.GetKey() != mesos.LabelStdin:
		case label.GetValue() != mesos.StdinOpen:
			return false, fmt.Errorf("label %s %q: it must be %q, or absent", mesos.LabelStdin, label.GetValue(), mesos.StdinOpen)
		case len(task.GetData()) > 0:
			return false, fmt.Errorf("label %s %q: a task with data reads that, and nothing else", mesos.LabelStdin, label.GetValue())
		default:
			return true, nil
		}
	}
	return false, nil
}

// environment is what the task gets of the executor's environment, and what only the executor knows.
func (c *commandCore) environment() map[string]string {
	environment := maps.Clone(c.launch.GetEnvironment())
	if environment == nil {
		environment = make(map[string]string)
	}
	delete(environment, tokenVariable)
	maps.DeleteFunc(environment, func(name, _ string) bool { return strings.HasPrefix(name, driverPrefix) })
	environment["MESOS_TASK_ID"] = c.task.GetTaskId().GetValue()
	environment["MESOS_CONTAINER_ID"] = c.launch.GetContainerId().GetValue()
	environment["MESOS_SANDBOX"] = c.launch.GetDirectory()
	environment["MESOS_DIRECTORY"] = c.launch.GetDirectory()
	return environment
}

func (c *commandCore) started(now time.Time) {
	if c.phase != starting {
		return
	}
	c.phase = running
	if c.intent != none {
		return // it is being killed already: RUNNING would come after KILLING
	}
	status := &mesos.TaskStatus{TaskId: c.task.GetTaskId(), State: mesos.TaskState_TASK_RUNNING.Enum()}
	if without := c.notEnforced(); len(without) > 0 {
		status.Labels = mesos.MakeLabels(mesos.LabelNotEnforced, strings.Join(without, " "))
		status.Message = proto.String("limits are not enforced of " + strings.Join(without, ", "))
	}
	c.tell(now, status)
	if allowed := c.task.GetMaxCompletionTime(); allowed != nil {
		c.expires = now.Add(max(0, time.Duration(allowed.GetNanoseconds())))
	}
}

// notEnforced is what the task may think that it is held by, and is not.
func (c *commandCore) notEnforced() []string {
	readOnly := slices.ContainsFunc(c.task.GetContainer().GetVolumes(), func(v *mesos.Volume) bool { return v.GetMode() == mesos.Volume_RO })
	if len(c.without) == 0 || !readOnly {
		return c.without
	}
	return append(slices.Clone(c.without), mesos.ReadOnlyVolumes)
}

func (c *commandCore) exited(now time.Time, exit *wire.ContainerExit) {
	if c.phase != starting && c.phase != running {
		return
	}
	c.finish(now, terminal(c.task, c.intent, exit))
}

// kill ends the task: the way it is ended depends on how far it is.
func (c *commandCore) kill(now time.Time, why intent, policy *mesos.KillPolicy) {
	if c.phase == waiting || c.phase == over {
		return
	}
	grace := c.killGrace(policy)
	if c.intent != none {
		// The first kill decided why; a later one may only move the end of its grace period.
		if !c.killBy.IsZero() && policy.GetGracePeriod() != nil {
			c.killBy = c.killedAt.Add(grace)
		}
		return
	}
	c.intent, c.expires = why, time.Time{}
	if c.knowsKilling() {
		c.tell(now, &mesos.TaskStatus{TaskId: c.task.GetTaskId(), State: mesos.TaskState_TASK_KILLING.Enum()})
	}
	if c.phase == starting {
		c.killContainer() // there is no command yet that could end in an orderly way
		return
	}
	c.killedAt, c.killBy = now, now.Add(grace)
	c.emit(&wire.SignalContainer{ContainerId: c.launch.GetContainerId(), Signal: sigterm})
}

// killGrace is that of the kill, else that of the task, else the default.
func (c *commandCore) killGrace(policy *mesos.KillPolicy) time.Duration {
	grace := cmp.Or(policy.GetGracePeriod(), c.task.GetKillPolicy().GetGracePeriod())
	if grace == nil {
		return DefaultKillGrace
	}
	return max(0, time.Duration(grace.GetNanoseconds()))
}

// knowsKilling says whether the framework has asked to hear of TASK_KILLING.
func (c *commandCore) knowsKilling() bool {
	for _, capability := range c.launch.GetFramework().GetCapabilities() {
		if capability.GetType() == mesos.FrameworkInfo_Capability_TASK_KILLING_STATE {
			return true
		}
	}
	return false
}

// shutdown ends the executor and its task.
func (c *commandCore) shutdown(now time.Time) {
	switch c.phase {
	case waiting:
		c.phase, c.intent = over, byShutdown
	case over:
		c.intent = byShutdown
	default:
		c.kill(now, byShutdown, nil)
	}
}

func (c *commandCore) killContainer() {
	c.emit(&wire.KillContainer{ContainerId: c.launch.GetContainerId()})
}

// finish tells the task's end and has the executor end when that is acknowledged.
func (c *commandCore) finish(now time.Time, status *mesos.TaskStatus) {
	c.phase, c.killBy, c.expires = over, time.Time{}, time.Time{}
	status.TaskId = c.task.GetTaskId()
	c.tell(now, status)
}

// tell tells an update.
func (c *commandCore) tell(now time.Time, status *mesos.TaskStatus) {
	c.drive(now, core.Update{Status: status})
}

// ended is the end of the executor, whether or not its container has ended.
func (c *commandCore) ended(err error) {
	if c.phase == starting || c.phase == running {
		c.killContainer()
	}
	c.phase, c.killBy, c.expires = over, time.Time{}, time.Time{}
	c.emit(finished{Err: err})
}

func (c *commandCore) emit(o any) { c.out = append(c.out, o) }
