package allocator

import (
	"fmt"
	"testing"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

func (b *bench) quota(role, guarantees, limits string) {
	b.t.Helper()
	var q Quota
	if guarantees != "" {
		q.Guarantees = resource.MustParse(guarantees).Quantities()
	}
	if limits != "" {
		q.Limits = resource.MustParse(limits).Quantities()
	}
	b.SetQuota(role, q)
}

// TestRolesShareAsATree is the example of two departments: eng has two roles below it, sales none.
func TestRolesShareAsATree(t *testing.T) {
	b := newBench(t)
	b.framework("F0", "eng/web")
	b.framework("F1", "eng/db")
	b.framework("F2", "sales")
	for i := range 8 {
		b.slave(fmt.Sprintf("S%d", i), "cpus:1;mem:100")
	}
	b.expect(b.run(),
		"F1(eng/db) S0 cpus:1;mem:100",  // all have 0, by name
		"F2(sales) S1 cpus:1;mem:100",   // eng 1/8
		"F0(eng/web) S2 cpus:1;mem:100", // eng 1/8, sales 1/8, eng first by name; in it web 0, db 1/8
		"F2(sales) S3 cpus:1;mem:100",   // eng 2/8
		"F1(eng/db) S4 cpus:1;mem:100",  // eng 2/8, sales 2/8
		"F2(sales) S5 cpus:1;mem:100",   // eng 3/8
		"F0(eng/web) S6 cpus:1;mem:100", // eng 3/8, sales 3/8; web 1/8, db 2/8
		"F2(sales) S7 cpus:1;mem:100",   // eng 4/8
	)
	for role, want := range map[string]float64{"eng": 0.5, "eng/web": 0.25, "eng/db": 0.25, "sales": 0.5} {
		for _, s := range b.Shares() {
			if s.Role == role && s.Framework == "" && s.Share != want {
				t.Errorf("share of %s is %v, want %v", role, s.Share, want)
			}
		}
	}
}

// TestARolesOwnClientsStandBesideTheRolesBelowIt: the clients of eng count as one beside eng/web.
func TestARolesOwnClientsStandBesideTheRolesBelowIt(t *testing.T) {
	b := newBench(t)
	b.SetWeight("eng/web", 2)
	b.framework("F0", "eng")
	b.framework("F1", "eng")
	b.framework("F2", "eng/web")
	for i := range 6 {
		b.slave(fmt.Sprintf("S%d", i), "cpus:1;mem:100")
	}
	b.expect(b.run(),
		"F0(eng) S0 cpus:1;mem:100",
		"F2(eng/web) S1 cpus:1;mem:100", // own 1/6, web 0
		"F2(eng/web) S2 cpus:1;mem:100", // own 1/6, web 1/6 ÷ 2
		"F1(eng) S3 cpus:1;mem:100",     // own 1/6, web 2/6 ÷ 2, own was offered less often; F1 0, F0 1/6
		"F2(eng/web) S4 cpus:1;mem:100", // own 2/6, web 2/6 ÷ 2
		"F2(eng/web) S5 cpus:1;mem:100", // own 2/6, web 3/6 ÷ 2
	)
}

func TestUnfairResourcesMakeNoShare(t *testing.T) {
	b := &bench{t, New(Options{Unfair: []string{"gpus"}}), noon}
	f := b.framework("F0", "web")
	b.SetTerms("F0", Terms{Abilities: GPUs})
	b.slave("S0", "cpus:1;mem:100;gpus:8")
	b.slave("S1", "cpus:3;mem:300")
	b.expect(b.run(), "F0(web) S0 cpus:1;gpus:8;mem:100", "F0(web) S1 cpus:3;mem:300")
	b.Return(f, "S1", resource.MustParse("cpus:3;mem:300"))
	if got := b.share(f); got != 0.25 {
		t.Errorf("share is %v, want 1/4: all gpus do not count", got)
	}
}

func TestGPUsGoToThoseThatAskForThem(t *testing.T) {
	b := newBench(t)
	b.framework("F0", "web")
	b.slave("S0", "cpus:1;mem:100;gpus:1")
	b.expect(b.run())
	b.SetTerms("F0", Terms{Abilities: GPUs})
	b.expect(b.run(), "F0(web) S0 cpus:1;gpus:1;mem:100")
}

func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		limits  map[string]string
		want    []string
		charged string
	}{
		"what a limit leaves of a slave is offered, ports and what is not limited too": {
			limits:  map[string]string{"web": "cpus:3"},
			want:    []string{"F0(web) S0 cpus:2;mem:100;ports:[1-9]", "F0(web) S1 cpus:1;mem:100;ports:[1-9]", "F0(web) S2 mem:100;ports:[1-9]"},
			charged: "cpus:3;mem:300",
		},
		"nothing is offered when nothing of the limit is left": {
			limits:  map[string]string{"web": "cpus:2;mem:100"},
			want:    []string{"F0(web) S0 cpus:2;mem:100;ports:[1-9]"},
			charged: "cpus:2;mem:100",
		},
		"a limit of 0 keeps a role from everything": {
			limits: map[string]string{"web": "cpus:0;mem:0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			for role, limit := range test.limits {
				var q Quota // Parsing would drop what is 0.
				if limit == "cpus:0;mem:0" {
					q.Limits = resource.Quantities{{Name: "cpus"}, {Name: "mem"}}
				} else {
					q.Limits = resource.MustParse(limit).Quantities()
				}
				b.SetQuota(role, q)
			}
			b.framework("F0", "web")
			for i := range 3 {
				b.slave(fmt.Sprintf("S%d", i), "cpus:2;mem:100;ports:[1-9]")
			}
			b.expect(b.run(), test.want...)
			if got := b.Consumption("web").String(); got != test.charged {
				t.Errorf("%s are charged, want %s", got, test.charged)
			}
		})
	}
}

func TestALimitHoldsForAllRolesBelow(t *testing.T) {
	b := newBench(t)
	b.quota("eng", "", "cpus:3")
	b.framework("F0", "eng/web")
	b.framework("F1", "eng/db")
	for i := range 2 {
		b.slave(fmt.Sprintf("S%d", i), "cpus:2")
	}
	b.expect(b.run(), "F1(eng/db) S0 cpus:2", "F0(eng/web) S1 cpus:1")
}

func TestReservationsCountAgainstALimitAndAreOfferedAllTheSame(t *testing.T) {
	b := newBench(t)
	b.quota("web", "", "cpus:3")
	b.framework("F0", "web")
	b.slave("S0", "cpus:4;cpus(web):2")
	b.expect(b.run(), "F0(web) S0 cpus:1;cpus(web):2")
	b.quota("web", "", "cpus:1")
	if got := b.OverLimit("web").String(); got != "cpus:2" {
		t.Errorf("over its limit by %s, want cpus:2", got)
	}
}

// TestAGuaranteeComesBeforeShares: db has less than web, and web is guaranteed 3 cpus.
func TestAGuaranteeComesBeforeShares(t *testing.T) {
	b := newBench(t)
	b.framework("F0", "db")
	b.framework("F1", "web")
	b.quota("web", "cpus:3", "")
	for i := range 3 {
		b.slave(fmt.Sprintf("S%d", i), "cpus:2;mem:100")
	}
	b.expect(b.run(),
		"F1(web) S0 cpus:2;mem:100",
		"F1(web) S1 cpus:1;mem:50", // no more than what it lacks, and the same part of the mem
		"F0(db) S1 cpus:1;mem:50",
		"F0(db) S2 cpus:2;mem:100",
	)
}

// TestHeadroomIsKeptForAGuaranteeThatNobodyUses: web has no framework yet.
func TestHeadroomIsKeptForAGuaranteeThatNobodyUses(t *testing.T) {
	b := newBench(t)
	b.quota("web", "cpus:3", "")
	f := b.framework("F0", "db")
	for i := range 3 {
		b.slave(fmt.Sprintf("S%d", i), "cpus:2;mem:100")
	}
	b.expect(b.run(),
		"F0(db) S0 cpus:2;mem:100", // 6 are free, 3 are kept
		"F0(db) S1 cpus:1;mem:50",  // half of the mem stays with half of the cpus
	)
	b.framework("F1", "web")
	b.expect(b.run(), "F1(web) S1 cpus:1;mem:50", "F1(web) S2 cpus:2;mem:100")
	if lack := b.LacksHeadroom(); lack != nil {
		t.Errorf("headroom lacks %v", lack)
	}
	b.quota("ads", "cpus:1", "")
	if got := b.LacksHeadroom().String(); got != "cpus:1" {
		t.Errorf("headroom lacks %s, want cpus:1", got)
	}
	b.Return(f, "S1", resource.MustParse("cpus:1;mem:50"))
	b.now = b.now.Add(DefaultInterval)
	b.expect(b.run()) // it is kept for ads
	b.quota("ads", "", "")
	b.expect(b.run(), "F0(db) S1 cpus:1;mem:50") // db has 2/6, web 3/6
}

// TestGuaranteesOfATree: eng is guaranteed 4 cpus, of which eng/web is 1.
func TestGuaranteesOfATree(t *testing.T) {
	b := newBench(t)
	b.quota("eng", "cpus:4", "")
	b.quota("eng/web", "cpus:1", "")
	b.framework("F0", "eng/db")
	b.framework("F1", "sales")
	for i := range 6 {
		b.slave(fmt.Sprintf("S%d", i), "cpus:1")
	}
	b.expect(b.run(),
		"F0(eng/db) S0 cpus:1",
		"F0(eng/db) S1 cpus:1",
		"F0(eng/db) S2 cpus:1",
		"F1(sales) S3 cpus:1", // of the last three one is kept for eng/web
		"F1(sales) S4 cpus:1",
	)
	b.framework("F2", "eng/web")
	b.expect(b.run(), "F2(eng/web) S5 cpus:1")
	b.now = b.now.Add(time.Minute)
	b.expect(b.run())
}

func TestTheGuaranteesBelowCountIfTheyAreMore(t *testing.T) {
	b := newBench(t)
	b.quota("eng", "cpus:3", "")
	b.quota("eng/web", "cpus:2", "")
	b.quota("eng/db", "cpus:2", "")
	for i := range 6 {
		b.slave(fmt.Sprintf("S%d", i), "cpus:1")
	}
	b.framework("F0", "sales")
	b.expect(b.run(), "F0(sales) S0 cpus:1", "F0(sales) S1 cpus:1") // 4 are kept, not 3
}
