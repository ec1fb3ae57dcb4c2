package core

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// operation is an order to convert resources for the role web: apply F/ID KIND RESOURCES [volume=ID] [shared]. Of a
// volume that is there already RESOURCES are left out.
func (b *bench) operation(framework string, a arguments) *wire.ApplyOperation {
	b.t.Helper()
	_, id, _ := strings.Cut(a.name(0), "/")
	o := &mesos.Offer_Operation{}
	if id != "" {
		o.Id = mesos.NewOperationID(id)
	}
	var r resource.Resources
	if len(a.names) > 2 && a.name(2) != "shared" {
		r = resource.MustParse(a.name(2)).Reserve(resource.Reservation{Role: "web"})
	}
	volume := b.core.total.Volume("web", a.args["volume"])
	switch a.name(1) {
	case "reserve":
		o.Type, o.Reserve = mesos.Offer_Operation_RESERVE.Enum(), &mesos.Offer_Operation_Reserve{Resources: r.ToProto()}
	case "unreserve":
		o.Type, o.Unreserve = mesos.Offer_Operation_UNRESERVE.Enum(), &mesos.Offer_Operation_Unreserve{Resources: r.ToProto()}
	case "create":
		made := resource.NewVolume(r, a.args["volume"], "", "data", a.has("shared"))
		o.Type, o.Create = mesos.Offer_Operation_CREATE.Enum(), &mesos.Offer_Operation_Create{Volumes: made.ToProto()}
	case "destroy":
		o.Type, o.Destroy = mesos.Offer_Operation_DESTROY.Enum(), &mesos.Offer_Operation_Destroy{Volumes: volume.ToProto()}
	case "grow":
		o.Type = mesos.Offer_Operation_GROW_VOLUME.Enum()
		o.GrowVolume = &mesos.Offer_Operation_GrowVolume{Volume: volume.ToProto()[0], Addition: r.ToProto()[0]}
	case "shrink":
		o.Type = mesos.Offer_Operation_SHRINK_VOLUME.Enum()
		o.ShrinkVolume = &mesos.Offer_Operation_ShrinkVolume{
			Volume: volume.ToProto()[0], Subtract: &mesos.Value_Scalar{Value: proto.Float64(resource.Float(r.Get(resource.Disk)))},
		}
	default:
		b.t.Fatalf("%q: no such operation", a.line)
	}
	m := &wire.ApplyOperation{Operation: o}
	if framework != "operator" {
		m.FrameworkId = mesos.NewFrameworkID(framework)
	}
	return m
}
