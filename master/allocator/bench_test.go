package allocator

import (
	"fmt"
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

// cycle runs a whole cycle, and returns its offers and its longest slice.
func cycle(a *Allocator, now time.Time) (offers []Offer, longest time.Duration) {
	for first := true; first || a.Deadline(now).Equal(now); first = false {
		begin := time.Now()
		offers = append(offers, a.Step(now)...)
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
			b.ReportAllocs()
			longest := time.Duration(0)
			for b.Loop() {
				offers, slice := cycle(a, now)
				longest = max(longest, slice)
				b.StopTimer()
				if len(offers) != slaves {
					b.Fatalf("%d offers, want %d", len(offers), slaves)
				}
				for _, o := range offers {
					a.Return(o.Client, o.Slave, o.Resources)
				}
				now = now.Add(DefaultInterval)
				b.StartTimer()
			}
			b.ReportMetric(float64(longest.Microseconds())/1000, "ms-longest-slice")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*slaves), "ns/offer")
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
				if offers, _ := cycle(a, now); len(offers) != 0 {
					b.Fatalf("%d offers, want none", len(offers))
				}
				now = now.Add(DefaultInterval)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*slaves*200), "ns/look")
		})
	}
}

// BenchmarkEvent measures one event and what it leads to: a task ends, and its resources are offered.
func BenchmarkEvent(b *testing.B) {
	for _, slaves := range []int{1000, 50000} {
		b.Run(fmt.Sprintf("slaves=%d", slaves), func(b *testing.B) {
			a := cluster(slaves, 200)
			cycle(a, noon)
			task := resource.MustParse("cpus:1;mem:64")
			client := Client{"F0", "role"}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				slave := fmt.Sprintf("S%d", i%(slaves/200)*200) // F0 has half of each of these.
				a.Release(client, slave, task)
				for _, o := range a.Step(noon) {
					a.Return(o.Client, o.Slave, o.Resources)
					a.Refuse(o.Client, o.Slave, o.Resources, noon)
				}
				if err := a.Charge(client, slave, task); err != nil {
					b.Fatal(err)
				}
				a.queue, a.ledger.slave(slave).queued = a.queue[:0], false
			}
		})
	}
}
