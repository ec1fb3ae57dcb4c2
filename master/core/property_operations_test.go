package core

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// Operations on resources in TestRandomEvents.

// converts is a slave that carries out an operation. It must have what is to be converted.
func (w *world) converts(s *modelSlave, m *wire.ApplyOperation) {
	if !s.ready {
		w.fatal("%s is told of an operation before it is registered", s.name)
	}
	conversion, err := resource.Convert(m.GetOperation())
	if err != nil {
		w.fatal("%s is told of an operation that makes no sense: %v", s.name, err)
	}
	total, ok := conversion.Apply(s.total)
	if !ok {
		w.fatal("%s is told to convert %v, it has %v", s.name, conversion.From, s.total)
	}
	s.total = total
	if id := m.GetOperation().GetId(); id != nil {
		s.operations[operationKey{m.GetFrameworkId().GetValue(), id.GetValue()}] = &wire.SlaveOperation{
			FrameworkId: m.GetFrameworkId(), Status: &mesos.OperationStatus{
				OperationId: id, AgentId: mesos.NewAgentID(s.id), State: mesos.OperationState_OPERATION_FINISHED.Enum(),
				Uuid: &mesos.UUID{Value: uuid(fmt.Sprintf("%s%d", s.name, w.rand.Uint32()))},
			},
		}
	}
}

func (s *modelSlave) sortedOperations() []*wire.SlaveOperation {
	var list []*wire.SlaveOperation
	for _, key := range slices.SortedFunc(maps.Keys(s.operations), compareKeys) {
		list = append(list, s.operations[key])
	}
	return list
}

// reports lets a slave say what became of one operation, or of all.
func (w *world) reports(s *modelSlave, all bool) {
	list := s.sortedOperations()
	if len(list) == 0 {
		return
	}
	if !all {
		list = list[w.rand.IntN(len(list)):][:1]
	}
	for _, o := range list {
		w.feed(Received{s.session, &wire.OperationUpdate{FrameworkId: o.FrameworkId, Status: o.Status}})
	}
}

// acknowledgesOperation lets a scheduler end an operation.
func (w *world) acknowledgesOperation(f *modelScheduler, status *mesos.OperationStatus) *schedulerpb.Call {
	call := w.callOf(f, schedulerpb.Call_ACKNOWLEDGE_OPERATION_STATUS)
	call.AcknowledgeOperationStatus = &schedulerpb.Call_AcknowledgeOperationStatus{
		AgentId: status.GetAgentId(), OperationId: status.GetOperationId(), Uuid: status.GetUuid().GetValue(),
	}
	return call
}

// operates returns an operation on what an offer holds, not always a valid one, and what it makes of it.
func (w *world) operates(role string, have resource.Resources) (*mesos.Offer_Operation, resource.Resources) {
	o := w.randomOperation(role, have)
	if o == nil {
		return nil, have
	}
	if w.rand.IntN(2) == 0 {
		o.Id = mesos.NewOperationID(fmt.Sprintf("o%d", w.rand.IntN(5)))
	}
	if conversion, err := resource.Convert(o); err == nil {
		if made, ok := conversion.Apply(have.Unallocate()); ok {
			return o, made
		}
	}
	return o, have
}

func (w *world) randomOperation(role string, have resource.Resources) *mesos.Offer_Operation {
	have = have.Unallocate()
	reserved := have.ReservedFor(role).Filter(resource.Resource.Divisible)
	part := resource.MustParse([]string{"cpus:0.5", "mem:32", "disk:20", "disk:30;cpus:0.5"}[w.rand.IntN(4)])
	volumes := have.Volumes().Once()
	switch w.rand.IntN(6) {
	case 0:
		taken, _ := have.Unreserved().Take(part)
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{
			Resources: taken.Reserve(resource.Reservation{Role: role}).ToProto(),
		}}
	case 1:
		taken, _ := reserved.Take(part)
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE.Enum(), Unreserve: &mesos.Offer_Operation_Unreserve{Resources: taken.ToProto()}}
	case 2:
		for r := range reserved.Named(resource.Disk).All() {
			if disk, ok := resource.Of(r).Take(resource.MustParse("disk:20")); ok {
				volume := resource.NewVolume(disk, fmt.Sprintf("v%d", w.rand.IntN(3)), "", "data", w.rand.IntN(2) == 0)
				return &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: volume.ToProto()}}
			}
		}
	case 3:
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: volumes.ToProto()}}
	case 4:
		disk, _ := reserved.Take(resource.MustParse("disk:10"))
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_GROW_VOLUME.Enum(), GrowVolume: &mesos.Offer_Operation_GrowVolume{
			Volume: first(volumes.ToProto()), Addition: first(disk.ToProto()),
		}}
	case 5:
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_SHRINK_VOLUME.Enum(), ShrinkVolume: &mesos.Offer_Operation_ShrinkVolume{
			Volume: first(volumes.ToProto()), Subtract: &mesos.Value_Scalar{Value: proto.Float64(5)},
		}}
	}
	return nil
}

// operatorConverts lets an operator do the same to what a slave has.
func (w *world) operatorConverts() {
	s := w.slaves[w.rand.IntN(len(w.slaves))]
	o := w.randomOperation([]string{"a", "b"}[w.rand.IntN(2)], s.total)
	if o == nil {
		return
	}
	w.request++
	w.feed(Asked{w.request, operatorCall(mesos.NewAgentID(s.id), o)})
}

// compareOperations holds what the master believes of a slave's resources and operations against what the slave has.
func (w *world) compareOperations(s *modelSlave) {
	if total := w.core.allocator.Total(s.id); !total.Equal(s.total) {
		w.fatal("slave %s has %v, the master believes %v", s.name, s.total, total)
	}
	for key := range s.operations {
		if f := w.core.frameworks[key.framework]; f != nil && f.connected() {
			w.fatal("operation %v of slave %s has not been acknowledged, and its scheduler is there", key, s.name)
		}
	}
	for key := range w.core.slaves[s.id].operations {
		if s.operations[key] == nil {
			w.fatal("operation %v is known by the master, and not by slave %s", key, s.name)
		}
	}
}
