package core

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// convert carries out one operation of an ACCEPT on resources: the ledger follows at once, so that later operations of the
// same ACCEPT find what this one makes, and the slave is told. If it is not valid nothing changes, and the others go on.
func (c *Core) convert(a *acceptance, operation *mesos.Offer_Operation) {
	conversion, err := c.checkConversion(a, operation)
	if err != nil {
		c.operationFailed(a.framework, a.slave, operation, fmt.Sprintf("%v is not valid: %v", operation.GetType(), err))
		return
	}
	if why := c.noRoom(a.slave, a.framework, 2*proto.Size(operation)); why != "" { // what the slave gets is a little longer
		c.operationFailed(a.framework, a.slave, operation, fmt.Sprintf("%v was not carried out: %s", operation.GetType(), why))
		return
	}
	if !conversion.From.SharedOnly().IsEmpty() {
		c.rescindShared(a.slave, conversion.From)
		// Each of the offers has a copy of it.
		conversion.From = conversion.From.Exclusive().Add(a.left.Like(conversion.From.SharedOnly()))
	}
	a.left, _ = conversion.Apply(a.left)
	a.used = true
	c.allocator.Convert(a.framework.client(a.role), a.slave.id, conversion)
	c.counters.Operations++
	c.order(a.slave, a.framework.info.Id, operation)
}

// order has a slave carry out an operation. One that has an id is remembered until its end is acknowledged.
func (c *Core) order(sl *slave, framework *mesos.FrameworkID, operation *mesos.Offer_Operation) {
	if operation.GetId() != nil {
		c.putOperation(sl, framework.GetValue(), &mesos.OperationStatus{
			OperationId: operation.Id, State: mesos.OperationState_OPERATION_PENDING.Enum(), AgentId: sl.info.Id,
		})
	}
	c.toSlave(sl, &wire.ApplyOperation{FrameworkId: framework, Operation: refined(operation)})
}

// checkConversion reports why an operation on resources cannot be carried out with what is left of the offers, or what it
// makes of what.
func (c *Core) checkConversion(a *acceptance, operation *mesos.Offer_Operation) (resource.Conversion, error) {
	conversion, err := resource.Convert(operation)
	if err != nil {
		return conversion, err
	}
	if err := c.checkOperationID(a.framework, operation.GetId()); err != nil {
		return conversion, err
	}
	if _, err := ofRole(operands(operation), a.role); err != nil {
		return conversion, err
	}
	if err := a.framework.mayConvert(operation, conversion, a.role); err != nil {
		return conversion, err
	}
	if err := c.checkVolumes(a.slave, operation, conversion); err != nil {
		return conversion, err
	}
	if !a.left.Contains(conversion.From) {
		return conversion, fmt.Errorf("it needs %v, of the offers only %v is left", conversion.From, a.left)
	}
	if c.isUsed(a.slave, conversion.From) {
		return conversion, fmt.Errorf("%v is in use", conversion.From)
	}
	if grows := written(conversion.To) - written(conversion.From); grows > 0 {
		if size := written(c.allocator.Total(a.slave.id)) + grows; size > MaxResourcesBytes {
			return conversion, fmt.Errorf("all resources of slave %s, with what they are labelled with, would have %d bytes: at most %d are allowed", a.slave.id, size, MaxResourcesBytes)
		}
	}
	return conversion, nil
}

// written is how many bytes resources take in messages.
func written(r resource.Resources) int {
	size := 0
	for _, x := range r.ToProto() {
		size += proto.Size(x)
	}
	return size
}

// checkOperationID reports why an operation cannot have this id.
func (c *Core) checkOperationID(f *framework, id *mesos.OperationID) error {
	if id == nil {
		return nil
	}
	if err := mesos.ValidateID("operation id", id.GetValue()); err != nil {
		return err
	}
	if o, _ := c.operationsOf(f.id).Get(id.GetValue()); o != nil {
		return fmt.Errorf("operation id %s is that of another one that is %v, and its end is not yet acknowledged", id.GetValue(), o.status.GetState())
	}
	return nil
}

// operands are the resources that an operation names.
func operands(operation *mesos.Offer_Operation) []*mesos.Resource {
	switch operation.GetType() {
	case mesos.Offer_Operation_RESERVE:
		return operation.GetReserve().GetResources()
	case mesos.Offer_Operation_UNRESERVE:
		return operation.GetUnreserve().GetResources()
	case mesos.Offer_Operation_CREATE:
		return operation.GetCreate().GetVolumes()
	case mesos.Offer_Operation_DESTROY:
		return operation.GetDestroy().GetVolumes()
	case mesos.Offer_Operation_GROW_VOLUME:
		return []*mesos.Resource{operation.GetGrowVolume().GetVolume(), operation.GetGrowVolume().GetAddition()}
	case mesos.Offer_Operation_SHRINK_VOLUME:
		return []*mesos.Resource{operation.GetShrinkVolume().GetVolume()}
	default:
		return nil
	}
}

// mayConvert reports why a framework may not do that: reserve for a role other than the offer's, in another's name, or
// make what it does not know itself.
func (f *framework) mayConvert(operation *mesos.Offer_Operation, conversion resource.Conversion, role string) error {
	own := f.info.GetPrincipal()
	for x := range conversion.To.All() {
		if operation.GetType() == mesos.Offer_Operation_RESERVE {
			if x.Role() != role {
				return fmt.Errorf("%v would be reserved for role %q, the offer is for role %q", x, x.Role(), role)
			}
			stack := x.Reservations()
			if by := stack[len(stack)-1].Principal; own != "" && by != "" && by != own {
				return fmt.Errorf("%v would be reserved by %q, the framework's principal is %q", x, by, own)
			}
			if len(stack) > 1 && !f.can(mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT) {
				return fmt.Errorf("%v would refine a reservation: that takes the capability RESERVATION_REFINEMENT", x)
			}
		}
		if operation.GetType() == mesos.Offer_Operation_CREATE {
			if by := x.Disk().GetPersistence().GetPrincipal(); own != "" && by != "" && by != own {
				return fmt.Errorf("persistent volume %q would be created by %q, the framework's principal is %q", x.VolumeID(), by, own)
			}
			if x.Shared() && !f.can(mesos.FrameworkInfo_Capability_SHARED_RESOURCES) {
				return fmt.Errorf("persistent volume %q would be shared: that takes the capability SHARED_RESOURCES", x.VolumeID())
			}
		}
	}
	return nil
}

// checkVolumes reports a volume that is to be created and is there already. Ids are unique in a role on a slave: they name
// the volume's directory.
func (c *Core) checkVolumes(sl *slave, operation *mesos.Offer_Operation, conversion resource.Conversion) error {
	if operation.GetType() != mesos.Offer_Operation_CREATE {
		return nil
	}
	total := c.allocator.Total(sl.id)
	for x := range conversion.To.All() {
		if old := total.Volume(x.Role(), x.VolumeID()); !old.IsEmpty() {
			return fmt.Errorf("slave %s has a persistent volume %q of role %q already: %v", sl.id, x.VolumeID(), x.Role(), old)
		}
	}
	return nil
}

// isUsed reports whether a task or an executor uses one of these volumes. What is not shared is in use when it cannot be
// offered.
func (c *Core) isUsed(sl *slave, volumes resource.Resources) bool {
	shared := volumes.SharedOnly()
	if shared.IsEmpty() {
		return false
	}
	for _, h := range c.allocator.Holdings(sl.id) {
		if !h.Used.Like(shared).IsEmpty() {
			return true
		}
	}
	return false
}

// rescindShared takes back the other offers of a shared volume that is about to go.
func (c *Core) rescindShared(sl *slave, volumes resource.Resources) {
	for _, o := range sortedOffers(sl.offers) {
		if !o.resources.Like(volumes.SharedOnly()).IsEmpty() {
			c.rescind(o)
		}
	}
}

// refined is an operation as slaves get it: with its resources in the refined form, allocated to nobody.
func refined(operation *mesos.Offer_Operation) *mesos.Offer_Operation {
	operation = proto.CloneOf(operation)
	rewrite := func(list ...*mesos.Resource) []*mesos.Resource {
		r, err := resource.FromProto(list)
		if err != nil {
			panic(fmt.Sprintf("master: resources that were valid are not: %v", err))
		}
		return r.Unallocate().ToProto()
	}
	switch operation.GetType() {
	case mesos.Offer_Operation_RESERVE:
		operation.Reserve.Resources = rewrite(operation.Reserve.Resources...)
		operation.Reserve.Source = rewrite(operation.Reserve.Source...)
	case mesos.Offer_Operation_UNRESERVE:
		operation.Unreserve.Resources = rewrite(operation.Unreserve.Resources...)
	case mesos.Offer_Operation_CREATE:
		operation.Create.Volumes = rewrite(operation.Create.Volumes...)
	case mesos.Offer_Operation_DESTROY:
		operation.Destroy.Volumes = rewrite(operation.Destroy.Volumes...)
	case mesos.Offer_Operation_GROW_VOLUME:
		operation.GrowVolume.Volume = rewrite(operation.GrowVolume.Volume)[0]
		operation.GrowVolume.Addition = rewrite(operation.GrowVolume.Addition)[0]
	case mesos.Offer_Operation_SHRINK_VOLUME:
		operation.ShrinkVolume.Volume = rewrite(operation.ShrinkVolume.Volume)[0]
	}
	return operation
}
