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
)

// TestMain lets the test binary be the program that runs in the containers.
func TestMain(m *testing.M) {
	if os.Getenv(task.ProgramVariable) != "" {
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
		Begin: func(Split) error {
			fmt.Fprintln(os.Stderr, "reporter:counter:letters,maps,1")
			return nil
		},
		Map: func(line []byte, emit func([]byte, int64)) error {
			switch string(line) {
			case "fail":
				return errors.New("a line says so")
			case "panic":
				panic("a line says so")
			}
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
		fmt.Fprintf(&in, "%d\n", i*7919%150_001) // more keys than a mapper holds
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
		mapped, err := job.mapped(strings.NewReader(in.String()))
		if err != nil {
			t.Fatal(err)
		}
		out, err := job.Local(strings.NewReader(in.String()))
		if err != nil {
			t.Fatal(err)
		}
		return out, len(mapped)
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
	if diff := cmp.Diff([]string{program, "it's", "here"}, options.Program); diff != "" || options.Name != "letters" {
		t.Errorf("program (-want +got):\n%s, options %+v", diff, options)
	}
	if diff := cmp.Diff(lettersOut, asTasks(t, lettersIn)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// asTasks runs letters in a map and a reduce.
func asTasks(t *testing.T, text string) string {
	t.Helper()
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, size := &taskpb.Program{Path: []byte(binary)}, int64(len(text))
	env := task.Env{Sandbox: t.TempDir(), Environ: os.Environ(), Stderr: os.Stderr}
	summary, err := task.Map(context.Background(), &taskpb.MapTask{
		Attempt: &taskpb.Attempt{TaskId: "map"}, Program: program, Partitions: 1,
		Chunks: []*taskpb.Chunk{{Path: []byte(in), Length: size, FileSize: size}},
	}, env)
	if err != nil {
		t.Fatal(err)
	}
	if n := summary.GetReports().GetCounters(); len(n) != 1 || n[0].GetName() != "maps" || n[0].GetValue() != 1 {
		t.Errorf("the map reported %v", n)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(env.Sandbox)))
	defer server.Close()
	output := &taskpb.MapOutput{Url: server.URL + "/" + task.MapPartFile(0), Part: summary.GetParts()[0]}
	reduce := func(order *taskpb.ReduceTask) string {
		reduced := task.Env{Sandbox: t.TempDir(), Environ: os.Environ(), Stderr: os.Stderr, Inputs: task.NewInputs()}
		order.Attempt, order.Program = &taskpb.Attempt{TaskId: "reduce"}, program
		if order.GetMaps() > 0 {
			reduced.Inputs.Add(output)
		}
		if _, err = task.Reduce(context.Background(), order, reduced); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(reduced.Sandbox, task.ReducePartFile(0)))
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	got := reduce(&taskpb.ReduceTask{Inputs: []*taskpb.MapOutput{output}})
	if early := reduce(&taskpb.ReduceTask{Maps: 1}); early != got {
		t.Errorf("a reduce that starts before it has its input gives %q, want %q", early, got)
	}
	return got
}

func TestAJobHasTheReducesThatItsFunctionsSay(t *testing.T) {
	with := Job[[]byte, int64]{Key: Bytes{}, Value: Int{}, Map: func([]byte, func([]byte, int64)) error { return nil }}
	without := with
	with.Reduce = func([]byte, iter.Seq[int64], io.Writer) error { return nil }
	for want, job := range map[string]Job[[]byte, int64]{
		"this job has reduces: -numReduceTasks is 1 or more":      with,
		"this job has no reduces: -numReduceTasks is not allowed": without,
	} {
		number := map[bool]string{true: "0", false: "2"}[job.Reduce != nil]
		if _, err := job.Options([]string{"-input", "i", "-output", "o", "-numReduceTasks", number}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAProgramsFailuresComeBack(t *testing.T) {
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, []byte("fail\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	one := func(program, path string) error {
		_, err := task.Map(context.Background(), &taskpb.MapTask{
			Attempt: &taskpb.Attempt{TaskId: "map"}, Program: &taskpb.Program{Path: []byte(program)}, Partitions: 1,
			Chunks: []*taskpb.Chunk{{Path: []byte(path), Length: 5, FileSize: 5}},
		}, task.Env{Sandbox: t.TempDir(), Environ: os.Environ()})
		return err
	}
	if err := one(binary, in); err == nil || err.Error() != "map: a line says so" {
		t.Errorf("a function's error: %v", err)
	}
	if err := os.WriteFile(in, []byte("panic"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := one(binary, in); err == nil || err.Error() != "program "+binary+" exited with status 2" {
		t.Errorf("a panic: %v", err)
	}
	if err := one(binary, in+"-none"); err == nil || !strings.HasPrefix(err.Error(), "input file: open ") {
		t.Errorf("no input: %v", err)
	}
	if err := one("/bin/false", in); err == nil || err.Error() != "program /bin/false exited with status 1" {
		t.Errorf("a program that is none: %v", err)
	}
	if err := one("/nowhere", in); err == nil || !strings.Contains(err.Error(), "start the program: ") {
		t.Errorf("no program: %v", err)
	}
	_, err = task.Reduce(context.Background(), &taskpb.ReduceTask{
		Attempt: &taskpb.Attempt{TaskId: "reduce"}, Program: &taskpb.Program{Path: []byte(binary)},
		Inputs: []*taskpb.MapOutput{{Map: 7, Url: "http://127.0.0.1:1/part", Part: &taskpb.Part{Bytes: 5, Records: 1}}},
	}, task.Env{Sandbox: t.TempDir(), Environ: os.Environ()})
	if lost := (*task.LostError)(nil); !errors.As(err, &lost) || lost.Lost[0].GetMap() != 7 {
		t.Errorf("lost output: %v", err)
	}
}
