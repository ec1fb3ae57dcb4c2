package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// Operations on resources in scripts.

// resourceOperations are the words that begin one.
var resourceOperations = map[string]mesos.Offer_Operation_Type{
	"reserve": mesos.Offer_Operation_RESERVE, "unreserve": mesos.Offer_Operation_UNRESERVE, "create": mesos.Offer_Operation_CREATE,
	"destroy": mesos.Offer_Operation_DESTROY, "grow": mesos.Offer_Operation_GROW_VOLUME, "shrink": mesos.Offer_Operation_SHRINK_VOLUME,
	"disk": mesos.Offer_Operation_CREATE_DISK,
}

// resourceOperation: RESOURCES for:ROLE[>ROLE]... [by:PRINCIPAL] [id:ID] [volume:ID:PATH] [shared] [ro] [more:MB] [less:MB] [static]
// Reserved resources are written as they are unreserved. A volume is what RESOURCES say, or, without them, as slave knows it.
func (s *script) resourceOperation(sl string, kind string, words []string) *mesos.Offer_Operation {
	o := &mesos.Offer_Operation{Type: resourceOperations[kind].Enum()}
	var r resource.Resources
	options := map[string]string{}
	for _, word := range words {
		name, value, _ := strings.Cut(word, ":")
		switch name {
		case "for", "by", "id", "volume", "shared", "ro", "more", "less", "static":
			options[name] = value
		default:
			r = resource.MustParse(word)
		}
	}
	role := ""
	for role = range strings.SplitSeq(options["for"], ">") {
		if _, static := options["static"]; !static && role != "" {
			r = r.Reserve(resource.Reservation{Role: role, Principal: options["by"]})
		}
	}
	if id, ok := options["id"]; ok {
		o.Id = mesos.NewOperationID(strings.ReplaceAll(id, "%", "/"))
	}
	list := r.ToProto()
	if id, path, ok := strings.Cut(options["volume"], ":"); ok {
		_, shared := options["shared"]
		volume := resource.NewVolume(r, id, options["by"], path, shared)
		if _, ro := options["ro"]; ro {
			volume = volume.At(path, mesos.Volume_RO)
		}
		list = volume.ToProto()
	} else if id != "" {
		list = s.volume(sl, role, id).ToProto()
	}
	switch o.GetType() {
	case mesos.Offer_Operation_RESERVE:
		o.Reserve = &mesos.Offer_Operation_Reserve{Resources: list}
	case mesos.Offer_Operation_UNRESERVE:
		o.Unreserve = &mesos.Offer_Operation_Unreserve{Resources: list}
	case mesos.Offer_Operation_CREATE:
		o.Create = &mesos.Offer_Operation_Create{Volumes: list}
	case mesos.Offer_Operation_DESTROY:
		o.Destroy = &mesos.Offer_Operation_Destroy{Volumes: list}
	case mesos.Offer_Operation_GROW_VOLUME:
		disk := resource.Scalar(resource.Disk, resource.Unit*int64(s.number(options["more"])))
		o.GrowVolume = &mesos.Offer_Operation_GrowVolume{Volume: first(list), Addition: first(disk.Reserve(resource.Reservation{Role: role, Principal: options["by"]}).ToProto())}
	case mesos.Offer_Operation_SHRINK_VOLUME:
		o.ShrinkVolume = &mesos.Offer_Operation_ShrinkVolume{Volume: first(list), Subtract: &mesos.Value_Scalar{Value: proto.Float64(float64(s.number(options["less"])))}}
	}
	return o
}

// first is the first of a list, one that is not valid if there is none.
func first(list []*mesos.Resource) *mesos.Resource { return append(list, &mesos.Resource{})[0] }

// reserved is what a task uses of what is reserved: reserved:ROLE:RESOURCES, volume:ROLE:ID[:PATH[:MB]], with MB
// for one that the same ACCEPT creates
func (s *script) reserved(sl, name, value string) []*mesos.Resource {
	role, rest, _ := strings.Cut(value, ":")
	if name == "reserved" {
		return resource.MustParse(rest).Reserve(resource.Reservation{Role: role}).ToProto()
	}
	words := append(strings.Split(rest, ":"), "", "")
	id, path, size := words[0], words[1], words[2]
	volume := s.volume(sl, role, id)
	if size != "" {
		disk := resource.Scalar(resource.Disk, resource.Unit*int64(s.number(size)))
		volume = resource.NewVolume(disk.Reserve(resource.Reservation{Role: role}), id, "", path, false)
	} else if path != "" {
		volume = volume.At(path, mesos.Volume_RW)
	}
	return volume.ToProto()
}

// volume is a persistent volume that a slave has now.
func (s *script) volume(sl, role, id string) resource.Resources {
	if !s.core.allocator.HasSlave(sl) {
		return resource.Resources{}
	}
	return s.core.allocator.Total(sl).Volume(role, id)
}

// applies is a slave that carries out an operation.
func (p *scriptPeer) applies(m *wire.ApplyOperation) {
	if p.deaf {
		return
	}
	conversion, err := resource.Convert(m.GetOperation())
	if err != nil {
		panic(err)
	}
	total, ok := conversion.Apply(p.resources())
	if !ok {
		panic(fmt.Sprintf("%v is not in %v", conversion.From, p.resources()))
	}
	p.total = &total
	if id := m.GetOperation().GetId(); id != nil {
		if p.operations == nil {
			p.operations = map[string]*wire.SlaveOperation{}
		}
		p.operations[id.GetValue()] = &wire.SlaveOperation{FrameworkId: m.GetFrameworkId(), Status: &mesos.OperationStatus{
			OperationId: id, AgentId: mesos.NewAgentID(p.id), State: mesos.OperationState_OPERATION_FINISHED.Enum(),
			Uuid: &mesos.UUID{Value: uuid("u-" + id.GetValue())},
		}}
	}
}

// resources are what the slave has now.
func (p *scriptPeer) resources() resource.Resources {
	if p.total != nil {
		return *p.total
	}
	r, err := resource.FromProto(p.info.GetResources())
	if err != nil {
		panic(err)
	}
	return r
}

// operated: operated S OPERATION, the slave says that it has carried it out
func (s *script) operated(args []string, _ map[string]string) {
	p := s.peer(args[0])
	o := p.operations[args[1]]
	if o == nil {
		s.fatal("slave %s knows no operation %s", p.name, args[1])
	}
	s.say(p, &wire.OperationUpdate{FrameworkId: o.FrameworkId, Status: o.Status})
}

// deaf: deaf S, it does not hear of operations until it registers again
func (s *script) deaf(args []string, _ map[string]string) { s.peer(args[0]).deaf = true }

// ackOperation: ack-operation F OPERATION UUID
func (s *script) ackOperation(args []string, _ map[string]string) {
	p := s.peer(args[0])
	call := s.callOf(p, schedulerpb.Call_ACKNOWLEDGE_OPERATION_STATUS)
	call.AcknowledgeOperationStatus = &schedulerpb.Call_AcknowledgeOperationStatus{OperationId: mesos.NewOperationID(args[1]), Uuid: uuid(args[2])}
	if args[2] == "short" {
		call.AcknowledgeOperationStatus.Uuid = []byte("short")
	}
	s.say(p, call)
}

// reconcileOperations: reconcile-operations F [OPERATION[@S]]...
func (s *script) reconcileOperations(args []string, _ map[string]string) {
	p := s.peer(args[0])
	call := s.callOf(p, schedulerpb.Call_RECONCILE_OPERATIONS)
	call.ReconcileOperations = &schedulerpb.Call_ReconcileOperations{}
	for _, word := range args[1:] {
		id, on, ok := strings.Cut(word, "@")
		asked := &schedulerpb.Call_ReconcileOperations_Operation{OperationId: mesos.NewOperationID(id)}
		if ok {
			asked.AgentId = s.agent(on)
		}
		call.ReconcileOperations.Operations = append(call.ReconcileOperations.Operations, asked)
	}
	s.say(p, call)
}

// operatorOperation: operator reserve|unreserve|create|destroy|grow|shrink on:S …, as in accept
func (s *script) operatorOperation(args []string) *masterpb.Call {
	id := s.agent(strings.TrimPrefix(args[1], "on:"))
	o := s.resourceOperation(id.GetValue(), args[0], args[2:])
	return operatorCall(id, o)
}

// operatorCall is how an operator asks for an operation on a slave.
func operatorCall(id *mesos.AgentID, o *mesos.Offer_Operation) *masterpb.Call {
	call := &masterpb.Call{}
	switch o.GetType() {
	case mesos.Offer_Operation_RESERVE:
		call.Type, call.ReserveResources = masterpb.Call_RESERVE_RESOURCES.Enum(), &masterpb.Call_ReserveResources{AgentId: id, Resources: o.Reserve.Resources}
	case mesos.Offer_Operation_UNRESERVE:
		call.Type, call.UnreserveResources = masterpb.Call_UNRESERVE_RESOURCES.Enum(), &masterpb.Call_UnreserveResources{AgentId: id, Resources: o.Unreserve.Resources}
	case mesos.Offer_Operation_CREATE:
		call.Type, call.CreateVolumes = masterpb.Call_CREATE_VOLUMES.Enum(), &masterpb.Call_CreateVolumes{AgentId: id, Volumes: o.Create.Volumes}
	case mesos.Offer_Operation_DESTROY:
		call.Type, call.DestroyVolumes = masterpb.Call_DESTROY_VOLUMES.Enum(), &masterpb.Call_DestroyVolumes{AgentId: id, Volumes: o.Destroy.Volumes}
	case mesos.Offer_Operation_GROW_VOLUME:
		call.Type, call.GrowVolume = masterpb.Call_GROW_VOLUME.Enum(), &masterpb.Call_GrowVolume{AgentId: id, Volume: o.GrowVolume.Volume, Addition: o.GrowVolume.Addition}
	case mesos.Offer_Operation_SHRINK_VOLUME:
		call.Type, call.ShrinkVolume = masterpb.Call_SHRINK_VOLUME.Enum(), &masterpb.Call_ShrinkVolume{AgentId: id, Volume: o.ShrinkVolume.Volume, Subtract: o.ShrinkVolume.Subtract}
	}
	return call
}

func (p *scriptPeer) sortedOperations() []*wire.SlaveOperation {
	var list []*wire.SlaveOperation
	for _, id := range slices.Sorted(maps.Keys(p.operations)) {
		list = append(list, p.operations[id])
	}
	return list
}
