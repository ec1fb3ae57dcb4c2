package scheduler

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// What a framework can make of the resources that it is offered. Each of these methods changes what is left of the offer at
// once, so that Take finds it, and is carried out when the offer is launched on or accepted, before the tasks. What has become
// of it Scheduler.Operation hears under the returned id.
//
//	disk := resource.Scalar(resource.Disk, 100*resource.Unit)
//	o.Reserve(disk)
//	o.CreateVolume("data", "data", 100, false)
//	task, err := o.Take(scheduler.Task{…, Volumes: []scheduler.Volume{{ID: "data", Path: "data"}}})
//	d.Launch(o, task)

// Volume is a wish for a persistent volume that is there already, or that CreateVolume has just made.
type Volume struct {
	// ID names it among those of the offer's role on the slave.
	ID string
	// Path is where the task sees it: below / or relative to its sandbox. "" is what the volume's maker said.
	Path     string
	ReadOnly bool
}

// Reserve keeps resources that are reserved for nobody, or for a role above, for the offer's role: nobody else is offered them
// until they are unreserved, also when no task uses them. The default role can have nothing reserved.
func (o *Offer) Reserve(need resource.Resources) (id string, err error) {
	unreserved := o.plain().Filter(func(r resource.Resource) bool { return r.Role() != o.Role() })
	from, ok := unreserved.Take(need)
	if !ok {
		return "", &Shortage{Lacks: lacks(unreserved, need.Quantities())}
	}
	to := from.Reserve(resource.Reservation{Role: o.Role(), Principal: o.principal})
	return o.operate(&mesos.Offer_Operation{
		Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: to.ToProto()},
	})
}

// Unreserve undoes Reserve.
func (o *Offer) Unreserve(need resource.Resources) (id string, err error) {
	own := o.ownReserved()
	from, ok := own.Take(need)
	if !ok {
		return "", &Shortage{Lacks: lacks(own, need.Quantities())}
	}
	return o.operate(&mesos.Offer_Operation{
		Type: mesos.Offer_Operation_UNRESERVE.Enum(), Unreserve: &mesos.Offer_Operation_Unreserve{Resources: from.ToProto()},
	})
}

// CreateVolume makes a persistent volume of so many megabytes (2^20 bytes) of disk that is reserved for the offer's role. It
// keeps what tasks write there until it is destroyed. path is where a task sees it that does not say otherwise; several tasks
// at a time may use one that is shared.
func (o *Offer) CreateVolume(volumeID, path string, mb float64, shared bool) (id string, err error) {
	need := resource.Quantities{{Name: resource.Disk, Thousandths: resource.Thousandths(mb)}}
	for r := range o.reservedFor(o.Role()).Named(resource.Disk).All() {
		if !(mb > 0) || r.Thousandths() < need[0].Thousandths {
			continue
		}
		disk, _ := resource.Of(r).Take(resource.Scalar(resource.Disk, need[0].Thousandths))
		volume := resource.NewVolume(disk, volumeID, o.principal, path, shared)
		return o.operate(&mesos.Offer_Operation{
			Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: volume.ToProto()},
		})
	}
	return "", &Shortage{Lacks: lacks(o.reservedFor(o.Role()), need)}
}

// DestroyVolume deletes a persistent volume with all that is in it. Its disk stays reserved.
func (o *Offer) DestroyVolume(volumeID string) (id string, err error) {
	volume, err := o.volume(volumeID)
	if err != nil {
		return "", err
	}
	return o.operate(&mesos.Offer_Operation{
		Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: volume.ToProto()},
	})
}

// GrowVolume adds megabytes of reserved disk to a persistent volume.
func (o *Offer) GrowVolume(volumeID string, mb float64) (id string, err error) {
	volume, err := o.volume(volumeID)
	if err != nil {
		return "", err
	}
	need := resource.Scalar(resource.Disk, resource.Thousandths(max(0, mb)))
	addition, ok := o.reservedFor(o.Role()).Take(need)
	if !ok || addition.IsEmpty() {
		return "", &Shortage{Lacks: lacks(o.reservedFor(o.Role()), need.Quantities())}
	}
	return o.operate(&mesos.Offer_Operation{
		Type:       mesos.Offer_Operation_GROW_VOLUME.Enum(),
		GrowVolume: &mesos.Offer_Operation_GrowVolume{Volume: volume.ToProto()[0], Addition: addition.ToProto()[0]},
	})
}

// ShrinkVolume takes megabytes from a persistent volume; the disk stays reserved. What is in the volume is not looked at.
func (o *Offer) ShrinkVolume(volumeID string, mb float64) (id string, err error) {
	volume, err := o.volume(volumeID)
	if err != nil {
		return "", err
	}
	return o.operate(&mesos.Offer_Operation{
		Type:         mesos.Offer_Operation_SHRINK_VOLUME.Enum(),
		ShrinkVolume: &mesos.Offer_Operation_ShrinkVolume{Volume: volume.ToProto()[0], Subtract: &mesos.Value_Scalar{Value: &mb}},
	})
}

// Operations are what Reserve and the others have made up so far: Driver.Launch sends them first, and whoever calls
// Driver.Accept instead puts them first.
func (o *Offer) Operations() []*mesos.Offer_Operation { return o.operations }

// operate lets what is left follow an operation, and keeps it for later.
func (o *Offer) operate(operation *mesos.Offer_Operation) (id string, err error) {
	conversion, err := resource.Convert(operation)
	if err != nil {
		return "", err
	}
	allocated := o.Info.GetAllocationInfo().GetRole()
	conversion.From, conversion.To = conversion.From.Allocate(allocated), conversion.To.Allocate(allocated)
	left, ok := conversion.Apply(o.left)
	if !ok {
		panic(fmt.Sprintf("scheduler: %v is not in %v", conversion.From, o.left))
	}
	o.left = left
	operation.Id = mesos.NewOperationID(fmt.Sprintf("%s.%d", o.ID(), len(o.operations)+1))
	o.operations = append(o.operations, operation)
	return operation.GetId().GetValue(), nil
}

// plain is what is left that can be divided and is nobody else's.
func (o *Offer) plain() resource.Resources {
	return o.left.Filter(func(r resource.Resource) bool { return r.Divisible() && !r.Revocable() && !r.Shared() })
}

func (o *Offer) reservedFor(role string) resource.Resources { return o.plain().ReservedFor(role) }

// ownReserved is what is reserved dynamically for the offer's role: nobody can undo what its slave was started with.
func (o *Offer) ownReserved() resource.Resources {
	return o.reservedFor(o.Role()).Dynamic()
}

// volume finds a persistent volume of the offer's role in what is left.
func (o *Offer) volume(id string) (resource.Resources, error) {
	volume := o.left.Volume(o.Role(), id).Once()
	if volume.IsEmpty() {
		return volume, fmt.Errorf("there is no persistent volume %q of role %q in what is left of the offer", id, o.Role())
	}
	return volume, nil
}

// at is the volume as a task wants to see it.
func (v Volume) at(volume resource.Resources) resource.Resources {
	if v.Path == "" && !v.ReadOnly {
		return volume
	}
	mode, path := mesos.Volume_RW, v.Path
	if v.ReadOnly {
		mode = mesos.Volume_RO
	}
	if path == "" {
		for r := range volume.All() {
			path = r.Disk().GetVolume().GetContainerPath()
		}
	}
	return volume.At(path, mode)
}

// lacks compares what there is with what is needed.
func lacks(has resource.Resources, need resource.Quantities) []Lack {
	var all []Lack
	for _, q := range need {
		if got := has.Get(q.Name); got < q.Thousandths {
			all = append(all, Lack{Name: q.Name, Has: resource.Float(got), Wants: resource.Float(q.Thousandths)})
		}
	}
	return all
}

// launchOf is the operation that starts tasks.
func launchOf(tasks []*mesos.TaskInfo) *mesos.Offer_Operation {
	return &mesos.Offer_Operation{
		Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks},
	}
}

// executor takes what a task's executor needs from what is left after the task, if it does not run on the slave yet. It is
// returned as it is to be launched.
func (o *Offer) executor(t Task, left resource.Resources) (*mesos.ExecutorInfo, resource.Resources, error) {
	id := t.Executor.GetExecutorId().GetValue()
	if started := o.started[id]; started != nil {
		return started, resource.Resources{}, nil
	}
	if t.ExecutorRuns {
		return t.Executor, resource.Resources{}, nil
	}
	for _, running := range o.Info.GetExecutorIds() {
		if running.GetValue() == id {
			return t.Executor, resource.Resources{}, nil
		}
	}
	need, err := resource.FromProto(t.Executor.GetResources())
	if err != nil {
		return nil, need, fmt.Errorf("executor %s: %w", id, err)
	}
	if left.Contains(need) {
		return t.Executor, need, nil // exactly as its author says
	}
	picked, ok := left.Take(need)
	if !ok {
		return nil, picked, &Shortage{Lacks: lacks(left, need.Quantities()), executor: id}
	}
	executor := proto.CloneOf(t.Executor)
	executor.Resources = picked.Unallocate().ToProto()
	return executor, picked, nil
}
