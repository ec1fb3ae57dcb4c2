package resource_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// TestOperationsMakeWhatTheySay follows one disk through all operations and back.
func TestOperationsMakeWhatTheySay(t *testing.T) {
	have := resource.MustParse("cpus:4;disk:1000;cpus(web):1")
	by := resource.Reservation{Role: "web", Principal: "alice"}
	disk := resource.MustParse("disk:300").Reserve(by)
	volume := resource.NewVolume(resource.MustParse("disk:100").Reserve(by), "v1", "alice", "data", false)
	grown := resource.NewVolume(resource.MustParse("disk:150").Reserve(by), "v1", "alice", "data", false)
	refined := resource.MustParse("disk:20").Reserve(by).Reserve(resource.Reservation{Role: "web/a"})
	one := func(r resource.Resources) *mesos.Resource { return r.ToProto()[0] }
	for _, step := range []struct {
		name      string
		operation *mesos.Offer_Operation
		want      string
	}{
		{
			"reserve", &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: disk.ToProto()}},
			"cpus:4;cpus(web):1;disk:700;disk(reserved: dynamic web by alice):300",
		},
		{
			"create", &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: volume.ToProto()}},
			"cpus:4;cpus(web):1;disk:700;disk(reserved: dynamic web by alice):200;disk(reserved: dynamic web by alice)(volume: v1):100",
		},
		{"grow", &mesos.Offer_Operation{Type: mesos.Offer_Operation_GROW_VOLUME.Enum(), GrowVolume: &mesos.Offer_Operation_GrowVolume{
			Volume: one(volume), Addition: one(resource.MustParse("disk:50").Reserve(by)),
		}}, "cpus:4;cpus(web):1;disk:700;disk(reserved: dynamic web by alice):150;disk(reserved: dynamic web by alice)(volume: v1):150"},
		{
			"refine", &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: refined.ToProto()}},
			"cpus:4;cpus(web):1;disk:700;disk(reserved: dynamic web by alice):130;disk(reserved: dynamic web by alice)(volume: v1):150;disk(reserved: dynamic web by alice, dynamic web/a):20",
		},
		{
			"unreserve a refinement", &mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE.Enum(), Unreserve: &mesos.Offer_Operation_Unreserve{Resources: refined.ToProto()}},
			"cpus:4;cpus(web):1;disk:700;disk(reserved: dynamic web by alice):150;disk(reserved: dynamic web by alice)(volume: v1):150",
		},
		{"shrink", &mesos.Offer_Operation{Type: mesos.Offer_Operation_SHRINK_VOLUME.Enum(), ShrinkVolume: &mesos.Offer_Operation_ShrinkVolume{
			Volume: one(grown), Subtract: &mesos.Value_Scalar{Value: proto.Float64(50)},
		}}, "cpus:4;cpus(web):1;disk:700;disk(reserved: dynamic web by alice):200;disk(reserved: dynamic web by alice)(volume: v1):100"},
		{
			"destroy", &mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: volume.ToProto()}},
			"cpus:4;cpus(web):1;disk:700;disk(reserved: dynamic web by alice):300",
		},
		{"reserve for another, from a source", &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{
			Source: disk.ToProto(), Resources: resource.MustParse("disk:300").Reserve(resource.Reservation{Role: "ads"}).ToProto(),
		}}, "cpus:4;cpus(web):1;disk:700;disk(reserved: dynamic ads):300"},
	} {
		conversion, err := resource.Convert(step.operation)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		var ok bool
		if have, ok = conversion.Apply(have); !ok {
			t.Fatalf("%s: %v is not in %v", step.name, conversion.From, have)
		}
		if got := have.String(); got != step.want {
			t.Errorf("%s makes\n%s, want\n%s", step.name, got, step.want)
		}
	}
	if got := have.Original().String(); got != "cpus:4;cpus(web):1;disk:1000" {
		t.Errorf("at first it was %s", got)
	}
}

// TestConversionsKeepAmounts: whatever is reserved and made, there is as much as before, and Original undoes it.
func TestConversionsKeepAmounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		have := resource.MustParse("cpus:8;disk:1000;ports:[1-100]")
		whole := have
		for i := range rapid.IntRange(0, 8).Draw(t, "steps") {
			amount := rapid.Int64Range(1, 200_000).Draw(t, "thousandths")
			reserved := have.ReservedFor("web").Filter(resource.Resource.Divisible)
			o := &mesos.Offer_Operation{}
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				r := resource.Scalar(resource.Disk, amount).Reserve(resource.Reservation{Role: "web"})
				o.Type, o.Reserve = mesos.Offer_Operation_RESERVE.Enum(), &mesos.Offer_Operation_Reserve{Resources: r.ToProto()}
			case 1:
				o.Type, o.Unreserve = mesos.Offer_Operation_UNRESERVE.Enum(), &mesos.Offer_Operation_Unreserve{Resources: reserved.ToProto()}
			case 2:
				disk, ok := reserved.Take(resource.Scalar(resource.Disk, amount))
				if !ok {
					continue
				}
				made := resource.NewVolume(disk, string(rune('a'+i)), "", "x", rapid.Bool().Draw(t, "shared"))
				o.Type, o.Create = mesos.Offer_Operation_CREATE.Enum(), &mesos.Offer_Operation_Create{Volumes: made.ToProto()}
			}
			conversion, err := resource.Convert(o)
			if err != nil {
				continue
			}
			if next, ok := conversion.Apply(have); ok {
				have = next
			}
			if have.Get(resource.Disk) != whole.Get(resource.Disk) || !have.Original().Equal(whole) {
				t.Fatalf("%v became %v", whole, have)
			}
			if again, err := resource.FromProto(have.ToProto()); err != nil || !again.Equal(have) {
				t.Fatalf("%v is read back as %v (%v)", have, again, err)
			}
		}
	})
}
