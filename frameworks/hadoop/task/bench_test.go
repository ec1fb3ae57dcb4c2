package task

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// benchText writes some text of 50,000 words that are as unevenly frequent as words are.
func benchText(b *testing.B, bytes int) string {
	b.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	words := make([]string, 50_000)
	for i := range words {
		word := make([]byte, 2+random.IntN(10))
		for j := range word {
			word[j] = 'a' + byte(random.IntN(26))
		}
		words[i] = string(word)
	}
	zipf := rand.NewZipf(random, 1.1, 4, uint64(len(words)-1))
	text := make([]byte, 0, bytes+100)
	for len(text) < bytes {
		text = append(append(text, words[zipf.Uint64()]...), ' ')
		if random.IntN(10) == 0 {
			text[len(text)-1] = '\n'
		}
	}
	path := filepath.Join(b.TempDir(), "text")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkWordCountTask counts the words of 64 MB in map tasks of 4 MB each and one reduce, one task after the other,
// each with its mapper or reducer as a process. x-floor is its time as a multiple of the shell pipeline's on the same
// bytes, in the same run.
func BenchmarkWordCountTask(b *testing.B) {
	const size, splitSize = 64 << 20, 4 << 20
	path := benchText(b, size)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	floor := time.Now()
	cmd := exec.Command("/bin/sh", "-c", `cat "$0" | tr -cs A-Za-z '\n' | tr A-Z a-z | sort | uniq -c >/dev/null`, path)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	floorTime := time.Since(floor)
	b.SetBytes(info.Size())
	for b.Loop() {
		for offset := int64(0); offset < info.Size(); offset += splitSize {
			order := &taskpb.MapTask{
				Attempt: &taskpb.Attempt{TaskId: "map"}, Mapper: wordCountMapper, Partitions: 2,
				Chunks: []*taskpb.Chunk{{Path: []byte(path), Offset: offset, Length: min(splitSize, info.Size()-offset), FileSize: info.Size()}},
			}
			if _, err := Map(context.Background(), order, testEnv(b)); err != nil {
				b.Fatal(err)
			}
		}
	}
	perOp := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(perOp)/float64(floorTime), "x-floor")
	b.Logf("%d MB: pipeline %v (%.0f MB/s), tasks %v (%.0f MB/s)", size>>20,
		floorTime.Round(time.Millisecond), size/1e6/floorTime.Seconds(), perOp.Round(time.Millisecond), size/1e6/perOp.Seconds())
}

// BenchmarkSortTask sorts 64 MB of lines of 100 bytes, half of which are spilled. x-floor is its time as a multiple of
// that of sort with one thread and as much memory, in the same run.
func BenchmarkSortTask(b *testing.B) {
	const size, buffer = 64 << 20, 64 << 20
	random := rand.New(rand.NewPCG(5, 6))
	text := make([]byte, 0, size+100)
	for len(text) < size {
		text = fmt.Appendf(text, "%016x%016x\t%065d\n", random.Uint64(), random.Uint64(), len(text))
	}
	path := filepath.Join(b.TempDir(), "text")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	floor := time.Now()
	cmd := exec.Command("sort", "--parallel=1", "-S64M", "-T", b.TempDir(), "-o", "/dev/null", path)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	floorTime := time.Since(floor)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		order := &taskpb.MapTask{
			Attempt: &taskpb.Attempt{TaskId: "map"}, Mapper: "cat", Partitions: 4, SortBufferBytes: buffer,
			Chunks: []*taskpb.Chunk{{Path: []byte(path), Length: int64(len(text)), FileSize: int64(len(text))}},
		}
		if _, err := Map(context.Background(), order, testEnv(b)); err != nil {
			b.Fatal(err)
		}
	}
	perOp := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(perOp)/float64(floorTime), "x-floor")
	b.Logf("%d MB: sort %v, task %v", size>>20, floorTime.Round(time.Millisecond), perOp.Round(time.Millisecond))
}

// BenchmarkFunctionTasks sorts 128 MB of lines of 100 bytes with functions in the place of commands, in four maps and a
// reduce. x-floor is its time as a multiple of that of sort with one thread and as much memory, in the same run.
func BenchmarkFunctionTasks(b *testing.B) {
	const size, maps, buffer = 128 << 20, 4, 128 << 20
	random := rand.New(rand.NewPCG(5, 6))
	text := make([]byte, 0, size+100)
	for len(text) < size {
		text = fmt.Appendf(text, "%016x%016x\t%066d\n", random.Uint64(), random.Uint64(), len(text))
	}
	path := filepath.Join(b.TempDir(), "text")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	floor := time.Now()
	cmd := exec.Command("sort", "--parallel=1", "-S128M", "-T", b.TempDir(), "-o", filepath.Join(b.TempDir(), "sorted"), path)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	floorTime := time.Since(floor)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		sortByFunctions(b, path, int64(len(text)), maps, buffer)
	}
	perOp := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(perOp)/float64(floorTime), "x-floor")
	b.Logf("%d MB: sort %v, tasks %v", size>>20, floorTime.Round(time.Millisecond), perOp.Round(time.Millisecond))
}

// keyMapping emits a line's first bytes as its key.
type keyMapping struct {
	emit func(key, value []byte) error
}

func (m keyMapping) Line(line []byte) error { return m.emit(line[:10], line[10:]) }
func (m keyMapping) End() error             { return nil }

func sortByFunctions(b *testing.B, path string, size int64, maps, buffer int64) {
	functions := &Functions{
		Map: func(_ Split, emit func(key, value []byte) error) (Mapping, error) { return keyMapping{emit}, nil },
		Reduce: func(key []byte, values iter.Seq2[[]byte, error], out io.Writer) error {
			var line []byte
			for value, err := range values {
				if err != nil {
					return err
				}
				line = append(append(append(line[:0], key...), value...), '\n')
				if _, err := out.Write(line); err != nil {
					return err
				}
			}
			return nil
		},
	}
	var inputs []*taskpb.MapOutput
	for m := range maps {
		env := testEnv(b)
		env.Functions = functions
		from, to := m*size/maps, (m+1)*size/maps
		summary, err := Map(context.Background(), &taskpb.MapTask{
			Attempt: &taskpb.Attempt{TaskId: "map"}, Partitions: 1, SortBufferBytes: buffer,
			Chunks: []*taskpb.Chunk{{Path: []byte(path), Offset: from, Length: to - from, FileSize: size}},
		}, env)
		if err != nil {
			b.Fatal(err)
		}
		server := httptest.NewServer(http.FileServer(http.Dir(env.Sandbox)))
		defer server.Close()
		inputs = append(inputs, &taskpb.MapOutput{Map: int32(m), Url: server.URL + "/" + MapPartFile(0), Part: summary.GetParts()[0]})
	}
	env := testEnv(b)
	env.Functions = functions
	order := &taskpb.ReduceTask{Attempt: &taskpb.Attempt{TaskId: "reduce"}, Inputs: inputs, SortBufferBytes: buffer}
	if _, err := Reduce(context.Background(), order, env); err != nil {
		b.Fatal(err)
	}
}
