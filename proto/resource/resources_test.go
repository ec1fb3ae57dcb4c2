package resource_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoa-project/stoa/proto/resource"
)

var parse = resource.MustParse

func TestAddingUp(t *testing.T) {
	for _, test := range []struct{ name, a, b, want string }{
		{"amounts of one name add up", "cpus:1.5", "cpus:2.25", "cpus:3.75"},
		{"other names stand next to each other", "cpus:1", "mem:64", "cpus:1;mem:64"},
		{"reserved and unreserved stay apart", "cpus:1", "cpus(eng):2", "cpus:1;cpus(eng):2"},
		{"nothing changes nothing", "cpus:1", "", "cpus:1"},
		{"nothing and something", "", "cpus:1", "cpus:1"},
		{"tenths are exact", "cpus:0.1", "cpus:0.2", "cpus:0.3"},
		{"adjacent ranges become one", "ports:[1-4]", "ports:[5-9]", "ports:[1-9]"},
		{"overlapping ranges become one", "ports:[1-6,20-30]", "ports:[4-9]", "ports:[1-9,20-30]"},
		{"a range can close several gaps", "ports:[1-2,4-5,7-8]", "ports:[2-7]", "ports:[1-8]"},
		{"sets are united", "disks:{b,c}", "disks:{a,c}", "disks:{a,b,c}"},
		{"zero is left out", "cpus:0;mem:1", "gpus:0", "mem:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := parse(test.a).Add(parse(test.b)).String(); got != test.want {
				t.Errorf("%s + %s = %s, want %s", test.a, test.b, got, test.want)
			}
		})
	}
}

func TestTakingAway(t *testing.T) {
	for _, test := range []struct{ name, a, b, want string }{
		{"a part of an amount", "cpus:4;mem:64", "cpus:1.5", "cpus:2.5;mem:64"},
		{"all of an amount leaves none of it", "cpus:4;mem:64", "cpus:4", "mem:64"},
		{"all of everything leaves nothing", "cpus:4;ports:[1-2];disks:{a}", "cpus:4;ports:[1-2];disks:{a}", ""},
		{"more than there is fails", "cpus:4", "cpus:4.001", "no"},
		{"what is not there fails", "cpus:4", "mem:1", "no"},
		{"reserved from unreserved fails", "cpus:4", "cpus(eng):1", "no"},
		{"unreserved from reserved fails", "cpus(eng):4", "cpus:1", "no"},
		{"nothing can always be taken", "cpus:4", "", "cpus:4"},
		{"the middle of a range", "ports:[1-10]", "ports:[4-6]", "ports:[1-3,7-10]"},
		{"the ends of a range", "ports:[1-10]", "ports:[1-2,9-10]", "ports:[3-8]"},
		{"a whole range out of several", "ports:[1-10,20-30,40-50]", "ports:[20-30]", "ports:[1-10,40-50]"},
		{"single values", "ports:[1-10]", "ports:[1-1,3-3,5-5]", "ports:[2-2,4-4,6-10]"},
		{"a range over a gap fails", "ports:[1-4,6-9]", "ports:[4-6]", "no"},
		{"items", "disks:{a,b,c}", "disks:{b}", "disks:{a,c}"},
		{"an item that is not there fails", "disks:{a}", "disks:{a,b}", "no"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, b := parse(test.a), parse(test.b)
			left, ok := a.Sub(b)
			if got := left.String(); ok && got != test.want {
				t.Errorf("%s - %s = %s, want %s", test.a, test.b, got, test.want)
			}
			if !ok && (test.want != "no" || !left.Equal(a)) {
				t.Errorf("%s - %s fails with %s, want %s", test.a, test.b, left, test.want)
			}
			if contains := a.Contains(b); contains != ok {
				t.Errorf("%s contains %s: %v, but taking it away: %v", test.a, test.b, contains, ok)
			}
		})
	}
}

func TestRangesAtTheEndOfTheNumbers(t *testing.T) {
	all := resource.Ranges("ids", resource.Range{Begin: 0, End: math.MaxUint64})
	if got := all.Count("ids"); got != math.MaxInt {
		t.Errorf("all 64-bit numbers count as %d, want %d", got, math.MaxInt)
	}
	last := resource.Ranges("ids", resource.Range{Begin: math.MaxUint64, End: math.MaxUint64})
	left, ok := all.Sub(last)
	if want := "ids:[0-18446744073709551614]"; !ok || left.String() != want {
		t.Errorf("without the last: %s, want %s", left, want)
	}
	if got := left.Add(last); !got.Equal(all) {
		t.Errorf("with it again: %s, want %s", got, all)
	}
	if left, ok := all.Sub(all); !ok || !left.IsEmpty() {
		t.Errorf("without all: %s, want nothing", left)
	}
}

func TestAskingForParts(t *testing.T) {
	r := parse("cpus:4;cpus(eng):2;cpus(eng/web):1;mem:1024;ports:[1-2,4-6];ports(eng):[10-10];disks:{a,b}")
	for _, test := range []struct {
		name string
		got  resource.Resources
		want string
	}{
		{"unreserved", r.Unreserved(), "cpus:4;disks:{a,b};mem:1024;ports:[1-2,4-6]"},
		{"reserved for a role", r.ReservedFor("eng"), "cpus(eng):2;ports(eng):[10-10]"},
		{"reserved for a role below", r.ReservedFor("eng/web"), "cpus(eng/web):1"},
		{"reserved for somebody else", r.ReservedFor("ops"), ""},
		{"what a role may be offered", r.AllocatableTo("eng"), "cpus:4;cpus(eng):2;disks:{a,b};mem:1024;ports:[1-2,4-6];ports(eng):[10-10]"},
		{"what a role below may be offered", r.AllocatableTo("eng/web").Named("cpus"), "cpus:4;cpus(eng):2;cpus(eng/web):1"},
		{"what a role that only begins alike may be offered", r.AllocatableTo("engine").Named("cpus"), "cpus:4"},
		{"by name", r.Named("mem"), "mem:1024"},
		{"allocated", r.Named("mem").Allocate("web"), "mem(allocated: web):1024"},
		{"allocated anew", r.Named("mem").Allocate("web").Allocate("db"), "mem(allocated: db):1024"},
		{"allocated and given back", r.Allocate("web").Unallocate(), r.String()},
		{"allocations that fall together", r.Named("mem").Allocate("a").Add(r.Named("mem").Allocate("b")).Unallocate(), "mem:2048"},
		{"allocated to a role", r.Named("mem").Allocate("a").Add(r.Named("cpus")).AllocatedTo("a"), "mem(allocated: a):1024"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.got.String() != test.want {
				t.Errorf("got %s, want %s", test.got, test.want)
			}
		})
	}
}

func TestAmounts(t *testing.T) {
	r := parse("cpus:4;cpus(eng):2.5;mem:1024;ports:[1-2,4-6];ports(eng):[3-3,10-10];disks:{a,b}")
	if got := r.Get("cpus"); got != 6500 {
		t.Errorf("cpus are %d thousandths, want 6500", got)
	}
	if got := r.Get("ports"); got != 0 {
		t.Errorf("ports are %d thousandths, want 0: they are no scalar", got)
	}
	if diff := cmp.Diff([]resource.Range{{Begin: 1, End: 6}, {Begin: 10, End: 10}}, r.Spans("ports")); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if got := r.Count("ports"); got != 7 {
		t.Errorf("there are %d ports, want 7", got)
	}
	if diff := cmp.Diff([]string{"a", "b"}, r.Items("disks")); diff != "" {
		t.Errorf("disks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"cpus", "disks", "mem", "ports"}, r.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if got, want := r.Quantities().String(), "cpus:6.5;mem:1024"; got != want {
		t.Errorf("quantities are %s, want %s", got, want)
	}
}

func TestQuantities(t *testing.T) {
	q := func(text string) resource.Quantities { return parse(text).Quantities() }
	for _, test := range []struct {
		name string
		got  resource.Quantities
		want string
	}{
		{"sum", q("cpus:1;mem:2").Add(q("cpus:0.5;gpus:1")), "cpus:1.5;gpus:1;mem:2"},
		{"difference", q("cpus:2;mem:2").Sub(q("cpus:0.5")), "cpus:1.5;mem:2"},
		{"what is used up is left out", q("cpus:2;mem:2").Sub(q("cpus:2")), "mem:2"},
		{"there is nothing less than nothing", q("cpus:2").Sub(q("cpus:3;mem:1")), ""},
	} {
		if test.got.String() != test.want {
			t.Errorf("%s: got %s, want %s", test.name, test.got, test.want)
		}
	}
	if !q("cpus:2;mem:1").Contains(q("cpus:2")) || q("cpus:2").Contains(q("mem:1")) {
		t.Error("quantities contain what is at most as much, name by name")
	}
}

func TestThousandths(t *testing.T) {
	for _, test := range []struct {
		value float64
		want  int64
		text  string
	}{
		{0, 0, "0"},
		{1, 1000, "1"},
		{0.1, 100, "0.1"},
		{0.0005, 1, "0.001"},
		{0.0004999, 0, "0"},
		{1.0015, 1002, "1.002"},
		{2.9996, 3000, "3"},
		{1e11, 1e14, "100000000000"},
	} {
		if got := resource.Thousandths(test.value); got != test.want {
			t.Errorf("%v is %d thousandths, want %d", test.value, got, test.want)
		}
		if got := resource.FormatThousandths(test.want); got != test.text {
			t.Errorf("%d thousandths print as %s, want %s", test.want, got, test.text)
		}
	}
	if got := resource.FormatThousandths(-1050); got != "-1.05" {
		t.Errorf("-1050 thousandths print as %s, want -1.05", got)
	}
	if got, want := resource.FormatThousandths(math.MinInt64), "-9223372036854775.808"; got != want {
		t.Errorf("the smallest amount prints as %s, want %s", got, want)
	}
}

func TestTake(t *testing.T) {
	const offer = "cpus:4;cpus(eng):2;mem:512;mem(eng):1024;ports:[100-110];ports(eng):[31000-31002];disks:{a,b};disks(eng):{c}"
	for _, test := range []struct{ name, need, want string }{
		{"reserved resources go first", "cpus:1;mem:128", "cpus(eng):1;mem(eng):128"},
		{"then unreserved ones", "cpus:3", "cpus:1;cpus(eng):2"},
		{"everything", "cpus:6;mem:1536", "cpus:4;cpus(eng):2;mem:512;mem(eng):1024"},
		{"more than everything fails", "cpus:6.001", "no"},
		{"what is not there fails", "gpus:1", "no"},
		{"a reservation in the wish is met exactly", "cpus(eng):2", "cpus(eng):2"},
		{"a reservation in the wish is not met by others", "cpus(eng):2.5", "no"},
		{"particular wishes go before others", "cpus:1;cpus(eng):2", "cpus:1;cpus(eng):2"},
		{"named ports", "ports:[105-105,31001-31001]", "ports:[105-105];ports(eng):[31001-31001]"},
		{"named ports that are not there fail", "ports:[99-100]", "no"},
		{"named items", "disks:{a,c}", "disks:{a};disks(eng):{c}"},
		{"nothing", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			taken, ok := parse(offer).Allocate("eng").Take(parse(test.need))
			if !ok && (test.want != "no" || !taken.IsEmpty()) {
				t.Errorf("it fails with %s, want %s", taken, test.want)
			}
			if got := taken.Unallocate().String(); ok && got != test.want {
				t.Errorf("taken: %s, want %s", got, test.want)
			}
			if ok && !parse(offer).Allocate("eng").Contains(taken) {
				t.Errorf("taken is %s, which is not in the offer", taken)
			}
		})
	}
}

func TestTakeCount(t *testing.T) {
	offer := parse("ports:[100-110];ports(eng):[31000-31001,31005-31005];cpus:4")
	for _, test := range []struct {
		name string
		n    int
		want string
	}{
		{"reserved ones go first, lowest first", 1, "ports(eng):[31000-31000]"},
		{"over a gap", 3, "ports(eng):[31000-31001,31005-31005]"},
		{"then unreserved ones", 5, "ports:[100-101];ports(eng):[31000-31001,31005-31005]"},
		{"all", 14, "ports:[100-110];ports(eng):[31000-31001,31005-31005]"},
		{"more than all fails", 15, "no"},
		{"none", 0, ""},
		{"less than none fails", -1, "no"},
	} {
		t.Run(test.name, func(t *testing.T) {
			taken, ok := offer.TakeCount("ports", test.n)
			if got := taken.String(); ok && got != test.want || !ok && test.want != "no" {
				t.Errorf("taken: %s %v, want %s", got, ok, test.want)
			}
		})
	}
	if _, ok := offer.TakeCount("cpus", 1); ok {
		t.Error("cpus are no ports")
	}
}

func TestOfWhatCanBeRevokedNothingIsTakenUnasked(t *testing.T) {
	offer, err := resource.Parse(`[{"name":"cpus","type":"SCALAR","scalar":{"value":4},"revocable":{}}]`)
	if err != nil {
		t.Fatal(err)
	}
	if taken, ok := offer.Take(parse("cpus:1")); ok {
		t.Errorf("taken: %s", taken)
	}
	if got := offer.Nonrevocable(); !got.IsEmpty() {
		t.Errorf("not revocable: %s, want nothing", got)
	}
}

func TestPersistentVolumesAreWhole(t *testing.T) {
	volume := mustParse(t, `[{"name":"disk","type":"SCALAR","scalar":{"value":64},"role":"db","disk":{"persistence":{"id":"v1"}}}]`)
	other := mustParse(t, `[{"name":"disk","type":"SCALAR","scalar":{"value":64},"role":"db","disk":{"persistence":{"id":"v2"}}}]`)
	part := mustParse(t, `[{"name":"disk","type":"SCALAR","scalar":{"value":32},"role":"db","disk":{"persistence":{"id":"v1"}}}]`)
	mounted := mustParse(t, `[{"name":"disk","type":"SCALAR","scalar":{"value":64},"role":"db","disk":{"persistence":{"id":"v1"},"volume":{"container_path":"data","mode":"RW"}}}]`)
	if volume.Contains(part) {
		t.Error("a part of a volume can be taken")
	}
	if volume.Contains(other) {
		t.Error("one volume passes for another")
	}
	if !volume.Equal(mounted) {
		t.Error("where a volume is to be seen makes it another one")
	}
	if _, ok := volume.Take(parse("disk:10")); ok {
		t.Error("a wish for disk is met by a volume")
	}
	both := volume.Add(other)
	if got := both.Get("disk"); got != 128_000 {
		t.Errorf("two volumes have %d thousandths, want 128000", got)
	}
	if left, ok := both.Sub(volume); !ok || !left.Equal(other) {
		t.Errorf("without one volume: %s, want %s", left, other)
	}
}

func TestSharedVolumesCountOnceHoweverManyUseThem(t *testing.T) {
	volume := mustParse(t, `[{"name":"disk","type":"SCALAR","scalar":{"value":64},"role":"db","disk":{"persistence":{"id":"v1"}},"shared":{}}]`)
	used := volume.Add(volume)
	if got := used.Get("disk"); got != 64_000 {
		t.Errorf("a volume with two users has %d thousandths, want 64000", got)
	}
	if left, ok := used.Sub(volume); !ok || !left.Equal(volume) {
		t.Errorf("without one user: %s, want %s", left, volume)
	}
}

func mustParse(t *testing.T, text string) resource.Resources {
	t.Helper()
	r, err := resource.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
