package resource_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// valuesPerBag is how many values of ranges and sets a generated bag chooses from.
const valuesPerBag = 50

// plain is a resource that the text form can write. Ranges and sets are made of values from base
// on, so that bags of different bases have none in common but may touch.
func plain(t *rapid.T, base int) *mesos.Resource {
	m := &mesos.Resource{}
	if role := rapid.SampledFrom([]string{"", "*", "eng", "eng/web", "ops"}).Draw(t, "role"); role != "" {
		m.Role = &role
	}
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		m.Name = proto.String(rapid.SampledFrom([]string{"cpus", "mem", "disk", "bandwidth"}).Draw(t, "scalar"))
		m.Type = mesos.Value_SCALAR.Enum()
		thousandths := rapid.Int64Range(0, 1_000_000).Draw(t, "thousandths")
		m.Scalar = &mesos.Value_Scalar{Value: proto.Float64(resource.Float(thousandths))}
	case 1:
		m.Name = proto.String("ports")
		m.Type = mesos.Value_RANGES.Enum()
		m.Ranges = &mesos.Value_Ranges{}
		for range rapid.IntRange(0, 4).Draw(t, "spans") {
			begin := rapid.IntRange(0, valuesPerBag-1).Draw(t, "begin")
			end := rapid.IntRange(begin, valuesPerBag-1).Draw(t, "end")
			m.Ranges.Range = append(m.Ranges.Range, &mesos.Value_Range{Begin: proto.Uint64(uint64(base + begin)), End: proto.Uint64(uint64(base + end))})
		}
	case 2:
		m.Name = proto.String("disks")
		m.Type = mesos.Value_SET.Enum()
		m.Set = &mesos.Value_Set{}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, valuesPerBag-1), 0, 5, rapid.ID).Draw(t, "items") {
			m.Set.Item = append(m.Set.Item, fmt.Sprintf("d%d", base+i))
		}
	}
	return m
}

// rich is a resource with anything about it.
func rich(t *rapid.T, base int) *mesos.Resource {
	m := plain(t, base)
	if rapid.Bool().Draw(t, "stack") {
		m.Role = nil
		m.Reservations = []*mesos.Resource_ReservationInfo{{
			Role: proto.String("eng"),
			Type: rapid.SampledFrom([]mesos.Resource_ReservationInfo_Type{mesos.Resource_ReservationInfo_STATIC, mesos.Resource_ReservationInfo_DYNAMIC}).Draw(t, "type").Enum(),
		}}
		if rapid.Bool().Draw(t, "refined") {
			m.Reservations = append(m.Reservations, &mesos.Resource_ReservationInfo{
				Role:      proto.String("eng/web"),
				Type:      mesos.Resource_ReservationInfo_DYNAMIC.Enum(),
				Principal: proto.String("alice"),
				Labels:    &mesos.Labels{Labels: []*mesos.Label{{Key: proto.String("team"), Value: proto.String("b")}}},
			})
		}
	}
	if rapid.Bool().Draw(t, "allocated") {
		m.AllocationInfo = &mesos.Resource_AllocationInfo{Role: proto.String(rapid.SampledFrom([]string{"eng", "ops"}).Draw(t, "allocation"))}
	}
	if rapid.Bool().Draw(t, "from a provider") {
		m.ProviderId = &mesos.ResourceProviderID{Value: proto.String("p1")}
	}
	if m.GetName() == "disk" && (len(m.GetReservations()) > 0 || m.GetRole() != "*") && rapid.Bool().Draw(t, "volume") {
		m.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: proto.String("v1")}}
		if rapid.Bool().Draw(t, "shared") {
			m.Shared = &mesos.Resource_SharedInfo{}
		}
	} else if rapid.Bool().Draw(t, "revocable") {
		m.Revocable = &mesos.Resource_RevocableInfo{}
	}
	return m
}

func draw(t *rapid.T, label string, base int, one func(*rapid.T, int) *mesos.Resource) resource.Resources {
	messages := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *mesos.Resource { return one(t, base) }), 0, 8).Draw(t, label)
	r, err := resource.FromProto(messages)
	if err != nil {
		t.Fatalf("bad generator: %v", err)
	}
	return r
}

func drawRich(t *rapid.T, label string, base int) resource.Resources {
	return draw(t, label, base, rich)
}

func TestWhatWasAddedCanBeTakenAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRich(t, "a", 0), drawRich(t, "b", valuesPerBag)
		sum := a.Add(b)
		if !sum.Contains(a) || !sum.Contains(b) {
			t.Fatalf("the sum %s contains not both", sum)
		}
		if left, ok := sum.Sub(b); !ok || !left.Equal(a) {
			t.Fatalf("a + b - b = %s, want %s", left, a)
		}
		if left, ok := a.Sub(a); !ok || !left.IsEmpty() {
			t.Fatalf("a - a = %s, want nothing", left)
		}
	})
}

func TestAdditionDoesNotDependOnTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawRich(t, "a", 0), drawRich(t, "b", 0), drawRich(t, "c", 10)
		if x, y := a.Add(b), b.Add(a); !x.Equal(y) || x.String() != y.String() {
			t.Fatalf("a + b = %s, b + a = %s", x, y)
		}
		if x, y := a.Add(b).Add(c), a.Add(b.Add(c)); !x.Equal(y) {
			t.Fatalf("(a + b) + c = %s, a + (b + c) = %s", x, y)
		}
	})
}

func TestContainsMeansThatItCanBeTakenAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRich(t, "a", 0), drawRich(t, "b", 0)
		left, ok := a.Sub(b)
		if ok != a.Contains(b) {
			t.Fatalf("a contains b: %v, but a - b: %v", a.Contains(b), ok)
		}
		if !ok && !left.Equal(a) {
			t.Fatalf("a - b fails and gives %s", left)
		}
		if ok && !left.Add(b).Equal(a) {
			t.Fatalf("a - b + b = %s, want %s", left.Add(b), a)
		}
		if a.Contains(b) && b.Contains(a) && !a.Equal(b) {
			t.Fatal("both contain the other one and are not equal")
		}
	})
}

func TestOperationsLeaveTheirInputsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRich(t, "a", 0), drawRich(t, "b", 10)
		before := a.String() + "|" + b.String()
		a.Add(b).Sub(b)
		a.Sub(b)
		a.Take(b)
		a.TakeCount("ports", 3)
		a.Allocate("x").Add(b.Unallocate())
		a.Spans("ports")
		if after := a.String() + "|" + b.String(); after != before {
			t.Fatalf("before: %s, after: %s", before, after)
		}
	})
}

func TestPartsMakeTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawRich(t, "a", 0)
		keep := func(x resource.Resource) bool { return x.Role() == "eng" || x.Name() == "mem" }
		drop := func(x resource.Resource) bool { return !keep(x) }
		if got := a.Filter(keep).Add(a.Filter(drop)); !got.Equal(a) {
			t.Fatalf("the parts are %s, the whole is %s", got, a)
		}
		for _, q := range a.Quantities() {
			if got := a.Get(q.Name); got != q.Thousandths {
				t.Fatalf("quantity of %s is %d, but Get says %d", q.Name, q.Thousandths, got)
			}
		}
	})
}

func TestWhatIsTakenIsThereAndIsWhatWasAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer, need := drawRich(t, "offer", 0), draw(t, "need", 0, plain).Unreserved()
		taken, ok := offer.Take(need)
		if !ok {
			return
		}
		if !offer.Contains(taken) {
			t.Fatalf("%s is taken from %s", taken, offer)
		}
		for _, name := range need.Names() {
			if taken.Get(name) != need.Get(name) || taken.Count(name) != need.Count(name) {
				t.Fatalf("%s is taken for %s", taken, need)
			}
		}
	})
}

func TestWhatIsPrintedCanBeParsed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := draw(t, "a", 0, plain)
		got, err := resource.Parse(a.String())
		if err != nil || !got.Equal(a) {
			t.Fatalf("%s is read as %s (%v)", a, got, err)
		}
	})
}

func TestMessagesKeepEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawRich(t, "a", 0)
		got, err := resource.FromProto(a.ToProto())
		if err != nil || !got.Equal(a) {
			t.Fatalf("%s comes back as %s (%v)", a, got, err)
		}
		older, err := a.ToProtoPreRefinement()
		if err != nil {
			return // Refined, so it cannot be written.
		}
		if got, err := resource.FromProto(older); err != nil || !got.Equal(a) {
			t.Fatalf("%s comes back in the older form as %s (%v)", a, got, err)
		}
	})
}

func TestThousandthsSurviveDoubles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, int64(mesos.MaxScalar)*resource.Unit).Draw(t, "thousandths")
		if got := resource.Thousandths(resource.Float(n)); got != n {
			t.Fatalf("%d becomes %d", n, got)
		}
	})
}
