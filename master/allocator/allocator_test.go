package allocator

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bench is an allocator under test, its time, and the invariants after each step.
type bench struct {
	t *testing.T
	*Allocator
	now time.Time
}

func newBench(t *testing.T) *bench { return &bench{t, New(Options{}), noon} }

func (b *bench) framework(id, role string) Client {
	b.AddFramework(id, []string{role}, nil)
	b.ActivateFramework(id)
	return Client{id, role}
}

func (b *bench) slave(id, resources string) { b.AddSlave(id, resource.MustParse(resources)) }

// run steps until nothing waits.
func (b *bench) run() []Offer {
	b.t.Helper()
	var offers []Offer
	for first := true; first || b.Deadline(b.now).Equal(b.now); first = false {
		offers = append(offers, b.Step(b.now)...)
		if err := b.Check(); err != nil {
			b.t.Fatal(err)
		}
	}
	return offers
}

// expect compares offers, in order.
func (b *bench) expect(offers []Offer, want ...string) {
	b.t.Helper()
	var got []string
	for _, o := range offers {
		got = append(got, fmt.Sprintf("%s %s %v", o.Client, o.Slave, o.Resources))
	}
	if !slices.Equal(got, want) {
		b.t.Fatalf("offers are\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func (b *bench) share(c Client) float64 {
	for _, s := range b.Shares() {
		if s.Framework == c.Framework && s.Role == c.Role {
			return s.Share
		}
	}
	return math.NaN()
}

// TestTheExampleOfTheDRFPaper is Ghodsi et al. 2011, §4.1: 9 cpus and 18 GB, user A's tasks need <1 cpu, 4 GB>, user B's
// <3 cpus, 1 GB>. A gets three tasks, B two: both have a dominant share of 2/3.
func TestTheExampleOfTheDRFPaper(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:9;mem:18")
	a := b.framework("A", "a")
	other := b.framework("B", "b")
	needs := map[Client]resource.Resources{a: resource.MustParse("cpus:1;mem:4"), other: resource.MustParse("cpus:3;mem:1")}
	var steps []string
	for range 10 {
		offers := b.run()
		if len(offers) == 0 {
			break
		}
		o := offers[0]
		rest, fits := o.Resources.Sub(needs[o.Client])
		if fits {
			b.Use(o.Client, o.Slave, needs[o.Client])
			b.Return(o.Client, o.Slave, rest)
			steps = append(steps, fmt.Sprintf("%s gets a task: A %.4f, B %.4f", o.Framework, b.share(a), b.share(other)))
		} else {
			b.Return(o.Client, o.Slave, o.Resources)
			b.Refuse(o.Client, o.Slave, o.Resources, b.now.Add(time.Hour))
		}
	}
	want := []string{
		"A gets a task: A 0.2222, B 0.0000",
		"B gets a task: A 0.2222, B 0.3333",
		"A gets a task: A 0.4444, B 0.3333",
		"B gets a task: A 0.4444, B 0.6667",
		"A gets a task: A 0.6667, B 0.6667",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("tasks went\n  %s\nwant\n  %s", strings.Join(steps, "\n  "), strings.Join(want, "\n  "))
	}
	if b.share(a) != 12.0/18 || b.share(other) != 6.0/9 {
		t.Errorf("shares are %v and %v, want 2/3 and 2/3 exactly", b.share(a), b.share(other))
	}
}

func TestEachSlaveGoesToTheRoleWithTheLeastShare(t *testing.T) {
	b := newBench(t)
	for i := range 6 {
		b.slave(fmt.Sprintf("S%d", i), "cpus:1;mem:100")
	}
	b.framework("F0", "db")
	b.framework("F1", "web")
	b.SetWeight("web", 2)
	// db   0    1/6  1/6  1/6  1/3  1/3  1/3
	// web  0    0    1/12 1/6  1/6  1/4  1/3, each of its sixths halved by its weight
	b.expect(b.run(),
		"F0(db) S0 cpus:1;mem:100",
		"F1(web) S1 cpus:1;mem:100",
		"F1(web) S2 cpus:1;mem:100", // 1/12 is less than 1/6
		"F0(db) S3 cpus:1;mem:100",  // both 1/6: db was offered less often
		"F1(web) S4 cpus:1;mem:100",
		"F1(web) S5 cpus:1;mem:100",
	)
}

func TestInARoleTheFrameworkWithTheLeastShareComesFirst(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:4;mem:100")
	b.framework("F0", "web")
	b.framework("F1", "web")
	b.expect(b.run(), "F0(web) S0 cpus:4;mem:100")
	b.slave("S1", "cpus:1;mem:100")
	b.slave("S2", "cpus:1;mem:100")
	b.slave("S3", "cpus:4;mem:100")
	// F0 4/10; F1 0, then 1/10 (in mem 1/4), then 2/10 (mem 2/4): memory dominates, F0 has 1/4 of it.
	b.expect(b.run(), "F1(web) S1 cpus:1;mem:100", "F1(web) S2 cpus:1;mem:100", "F0(web) S3 cpus:4;mem:100")
}

func TestWhatEndsIsOfferedAtOnce(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:4;mem:100")
	f := b.framework("F0", "web")
	o := b.run()[0]
	b.Use(f, "S0", o.Resources)
	b.expect(b.run())
	part := resource.MustParse("cpus:1;mem:50")
	b.Release(f, "S0", part)
	b.expect(b.run(), "F0(web) S0 cpus:1;mem:50")
}

func TestReservedResourcesGoToTheirRoleOnly(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:1;mem:64;cpus(web):2;cpus(ads):3")
	b.framework("F0", "db")
	b.framework("F1", "web")
	b.expect(b.run(), "F0(db) S0 cpus:1;mem:64", "F1(web) S0 cpus(web):2")
	b.framework("F2", "ads")
	b.expect(b.run(), "F2(ads) S0 cpus(ads):3")
}

func TestOneOfferHoldsTheReservedAndTheUnreserved(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:1;mem:64;cpus(web):2")
	b.framework("F1", "web")
	b.expect(b.run(), "F1(web) S0 cpus:1;cpus(web):2;mem:64")
}

func TestTooLittleIsNotOffered(t *testing.T) {
	for text, offered := range map[string]bool{
		"cpus:0.01":                 true,
		"cpus:0.009":                false,
		"mem:32":                    true,
		"mem:31.999":                false,
		"cpus:0.009;mem:31.999":     false,
		"disk:1000000;ports:[1-99]": false,
		"cpus:0.01;disk:1":          true,
	} {
		b := newBench(t)
		b.slave("S0", text)
		b.framework("F0", "web")
		if got := len(b.run()) == 1; got != offered {
			t.Errorf("%s: offered is %v, want %v", text, got, offered)
		}
	}
}

func TestFilters(t *testing.T) {
	four, two := resource.MustParse("cpus:4;mem:64"), resource.MustParse("cpus:2;mem:32")
	// after the offer of four is returned and something refused, is it offered again at once, and a minute later?
	for name, test := range map[string]struct {
		refused resource.Resources
		until   time.Duration
		change  func(*bench, Client)
		now     bool
		later   bool
	}{
		"what is refused is held back until its time is over": {four, 30 * time.Second, nil, false, true},
		"and longer if the time is longer":                    {four, time.Hour, nil, false, false},
		"who refused less is not held back":                   {two, time.Hour, nil, true, false},
		"reviving forgets":                                    {four, time.Hour, func(b *bench, c Client) { b.Revive(c.Framework, []string{c.Role}) }, true, false},
		"deactivating forgets": {four, time.Hour, func(b *bench, c Client) {
			b.DeactivateFramework(c.Framework)
			b.ActivateFramework(c.Framework)
		}, true, false},
		"suppressing ends offers":                   {two, 0, func(b *bench, c Client) { b.Suppress(c.Framework, []string{c.Role}) }, false, false},
		"a slave that is not active is not offered": {two, 0, func(b *bench, _ Client) { b.DeactivateSlave("S0") }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.AddSlave("S0", four)
			f := b.framework("F0", "web")
			b.run()
			b.Return(f, "S0", four)
			b.Refuse(f, "S0", test.refused, b.now.Add(test.until))
			if test.change != nil {
				test.change(b, f)
			}
			if got := len(b.run()) > 0; got != test.now {
				t.Errorf("offered at once: %v, want %v", got, test.now)
			}
			b.now = b.now.Add(time.Minute)
			if got := len(b.run()) > 0; got != test.later {
				t.Errorf("offered after a minute: %v, want %v", got, test.later)
			}
		})
	}
}

func TestAFilterHoldsForLessButNotForMore(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:4;mem:64")
	f := b.framework("F0", "web")
	b.run()
	half := resource.MustParse("cpus:2;mem:32")
	b.Use(f, "S0", half)
	b.Return(f, "S0", half)
	b.Refuse(f, "S0", half, b.now.Add(time.Hour))
	b.expect(b.run())
	b.Release(f, "S0", resource.MustParse("cpus:1;mem:16"))
	b.expect(b.run(), "F0(web) S0 cpus:3;mem:48")
}

func TestAShortRefusalDoesNotShortenALongOne(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:4;mem:64")
	f := b.framework("F0", "web")
	all := b.run()[0].Resources
	b.Return(f, "S0", all)
	b.Refuse(f, "S0", all, b.now.Add(time.Hour))
	b.Refuse(f, "S0", all, b.now.Add(time.Second))
	b.now = b.now.Add(time.Minute)
	b.expect(b.run())
	for i := range 3 * MaxFilters { // More refusals than are remembered: the ones that end first are forgotten.
		b.Refuse(f, "S0", resource.Scalar(resource.CPUs, int64(i+1)), b.now.Add(time.Duration(i+1)*time.Second))
	}
	b.expect(b.run())
	if err := b.Check(); err != nil {
		t.Error(err)
	}
}

func TestALongRefusalOfLessOutlivesAShortOneOfMore(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:4;mem:64")
	f := b.framework("F0", "web")
	all := b.run()[0].Resources
	half := resource.MustParse("cpus:2;mem:32")
	b.Use(f, "S0", half)
	b.Return(f, "S0", half)
	b.Refuse(f, "S0", half, b.now.Add(time.Hour))
	b.Refuse(f, "S0", all, b.now.Add(time.Second))
	b.now = b.now.Add(time.Minute)
	b.expect(b.run())
}

func TestARefusalThatHasEndedDoesNotCountWhenThereIsLess(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:4;mem:64")
	f, g := b.framework("F0", "web"), b.framework("F1", "db")
	half := resource.MustParse("cpus:2;mem:32")
	b.SetWeight("web", 2)
	all := b.run()[0].Resources // db has it: of two with equal shares it comes first by its name.
	b.Refuse(f, "S0", half, b.now.Add(time.Second))
	b.Use(g, "S0", half)
	b.now = b.now.Add(time.Minute)
	b.expect(b.run())
	rest, _ := all.Sub(half)
	b.Return(g, "S0", rest)
	b.Refuse(g, "S0", rest, b.now.Add(time.Hour))
	b.expect(b.run(), "F0(web) S0 cpus:2;mem:32") // At once, not in the next cycle.
}

func TestARefusalDoesNotCountWhenAbilitiesChange(t *testing.T) {
	for _, x := range []struct {
		name  string
		terms Terms
		again bool
	}{
		{"other abilities", Terms{Abilities: Shared}, true},
		{"the same", Terms{}, false},
		{"the same abilities, and a minimum", Terms{Minimum: map[string][]resource.Quantities{"r": {}}}, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := newBench(t)
			f := b.framework("f", "r")
			b.slave("s", "cpus:4;mem:1024")
			offer := b.run()[0]
			b.Return(f, "s", offer.Resources)
			b.Refuse(f, "s", offer.Resources, b.now.Add(time.Hour))
			b.expect(b.run())
			b.SetTerms("f", x.terms)
			if offers := b.run(); (len(offers) == 1) != x.again {
				t.Errorf("offers are %v, want one: %v", offers, x.again)
			}
		})
	}
}

// A role that is guaranteed a part of a slave is given that first, and then the rest: two decisions, which are one offer.
func TestTwoDecisionsForAClientAndASlaveAreOneOffer(t *testing.T) {
	b := newBench(t)
	b.framework("f", "r")
	b.SetQuota("r", Quota{Guarantees: resource.MustParse("cpus:2;mem:512").Quantities()})
	b.slave("s", "cpus:4;mem:1024")
	b.expect(b.run(), "f(r) s cpus:4;mem:1024")
}

func TestSlavesAreWalkedInAnotherOrderEachTime(t *testing.T) {
	first := map[string]bool{}
	b := newBench(t)
	b.Seed(42)
	for i := range 10 {
		b.slave(fmt.Sprintf("S%d", i), "cpus:1;mem:64")
	}
	f := b.framework("F0", "web")
	for range 50 {
		offers := b.run()
		if len(offers) != 10 {
			t.Fatalf("%d offers, want 10", len(offers))
		}
		first[offers[0].Slave] = true
		for _, o := range offers {
			b.Return(f, o.Slave, o.Resources)
			b.Refuse(f, o.Slave, o.Resources, b.NextCycle(b.now))
		}
		b.expect(b.run())
		b.now = b.now.Add(DefaultInterval)
	}
	if len(first) < 8 {
		t.Errorf("in 50 cycles %d of 10 slaves were first: %v", len(first), first)
	}
}

func TestTiesAreBrokenByTheSeed(t *testing.T) {
	winners := map[string]bool{}
	for seed := range uint64(20) {
		b := newBench(t)
		b.Seed(seed + 1)
		b.slave("S0", "cpus:1;mem:64")
		b.framework("F0", "web")
		b.framework("F1", "web")
		winners[b.run()[0].Framework] = true
	}
	if len(winners) != 2 {
		t.Errorf("of two equals only %v ever came first", winners)
	}
}

func TestACycleRunsInSlices(t *testing.T) {
	b := newBench(t)
	f := b.framework("F0", "web")
	const slaves = 2000
	for i := range slaves {
		b.slave(fmt.Sprintf("S%05d", i), "cpus:1;mem:64")
	}
	total, parts := 0, 0
	for b.Deadline(b.now).Equal(b.now) {
		offers := b.Step(b.now)
		if len(offers) > MaxLooks/offerLooks {
			t.Fatalf("a slice has %d offers, want at most %d", len(offers), MaxLooks/offerLooks)
		}
		total += len(offers)
		parts++
	}
	if total != slaves || parts < 4 {
		t.Errorf("%d offers to %v in %d slices, want %d in more than 3", total, f, parts, slaves)
	}
	if err := b.Check(); err != nil {
		t.Error(err)
	}
}

func TestNobodyWaitsForANobody(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:1;mem:64")
	if at := b.Deadline(b.now); !at.IsZero() {
		t.Errorf("without frameworks the deadline is %v, want none", at)
	}
	f := b.framework("F0", "web")
	if at := b.Deadline(b.now); !at.Equal(b.now) {
		t.Errorf("with a framework the deadline is %v, want now", at)
	}
	b.run()
	if at := b.Deadline(b.now); !at.Equal(b.now.Add(DefaultInterval)) {
		t.Errorf("after a cycle the deadline is %v, want in %v", at, DefaultInterval)
	}
	b.Suppress(f.Framework, []string{f.Role})
	if at := b.Deadline(b.now); !at.IsZero() {
		t.Errorf("with a suppressed framework the deadline is %v, want none", at)
	}
}

func TestWhatIsNotFreeCannotBeCharged(t *testing.T) {
	b := newBench(t)
	b.slave("S0", "cpus:4;mem:64")
	f := Client{"F0", "web"}
	if err := b.Charge(f, "S0", resource.MustParse("cpus:3")); err != nil {
		t.Error(err)
	}
	err := b.Charge(f, "S0", resource.MustParse("cpus:3"))
	if want := "cpus:3 is not free: of its cpus:4;mem:64 the slave has cpus:1;mem:64 left"; fmt.Sprint(err) != want {
		t.Errorf("error is %q, want %q", err, want)
	}
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	b.RemoveSlave("S0")
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	if shares := b.Shares(); len(shares) != 0 {
		t.Errorf("without slaves and frameworks there are shares: %v", shares)
	}
}
