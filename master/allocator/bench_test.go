package allocator

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/proto/resource"
)

// cluster is slaves of cpus:24;mem:4096;disk:4096;ports:[31000-32000], half used, and frameworks in one role each.
func cluster(slaves, frameworks int) *Allocator {
	a := New(Options{})
	a.Seed(1)
	total := resource.MustParse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")
	half := resource.MustParse("cpus:12;mem:2048;disk:2048;ports:[31000-31500]")
	for i := range frameworks {
		id := fmt.Sprintf("F%d", i)
		a.AddFramework(id, []string{"role"}, nil)
		a.ActivateFramework(id)
	}
	for i := range slaves {
		id := fmt.Sprintf("S%d", i)
		a.AddSlave(id, total)
		if err := a.Charge(Client{fmt.Sprintf("F%d", i%frameworks), "role"}, id, half); err != nil {
			panic(err)
		}
	}
	return a
}

// cycle runs a whole cycle, and returns its offers, slice by slice, and its longest slice.
func cycle(a *Allocator, now time.Time) (offers [][]Offer, longest time.Duration) {
	for first := true; first || a.Deadline(now).Equal(now); first = false {
		begin := time.Now()
		offers = append(offers, a.Step(now))
		longest = max(longest, time.Since(begin))
	}
	return offers, longest
}

// BenchmarkAllocate measures a full cycle in which every slave is offered.
func BenchmarkAllocate(b *testing.B) {
	for _, slaves := range []int{1000, 10000, 50000} {
		b.Run(fmt.Sprintf("slaves=%d/frameworks=200", slaves), func(b *testing.B) {
			a := cluster(slaves, 200)
			now := noon
			var stats, before runtime.MemStats
			runtime.ReadMemStats(&before)
			longest, bytes := time.Duration(0), uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				offers, slice := cycle(a, now)
				longest = max(longest, slice)
				b.StopTimer()
				runtime.ReadMemStats(&stats)
				bytes += stats.TotalAlloc - before.TotalAlloc
				given := 0
				for _, o := range slices.Concat(offers...) {
					a.Return(o.Client, o.Slave, o.Resources)
					given++
				}
				if given != slaves {
					b.Fatalf("%d offers, want %d", given, slaves)
				}
				now = now.Add(DefaultInterval)
				runtime.ReadMemStats(&before)
				b.StartTimer()
			}
			offers := float64(b.N * slaves)
			b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest-slice")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/offers, "ns/offer")
			b.ReportMetric(float64(bytes)/offers, "B/offer")
		})
	}
}

// BenchmarkAllocateRefused measures a full cycle in which every framework refuses every slave, and each slave's free
// resources have shrunk since.
func BenchmarkAllocateRefused(b *testing.B) {
	for _, slaves := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("slaves=%d/frameworks=200", slaves), func(b *testing.B) {
			a := cluster(slaves, 200)
			half := resource.MustParse("cpus:12;mem:2048;disk:2048;ports:[31501-32000]")
			for i := range slaves {
				for f := range 200 {
					a.Refuse(Client{fmt.Sprintf("F%d", f), "role"}, fmt.Sprintf("S%d", i), half, noon.Add(1000000*time.Hour))
				}
				if err := a.Charge(Client{"F0", "role"}, fmt.Sprintf("S%d", i), resource.MustParse("cpus:1;mem:64")); err != nil {
					b.Fatal(err)
				}
			}
			now := noon
			b.ReportAllocs()
			for b.Loop() {
				offers, _ := cycle(a, now)
				if given := slices.Concat(offers...); len(given) != 0 {
					b.Fatalf("%d offers, want none", len(given))
				}
				now = now.Add(DefaultInterval)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*slaves*200), "ns/look")
		})
	}
}

// BenchmarkAllocateQuota measures a full cycle in which as many roles as there are slaves are guaranteed half a slave
// each, and may have no more than that.
func BenchmarkAllocateQuota(b *testing.B) {
	for _, slaves := range []int{300, 3000} {
		b.Run(fmt.Sprintf("slaves=%d/roles=%d", slaves, slaves), func(b *testing.B) {
			a := New(Options{})
			a.Seed(1)
			total := resource.MustParse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")
			quota := Quota{
				Guarantees: resource.MustParse("cpus:12;mem:2048").Quantities(),
				Limits:     resource.MustParse("cpus:12;mem:2048").Quantities(),
			}
			for i := range slaves {
				id, role := fmt.Sprintf("F%d", i), fmt.Sprintf("role%d", i)
				a.AddFramework(id, []string{role}, nil)
				a.ActivateFramework(id)
				a.SetQuota(role, quota)
				a.AddSlave(fmt.Sprintf("S%d", i), total)
			}
			now := noon
			b.ReportAllocs()
			for b.Loop() {
				offers, _ := cycle(a, now)
				b.StopTimer()
				for _, o := range slices.Concat(offers...) {
					a.Return(o.Client, o.Slave, o.Resources)
				}
				if lack := a.LacksHeadroom(); lack != nil {
					b.Fatalf("headroom lacks %v", lack)
				}
				now = now.Add(DefaultInterval)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkEvent measures one event and what it leads to, in clusters of two sizes: it must not grow with them. x-small is
// the time in the large one against that in the small one.
func BenchmarkEvent(b *testing.B) {
	small := map[string]float64{} // ns per operation, by event
	for _, slaves := range []int{1000, 50000} {
		names := make([]string, slaves)
		for i := range names {
			names[i] = fmt.Sprintf("S%d", i)
		}
		task, client := resource.MustParse("cpus:1;mem:64"), Client{"F0", "role"}
		total := resource.MustParse("cpus:24;mem:4096;disk:4096;ports:[31000-32000]")
		own := func(i int) string { return names[i*200%slaves] } // F0 has half of each of these.
		events := map[string]func(*testing.B, *Allocator, int){
			"task ends": func(b *testing.B, a *Allocator, i int) {
				a.Release(client, own(i), task)
				offers := a.Step(noon)
				if len(offers) != 1 {
					b.Fatalf("%d offers, want 1", len(offers))
				}
				a.Use(offers[0].Client, own(i), task)
				if offers[0].Client != client { // F0 has it again.
					a.Release(offers[0].Client, own(i), task)
					if err := a.Charge(client, own(i), task); err != nil {
						b.Fatal(err)
					}
				}
			},
			"decline": func(b *testing.B, a *Allocator, i int) {
				r := a.Holdings(own(i))[0]
				for _, h := range a.Holdings(own(i)) {
					if !h.Offered.IsEmpty() {
						r = h
					}
				}
				a.Return(r.Client, own(i), r.Offered)
				a.Refuse(r.Client, own(i), r.Offered, noon)
				if offers := a.Step(noon); len(offers) != 1 {
					b.Fatalf("%d offers, want 1", len(offers))
				}
			},
			"slave lost": func(b *testing.B, a *Allocator, i int) {
				a.RemoveSlave(names[i%slaves])
				a.Step(noon)
				a.AddSlave(names[i%slaves], total)
				if offers := a.Step(noon); len(offers) != 1 {
					b.Fatalf("%d offers, want 1", len(offers))
				}
			},
		}
		for _, event := range sortedKeys(events) {
			b.Run(fmt.Sprintf("%s/slaves=%d/frameworks=200", strings.ReplaceAll(event, " ", "_"), slaves), func(b *testing.B) {
				a := cluster(slaves, 200)
				cycle(a, noon)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					events[event](b, a, i)
				}
				took := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				if slaves == 1000 {
					small[event] = took
				} else if small[event] > 0 { // Else only this one was asked for.
					b.ReportMetric(took/small[event], "x-small")
				}
			})
		}
	}
}
