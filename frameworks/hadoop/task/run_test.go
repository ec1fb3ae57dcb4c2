package task

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) record {
			r := record{key: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "key"), hasValue: rapid.Bool().Draw(t, "has value")}
			if r.hasValue {
				r.value = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
			}
			return r
		}), 0, 20).Draw(t, "records")
		w, err := createRun(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if err := w.write(r); err != nil {
				t.Fatal(err)
			}
		}
		part, err := w.close()
		if err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if part.GetBytes() != int64(len(body)) || part.GetCrc32C() != Checksum(0, body) || part.GetRecords() != int64(len(records)) {
			t.Fatalf("part %v of %d bytes", part, len(body))
		}
		small := streamRun(iotest.OneByteReader(bytes.NewReader(body)), 0, 0)
		small.buf = make([]byte, 1)
		for _, reader := range []*runReader{memoryRun(body, 0), streamRun(bytes.NewReader(body), 0, 0), small} {
			for _, want := range records {
				if more, err := reader.next(); err != nil || !more {
					t.Fatalf("ended early: %v", err)
				}
				if got := reader.rec; !bytes.Equal(got.key, want.key) || !bytes.Equal(got.value, want.value) || got.hasValue != want.hasValue {
					t.Fatalf("got %v, want %v", got, want)
				}
			}
			if more, err := reader.next(); more || err != nil {
				t.Fatalf("after the last record: %v, %v", more, err)
			}
		}
		if len(body) > 0 {
			torn := body[:rapid.IntRange(0, len(body)-1).Draw(t, "torn")]
			reader, n := streamRun(bytes.NewReader(torn), 0, 0), 0
			var err error
			for more := true; more; n++ {
				more, err = reader.next()
			}
			if err != nil && !errors.Is(err, errTornRun) || n > len(records) {
				t.Fatalf("a torn run gave %d records and %v", n, err)
			}
		}
	})
}

func TestADamagedLengthIsAnErrorAndNoAllocation(t *testing.T) {
	for _, run := range []string{"\xff\xff\xff\xff\xff\xff\xff\x7f\x00", "\xff\xff\xff\xff\x0f\x00abc", "\x01\xff\xff\xff\x0fk", "\x05\x00abc"} {
		if _, err := streamRun(bytes.NewReader([]byte(run)), 0, 0).next(); !errors.Is(err, errTornRun) {
			t.Errorf("%q: %v", run, err)
		}
		if _, err := memoryRun([]byte(run), 0).next(); !errors.Is(err, errTornRun) {
			t.Errorf("%q in memory: %v", run, err)
		}
	}
	if _, err := streamRun(iotest.ErrReader(io.ErrClosedPipe), 0, 0).next(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestPartitionNeverChanges(t *testing.T) {
	// FNV-1a of "a" is af63dc4c8601ec8c; its halves folded are 2962 30c0.
	if got := Partition([]byte("a"), 1<<30); got != 0x296230c0 {
		t.Errorf("Partition(a) = %#x", got)
	}
	counts := make([]int, 7)
	for i := range 70_000 {
		counts[Partition([]byte{byte(i), byte(i >> 8), 'k'}, 7)]++
	}
	if slices.Min(counts) < 9_000 || slices.Max(counts) > 11_000 {
		t.Errorf("keys are spread unevenly: %v", counts)
	}
	if Partition(nil, 1) != 0 || Partition([]byte("x"), 1) != 0 {
		t.Error("one partition holds everything")
	}
}
