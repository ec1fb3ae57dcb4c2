package core

import (
	"fmt"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// operatorOperation returns the operation on a slave's resources that an operator calls for.
func operatorOperation(call *masterpb.Call) (*mesos.AgentID, *mesos.Offer_Operation) {
	switch call.GetType() {
	case masterpb.Call_RESERVE_RESOURCES:
		m := call.GetReserveResources()
		return m.GetAgentId(), &mesos.Offer_Operation{
			Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Source: m.GetSource(), Resources: m.GetResources()},
		}
	case masterpb.Call_UNRESERVE_RESOURCES:
		m := call.GetUnreserveResources()
		return m.GetAgentId(), &mesos.Offer_Operation{
			Type: mesos.Offer_Operation_UNRESERVE.Enum(), Unreserve: &mesos.Offer_Operation_Unreserve{Resources: m.GetResources()},
		}
	case masterpb.Call_CREATE_VOLUMES:
		m := call.GetCreateVolumes()
		return m.GetAgentId(), &mesos.Offer_Operation{
			Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: m.GetVolumes()},
		}
	case masterpb.Call_DESTROY_VOLUMES:
		m := call.GetDestroyVolumes()
		return m.GetAgentId(), &mesos.Offer_Operation{
			Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: m.GetVolumes()},
		}
	case masterpb.Call_GROW_VOLUME:
		m := call.GetGrowVolume()
		return m.GetAgentId(), &mesos.Offer_Operation{
			Type: mesos.Offer_Operation_GROW_VOLUME.Enum(), GrowVolume: &mesos.Offer_Operation_GrowVolume{Volume: m.GetVolume(), Addition: m.GetAddition()},
		}
	default:
		m := call.GetShrinkVolume()
		return m.GetAgentId(), &mesos.Offer_Operation{
			Type: mesos.Offer_Operation_SHRINK_VOLUME.Enum(), ShrinkVolume: &mesos.Offer_Operation_ShrinkVolume{Volume: m.GetVolume(), Subtract: m.GetSubtract()},
		}
	}
}

// operatorConvert carries out an operation on a slave's resources for an operator. What it needs must not be in use; offers
// that hold some of it are taken back.
func (c *Core) operatorConvert(r Request, call *masterpb.Call) {
	id, operation := operatorOperation(call)
	sl := c.slaves[id.GetValue()]
	switch {
	case sl == nil:
		c.refuseRequest(r, "there is no slave %q", id.GetValue())
		return
	case !sl.connected():
		c.refuseRequest(r, "slave %s is not connected: ask again when it is back", sl.id)
		return
	}
	conversion, err := resource.Convert(operation)
	if err == nil {
		err = c.checkVolumes(sl, operation, conversion)
	}
	if err == nil {
		err = c.free(sl, conversion.From)
	}
	if err != nil {
		c.refuseRequest(r, "%v is not valid: %v", operation.GetType(), err)
		return
	}
	if !c.allocator.ConvertFree(sl.id, conversion) {
		panic(fmt.Sprintf("master: %v of slave %s is free and cannot be converted", conversion.From, sl.id))
	}
	c.counters.Operations++
	c.order(sl, nil, operation)
	c.reply(r, &wire.OperatorDone{})
}

// free makes resources of a slave free that are not: by taking back offers that hold some of them, as few as it needs. If
// somebody uses them it takes none back.
func (c *Core) free(sl *slave, r resource.Resources) error {
	total := c.allocator.Total(sl.id)
	if !total.Contains(r) {
		return fmt.Errorf("slave %s does not have %v: it has %v", sl.id, r, total)
	}
	unused := c.allocator.Free(sl.id)
	for _, o := range sl.offers {
		unused = unused.Add(o.resources.Exclusive())
	}
	if !unused.Contains(r) || c.isUsed(sl, r) {
		return fmt.Errorf("%v of slave %s is in use: not in use is %v", r, sl.id, unused)
	}
	c.rescindShared(sl, r)
	for _, o := range sortedOffers(sl.offers) {
		lacks := r.Filter(func(x resource.Resource) bool { return !c.allocator.Free(sl.id).Contains(resource.Of(x)) })
		if lacks.IsEmpty() {
			return nil
		}
		if !o.resources.Like(lacks).IsEmpty() {
			c.rescind(o)
		}
	}
	return nil
}
