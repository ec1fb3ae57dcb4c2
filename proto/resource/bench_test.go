package resource_test

import "testing"

// The sizes are those of a slave with one reserved role and of a task with ports.
func BenchmarkTypicalResources(b *testing.B) {
	slave := parse("cpus:32;cpus(eng):8;mem:128000;mem(eng):32000;disk:1000000;ports:[31000-32000]")
	task := parse("cpus:1.5;mem:1024;disk:100;ports:[31005-31006]")
	rest, _ := slave.Sub(task)
	b.Run("add", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			rest.Add(task)
		}
	})
	b.Run("sub", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			slave.Sub(task)
		}
	})
	b.Run("contains", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			slave.Contains(task)
		}
	})
	b.Run("allocate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			task.Allocate("eng")
		}
	})
	b.Run("quantities", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			slave.Quantities()
		}
	})
	b.Run("take", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			slave.Take(task)
		}
	})
}
