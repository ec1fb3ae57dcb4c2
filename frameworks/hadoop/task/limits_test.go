package task

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"google.golang.org/protobuf/proto"
)

// What a task may take of memory beside its sort buffer: the program's text, its heap and stacks, the pipes' buffers.
const besideTheBuffer = 56 << 20

// peak runs the task program and gives the most memory, in bytes, that it has had at a time.
func peak(t *testing.T, kind string, env Env, order proto.Message) int64 {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	body, err := proto.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "task", kind)
	status := filepath.Join(t.TempDir(), "status")
	cmd.Dir, cmd.Env, cmd.Stdin = env.Sandbox, append(env.Environ, statusVariable+"="+status), bytes.NewReader(body)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	text, err := os.ReadFile(status)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var kilobytes int64
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return kilobytes << 10
}

// Of each of these inputs there is more than the sort buffer holds.
func TestATasksMemoryStaysWithinItsLimitWhateverTheInput(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems count memory otherwise")
	}
	if raceDetector || testing.Short() {
		t.Skip("half a GB of records, and the race detector takes memory of its own")
	}
	const buffer = 24 << 20
	inputs := []struct {
		name  string
		write func(w io.Writer, i int)
		times int
	}{
		{"lines of 10 MB", func(w io.Writer, i int) { fmt.Fprintf(w, "%d\t%s\n", i%3, strings.Repeat("x", 10<<20)) }, 12},
		{"lines of 10 MB that are all key", func(w io.Writer, i int) { fmt.Fprintf(w, "%s%d\n", strings.Repeat("x", 10<<20), i%3) }, 12},
		{"one key with all the values", func(w io.Writer, i int) { fmt.Fprintf(w, "key\t%d\n", i) }, 4_000_000},
		{"100,000 keys of one record each", func(w io.Writer, i int) { fmt.Fprintf(w, "%d\t%0500d\n", i*7919%100_000, i) }, 100_000},
		{"empty lines", func(w io.Writer, _ int) { _, _ = w.Write(newline) }, 4_000_000},
	}
	for _, input := range inputs {
		t.Run(input.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "in")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			w := &runFile{File: f}
			for i := range input.times {
				input.write(w, i)
			}
			if err := w.end(); err != nil {
				t.Fatal(err)
			}
			attempt := &taskpb.Attempt{TaskId: "task"}
			env, reduceEnv := testEnv(t), testEnv(t)
			used := peak(t, "map", env, &taskpb.MapTask{
				Attempt: attempt, Mapper: "cat", Partitions: 1, SortBufferBytes: buffer, Chunks: []*taskpb.Chunk{chunkOf(path, int(w.size))},
			})
			summary := &taskpb.MapSummary{}
			if err := readMessage(env.path(MapSummaryFile), summary); err != nil {
				t.Fatal(err)
			}
			if summary.GetSpilledRecords() == 0 {
				t.Error("nothing was spilled: the test does not test what it says")
			}
			server := httptest.NewServer(http.FileServer(http.Dir(env.Sandbox)))
			defer server.Close()
			order := &taskpb.ReduceTask{Attempt: attempt, Reducer: "cat", SortBufferBytes: buffer}
			for m := range 4 { // as if there were several such maps
				order.Inputs = append(order.Inputs, &taskpb.MapOutput{Map: int32(m), Url: server.URL + "/" + MapPartFile(0), Part: summary.GetParts()[0]})
			}
			reduceUsed := peak(t, "reduce", reduceEnv, order)
			t.Logf("%d MB of input, a buffer of %d MB: the map had %d MB, the reduce %d MB", w.size>>20, buffer>>20, used>>20, reduceUsed>>20)
			if limit := int64(buffer + besideTheBuffer); used > limit || reduceUsed > limit {
				t.Errorf("the limit is %d MB", limit>>20)
			}
			reduced := &taskpb.ReduceSummary{}
			if err := readMessage(reduceEnv.path(ReduceSummaryFile), reduced); err != nil {
				t.Fatal(err)
			}
			if reduced.GetPart().GetBytes() != 4*w.size {
				t.Errorf("the reduce has %d bytes, want %d", reduced.GetPart().GetBytes(), 4*w.size)
			}
		})
	}
}

// runFile is a buffered file that counts.
type runFile struct {
	*os.File
	buf  []byte
	size int64
}

func (f *runFile) Write(b []byte) (int, error) {
	f.buf = append(f.buf, b...)
	f.size += int64(len(b))
	if len(f.buf) > 1<<20 {
		return len(b), f.flush()
	}
	return len(b), nil
}

func (f *runFile) flush() error {
	_, err := f.File.Write(f.buf)
	f.buf = f.buf[:0]
	return err
}

func (f *runFile) end() error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.Close()
}

// smallDisk mounts a file system of so many bytes.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Geteuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := mountMemory(dir, size); err != nil {
		t.Skipf("a small disk can not be mounted: %v", err)
	}
	t.Cleanup(func() { _ = unmount(dir) })
	return dir
}

func TestAFullDiskIsAClearEnd(t *testing.T) {
	in := writeFile(t, "in", bytes.Repeat([]byte("key\tsome value\n"), 400_000))
	chunks := []*taskpb.Chunk{chunkOf(in, 400_000*15)}
	attempt := &taskpb.Attempt{TaskId: "map-00000-0"}
	functions := &Functions{
		Map: func(_ Split, emit func(key, value []byte) error) (Mapping, error) { return keyMapping{emit}, nil },
		Reduce: func(key []byte, _ iter.Seq2[[]byte, error], out io.Writer) error {
			_, err := out.Write(key)
			return err
		},
	}
	for _, test := range []struct {
		name      string
		order     *taskpb.MapTask
		functions *Functions
	}{
		{"while records are spilled", &taskpb.MapTask{Mapper: "cat", SortBufferBytes: 1 << 20}, nil},
		{"while the parts are written", &taskpb.MapTask{Mapper: "cat"}, nil},
		{"while what a mapper prints is kept", &taskpb.MapTask{Mapper: "cat", MapOnly: true}, nil},
		{"while a mapper that never ends goes on", &taskpb.MapTask{Mapper: "yes", SortBufferBytes: 1 << 20}, nil},
		{"while functions give records", &taskpb.MapTask{SortBufferBytes: 1 << 20}, functions},
		{"while functions give lines", &taskpb.MapTask{MapOnly: true}, functions},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := testEnv(t)
			env.Sandbox, env.Functions = smallDisk(t, 3<<20), test.functions
			test.order.Attempt, test.order.Partitions, test.order.Chunks = attempt, 1, chunks
			_, err := Map(context.Background(), test.order, env)
			if err == nil || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), env.Sandbox) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Stat(env.path(MapSummaryFile)); err == nil {
				t.Error("there is a summary")
			}
		})
	}
	t.Run("while a reduce fetches", func(t *testing.T) {
		env := testEnv(t)
		summary, err := Map(context.Background(), &taskpb.MapTask{Attempt: attempt, Mapper: "cat", Partitions: 1, Chunks: chunks}, env)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(http.FileServer(http.Dir(env.Sandbox)))
		defer server.Close()
		small := testEnv(t)
		small.Sandbox = smallDisk(t, 3<<20)
		_, err = Reduce(context.Background(), &taskpb.ReduceTask{
			Attempt: attempt, Reducer: "cat", SortBufferBytes: minSortBufferBytes,
			Inputs: []*taskpb.MapOutput{{Url: server.URL + "/" + MapPartFile(0), Part: summary.GetParts()[0]}},
		}, small)
		if err == nil || !strings.Contains(err.Error(), "keep fetched output: ") || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("got %v", err)
		}
	})
}
