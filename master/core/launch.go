package core

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// launching is a task that may be launched.
type launching struct {
	info      *mesos.TaskInfo    // as the slave gets it: refined, allocated resources; its executor's framework filled in
	resources resource.Resources // not in allocated form
	left      resource.Resources // of the offers, after it
	// starts says that the task's executor does not run on the slave yet, so that it is charged too.
	starts            bool
	executorResources resource.Resources
}

// checkLaunch reports why a task cannot be launched with what is left, or what it takes.
func (c *Core) checkLaunch(a *acceptance, info *mesos.TaskInfo) (launching, error) {
	l := launching{left: a.left}
	if err := mesos.ValidateTaskInfo(info); err != nil {
		return l, err
	}
	id := info.GetTaskId().GetValue()
	if a.framework.tasks[id] != nil {
		return l, fmt.Errorf("task has duplicate id %s: one with this id is %v, and its end is not yet acknowledged", id, a.framework.tasks[id].state())
	}
	if slaveID := info.GetAgentId().GetValue(); slaveID != a.slave.id {
		return l, fmt.Errorf("task %s is for slave %s, the offer is of slave %s", id, slaveID, a.slave.id)
	}
	var err error
	if l.resources, err = ofRole(info.GetResources(), a.role); err != nil {
		return l, fmt.Errorf("task %s: %w", id, err)
	}
	if l.resources.IsEmpty() {
		return l, fmt.Errorf("task %s uses no resources: it must use some of the offer's", id)
	}
	l.info = shallow(info)
	l.info.Resources = l.resources.Allocate(a.role).ToProto()
	if info.GetExecutor() != nil {
		if err := c.checkExecutor(a, &l); err != nil {
			return l, fmt.Errorf("task %s: %w", id, err)
		}
	} else if a.slave.executors[executorKey{a.framework.id, id}] != nil {
		return l, fmt.Errorf("task %s has a command, and slave %s has an executor of this id: one of the two must have another id", id, a.slave.id)
	}
	if err := l.checkUse(); err != nil {
		return l, fmt.Errorf("task %s: %w", id, err)
	}
	if size := proto.Size(l.info) + proto.Size(a.framework.info); size > MaxTaskBytes {
		return l, fmt.Errorf("task %s and its framework's info have %d bytes: at most %d are allowed", id, size, MaxTaskBytes)
	}
	return l, l.take(a)
}

// checkUse reports what cannot be used as the task and its executor want to, although it may be there.
func (l *launching) checkUse() error {
	both := l.resources
	if l.starts {
		both = both.Add(l.executorResources)
	}
	revocable := map[string]bool{}
	for x := range both.All() {
		volume := x.Disk().GetVolume()
		switch is, seen := revocable[x.Name()]; {
		case seen && is != x.Revocable():
			return fmt.Errorf("its %s are revocable in part: a task and its executor must use such ones only, or none", x.Name())
		case x.VolumeID() == "" && volume != nil:
			return fmt.Errorf("its disk has a volume that is not persistent: disk.persistence must be set")
		case x.VolumeID() != "" && volume.GetContainerPath() == "":
			return fmt.Errorf("persistent volume %q has no container_path: it must say where the task sees it", x.VolumeID())
		case x.VolumeID() != "" && (volume.HostPath != nil || volume.GetSource() != nil || volume.GetImage() != nil):
			return fmt.Errorf("persistent volume %q has a host_path, source or image: where it is on the machine is the slave's to say", x.VolumeID())
		case x.VolumeID() != "" && x.Copies() > 1:
			return fmt.Errorf("persistent volume %q is used twice: a task and its executor can use it once", x.VolumeID())
		}
		revocable[x.Name()] = x.Revocable()
	}
	return nil
}

// take takes what the task needs from what is left.
func (l *launching) take(a *acceptance) error {
	rest, ok := without(a.left, l.resources)
	if !ok {
		return fmt.Errorf("task %s uses more resources %v than available %v", l.info.GetTaskId().GetValue(), l.resources, a.left)
	}
	l.left = rest
	if !l.starts {
		return nil
	}
	rest, ok = without(l.left, l.executorResources)
	if !ok {
		return fmt.Errorf("task %s and its executor use more resources %v than available %v",
			l.info.GetTaskId().GetValue(), l.resources.Add(l.executorResources), a.left)
	}
	l.left = rest
	return nil
}

// without takes resources from what is left of offers. What is shared stays, for others to use too.
func without(left, r resource.Resources) (resource.Resources, bool) {
	rest, ok := left.Sub(r.Exclusive())
	return rest, ok && left.Contains(r.SharedOnly().Once())
}

// checkExecutor fills in the framework of the task's executor, and finds out whether the executor runs already: then it
// must be the same.
func (c *Core) checkExecutor(a *acceptance, l *launching) error {
	e := shallow(l.info.GetExecutor())
	id := e.GetExecutorId().GetValue()
	if got := e.GetFrameworkId().GetValue(); got != "" && got != a.framework.id {
		return fmt.Errorf("executor %s has framework id %s, the framework's is %s", id, got, a.framework.id)
	}
	if e.Type != nil && e.GetType() != mesos.ExecutorInfo_CUSTOM {
		return fmt.Errorf("executor %s is of type %v: one that LAUNCH starts must be CUSTOM", id, e.GetType())
	}
	e.FrameworkId = a.framework.info.Id
	var err error
	if l.executorResources, err = ofRole(e.GetResources(), a.role); err != nil {
		return fmt.Errorf("executor %s: %w", id, err)
	}
	e.Resources = l.executorResources.Allocate(a.role).ToProto()
	l.info.Executor = e
	if t := a.slave.tasks[taskKey{a.framework.id, id}]; t != nil && t.seen.ExecutorId == nil {
		return fmt.Errorf("executor %s has the id of a task with a command on slave %s: it must have another id", id, a.slave.id)
	}
	running := a.slave.executors[executorKey{a.framework.id, id}]
	if running == nil {
		l.starts = true
		return nil
	}
	if fields := differences(running, e, l.executorResources); len(fields) > 0 {
		return fmt.Errorf("executor %s differs in %s from the one of this id that runs on slave %s already: it must be the same, or have another id",
			id, strings.Join(fields, ", "), a.slave.id)
	}
	return nil
}

// differences returns the names of the fields in which e is not the executor that runs. Its resources are compared apart
// from the role that they are allocated to.
func differences(running *executor, e *mesos.ExecutorInfo, resources resource.Resources) []string {
	var fields []string
	a, b := running.info.ProtoReflect(), e.ProtoReflect()
	for list, i := a.Descriptor().Fields(), 0; i < list.Len(); i++ {
		field := list.Get(i)
		same := a.Has(field) == b.Has(field) && a.Get(field).Equal(b.Get(field))
		if field.Name() == "resources" {
			same = running.resources.Equal(resources)
		}
		if !same {
			fields = append(fields, string(field.Name()))
		}
	}
	return fields
}

// ofRole reads resources that are to be allocated to the role of an offer: they say so, or do not say.
func ofRole(list []*mesos.Resource, role string) (resource.Resources, error) {
	r, got, err := allocated(list, role)
	if err == nil && got != role {
		return r, fmt.Errorf("resources are allocated to role %q, the offer is for role %q", got, role)
	}
	return r, err
}

// allocated reads resources and the one role that they are allocated to, otherwise if they do not say. The resources come
// without it.
func allocated(list []*mesos.Resource, otherwise string) (resource.Resources, string, error) {
	r, err := resource.FromProto(list)
	if err != nil {
		return r, "", err
	}
	role := ""
	for x := range r.All() {
		if got := or(x.AllocationRole(), otherwise); role == "" {
			role = got
		} else if got != role {
			return r, "", fmt.Errorf("resources are allocated to two roles, %q and %q: all must be allocated to one", role, got)
		}
	}
	return r.Unallocate(), or(role, otherwise), nil
}

// shallow returns a message with the same fields as m, unknown ones included. What they point to is shared, so only the
// fields themselves may be replaced.
func shallow[M proto.Message](m M) M {
	from := m.ProtoReflect()
	to := from.New()
	from.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		to.Set(field, value)
		return true
	})
	to.SetUnknown(from.GetUnknown())
	return to.Interface().(M)
}
