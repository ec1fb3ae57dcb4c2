package mr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"pgregory.net/rapid"
)

// TestMain lets the test binary be the program that runs in the containers.
func TestMain(m *testing.M) {
	if os.Getenv(functionVariable) != "" {
		os.Exit(letters().Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// letters counts how often each byte begins a line, in keys and values that lines can not hold as they are.
func letters() Job[[]byte, int64] {
	add := func(_ []byte, counts iter.Seq[int64]) (total int64) {
		for n := range counts {
			total += n
		}
		return total
	}
	return Job[[]byte, int64]{
		Name: "letters", Key: Bytes{}, Value: Int{},
		Map: func(line []byte, emit func([]byte, int64)) error {
			if len(line) == 0 {
				emit([]byte("\n"), 1)
				return nil
			}
			emit(line[:1], 1)
			return nil
		},
		Combine: func(key []byte, counts iter.Seq[int64], emit func(int64)) error {
			emit(add(key, counts))
			return nil
		},
		Reduce: func(key []byte, counts iter.Seq[int64], out io.Writer) error {
			_, err := fmt.Fprintf(out, "%q %d\n", key, add(key, counts))
			return err
		},
	}
}

const lettersIn, lettersOut = "b\n\tx\n\n\x08\nbb\n\nno", "\"\\b\" 1\n\"\\t\" 1\n\"\\n\" 2\n\"b\" 2\n\"n\" 1\n"

func TestTheOrderOfKeysSurvivesTheirEscape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := rapid.SliceOfN(rapid.ByteRange(0, 14), 0, 6)
		a, b := some.Draw(t, "a"), some.Draw(t, "b")
		x, y := escape(nil, a), escape(nil, b)
		if bytes.ContainsAny(x, "\t\n") || bytes.Compare(a, b) != bytes.Compare(x, y) {
			t.Fatalf("%q and %q are written %q and %q", a, b, x, y)
		}
		back, err := unescape(nil, x)
		if err != nil || !bytes.Equal(back, a) {
			t.Fatalf("%q comes back as %q, %v", a, back, err)
		}
	})
	for _, torn := range []string{"a\x08", "\x08\x00", "\x08\x04"} {
		if _, err := unescape(nil, []byte(torn)); err == nil {
			t.Errorf("%q was not refused", torn)
		}
	}
}

func TestNumbersComeInTheirOrder(t *testing.T) {
	numbers := []int64{math.MinInt64, -256, -255, -1, 0, 1, 9, 10, 255, 256, math.MaxInt64}
	for i, n := range numbers {
		b := Int{}.Append(nil, n)
		if got, err := (Int{}).Parse(b); err != nil || got != n {
			t.Errorf("%d comes back as %d, %v", n, got, err)
		}
		if i > 0 && bytes.Compare(Int{}.Append(nil, numbers[i-1]), b) >= 0 {
			t.Errorf("%d does not come before %d", numbers[i-1], n)
		}
	}
	if _, err := (Int{}).Parse([]byte("7")); err == nil {
		t.Error("one byte was not refused")
	}
	if _, err := (None{}).Parse([]byte("7")); err == nil {
		t.Error("a byte for nothing was not refused")
	}
}

func TestAJobInThisProcess(t *testing.T) {
	got, err := letters().Local(strings.NewReader(lettersIn))
	if diff := cmp.Diff(lettersOut, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestAReduceNeedNotTakeAllValues(t *testing.T) {
	job := letters()
	job.Combine = nil
	job.Reduce = func(key []byte, counts iter.Seq[int64], out io.Writer) error {
		for range counts {
			break
		}
		_, err := fmt.Fprintf(out, "%q\n", key)
		return err
	}
	got, err := job.Local(strings.NewReader(lettersIn))
	if diff := cmp.Diff("\"\\b\"\n\"\\t\"\n\"\\n\"\n\"b\"\n\"n\"\n", got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestCombiningChangesNothingButTheNumberOfRecords(t *testing.T) {
	var in strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&in, "%d\n", i*i%150_001) // more keys than a mapper holds
	}
	count := func(combine func(string, iter.Seq[int64], func(int64)) error) (string, int) {
		job := Job[string, int64]{
			Key: String{}, Value: Int{}, Combine: combine,
			Map: func(line []byte, emit func(string, int64)) error {
				emit(string(line), 1)
				emit("all", 1)
				return nil
			},
			Reduce: func(key string, counts iter.Seq[int64], out io.Writer) error {
				total := int64(0)
				for n := range counts {
					total += n
				}
				_, err := fmt.Fprintln(out, key, total)
				return err
			},
		}
		var mapped bytes.Buffer
		if err := job.Mapper(strings.NewReader(in.String()), &mapped); err != nil {
			t.Fatal(err)
		}
		out, err := job.Local(strings.NewReader(in.String()))
		if err != nil {
			t.Fatal(err)
		}
		return out, bytes.Count(mapped.Bytes(), []byte("\n"))
	}
	plain, all := count(nil)
	if !strings.HasSuffix(plain, "all 200000\n") || all != 400_000 {
		t.Fatalf("without combining there are %d records", all)
	}
	summed, few := count(func(_ string, counts iter.Seq[int64], emit func(int64)) error {
		total := int64(0)
		for n := range counts {
			total += n
		}
		emit(total)
		return nil
	})
	if summed != plain || few > 250_000 {
		t.Errorf("combined, there are %d records, and the output is the same: %v", few, summed == plain)
	}
	same, none := count(func(_ string, counts iter.Seq[int64], emit func(int64)) error {
		for n := range counts {
			emit(n)
		}
		return nil
	})
	if same != plain || none != all {
		t.Errorf("combined to no less, there are %d records, and the output is the same: %v", none, same == plain)
	}
}

func TestErrorsOfFunctionsComeBack(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name  string
		spoil func(*Job[[]byte, int64])
	}{
		{"map", func(j *Job[[]byte, int64]) { j.Map = func([]byte, func([]byte, int64)) error { return broken } }},
		{"combine", func(j *Job[[]byte, int64]) {
			j.Combine = func([]byte, iter.Seq[int64], func(int64)) error { return broken }
		}},
		{"reduce", func(j *Job[[]byte, int64]) {
			j.Reduce = func([]byte, iter.Seq[int64], io.Writer) error { return broken }
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			job := letters()
			test.spoil(&job)
			if _, err := job.Local(strings.NewReader(lettersIn)); !errors.Is(err, broken) || !strings.Contains(err.Error(), test.name+": ") {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := letters().Reducer(strings.NewReader("key\tno number\n"), io.Discard); err == nil || err.Error() != "read a value: 9 bytes are no number: wanted are 8" {
		t.Errorf("a line of another job: %v", err)
	}
	if err := letters().function("shuffle", nil, nil); err == nil || !strings.Contains(err.Error(), "allowed are map and reduce") {
		t.Errorf("a function that is none: %v", err)
	}
}

// The program itself is mapper and reducer of real tasks.
func TestAJobAsTasks(t *testing.T) {
	options, err := letters().Options([]string{"-input", "in", "-output", "out"}, "it's", "here")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{program}, options.Programs); diff != "" || options.Name != "letters" || !strings.HasSuffix(options.Mapper, ` 'it'\''s' 'here'`) {
		t.Errorf("programs (-want +got):\n%s, options %+v", diff, options)
	}
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte(lettersIn), 0o600); err != nil {
		t.Fatal(err)
	}
	size := int64(len(lettersIn))
	env := task.Env{Sandbox: t.TempDir(), Environ: os.Environ(), Stderr: os.Stderr}
	summary, err := task.Map(context.Background(), &taskpb.MapTask{
		Attempt: &taskpb.Attempt{TaskId: "map"}, Mapper: options.Mapper, Partitions: 1,
		Chunks: []*taskpb.Chunk{{Path: []byte(in), Length: size, FileSize: size}},
	}, env)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(env.Sandbox)))
	defer server.Close()
	reduced := task.Env{Sandbox: t.TempDir(), Environ: os.Environ(), Stderr: os.Stderr}
	_, err = task.Reduce(context.Background(), &taskpb.ReduceTask{
		Attempt: &taskpb.Attempt{TaskId: "reduce"}, Reducer: options.Reducer,
		Inputs: []*taskpb.MapOutput{{Url: server.URL + "/" + task.MapPartFile(0), Part: summary.GetParts()[0]}},
	}, reduced)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(reduced.Sandbox, task.ReducePartFile(0)))
	if diff := cmp.Diff(lettersOut, string(got)); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
