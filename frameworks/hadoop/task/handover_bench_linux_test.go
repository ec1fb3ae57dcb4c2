package task

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what this process has taken of the processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkHandedOver brings a file of 256 MB from one folder to another. x-floor is the processors' time as a multiple of that of
// the same by HTTP, with server and client in this process, in the same run.
func BenchmarkHandedOver(b *testing.B) {
	const size, secret = 256 << 20, "the-secret-of-this-benchmark"
	folder, to := b.TempDir(), filepath.Join(b.TempDir(), "file")
	body := make([]byte, size)
	if err := os.WriteFile(filepath.Join(folder, "file"), body, 0o600); err != nil {
		b.Fatal(err)
	}
	want := part(string(body))
	server := httptest.NewServer(http.StripPrefix("/"+secret+"/", http.FileServer(http.Dir(folder))))
	defer server.Close()
	fetch := func() time.Duration {
		before := processorTime(b)
		if err := (Fetcher{}).ToFile(context.Background(), server.URL+"/"+secret+"/file", want, to); err != nil {
			b.Fatal(err)
		}
		return processorTime(b) - before
	}
	var floor, handed time.Duration
	for b.Loop() {
		floor += fetch()
		root, err := os.OpenRoot(folder)
		if err != nil {
			b.Fatal(err)
		}
		handOver, err := HandOver(secret, root.Open)
		if err != nil {
			b.Fatal(err)
		}
		handed += fetch()
		handOver.Close()
		root.Close()
	}
	b.ReportMetric(float64(handed)/float64(floor), "x-floor")
	b.Logf("%d MB: by HTTP %v, handed over %v", size>>20, floor/time.Duration(b.N), handed/time.Duration(b.N))
}
