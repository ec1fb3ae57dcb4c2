package task

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"google.golang.org/protobuf/proto"
)

// job runs a whole job with the task functions: each split in a sandbox of its own, served by a real HTTP server.
type job struct {
	mapper, reducer string
	reduces         int
	sortBuffer      int64
}

// run gives the parts one after the other, and the summaries.
func (j job) run(t testing.TB, splits ...[]string) (string, []*taskpb.MapSummary, []*taskpb.ReduceSummary) {
	t.Helper()
	inputs := make([][]*taskpb.MapOutput, j.reduces)
	var mapSummaries []*taskpb.MapSummary
	for m, files := range splits {
		env := testEnv(t)
		order := &taskpb.MapTask{
			Attempt: &taskpb.Attempt{TaskId: fmt.Sprint("map-", m), Task: int32(m)},
			Mapper:  j.mapper, Partitions: int32(j.reduces), SortBufferBytes: j.sortBuffer,
		}
		for _, path := range files {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			order.Chunks = append(order.Chunks, &taskpb.Chunk{Path: []byte(path), Length: info.Size(), FileSize: info.Size()})
		}
		summary, err := Map(context.Background(), order, env)
		if err != nil {
			t.Fatal(err)
		}
		mapSummaries = append(mapSummaries, summary)
		server := httptest.NewServer(http.FileServer(http.Dir(env.Sandbox)))
		t.Cleanup(server.Close)
		for r := range inputs {
			inputs[r] = append(inputs[r], &taskpb.MapOutput{
				Map: int32(m), Url: server.URL + "/" + MapPartFile(r), Part: summary.GetParts()[r],
			})
		}
	}
	var out strings.Builder
	var reduceSummaries []*taskpb.ReduceSummary
	for r := range inputs {
		env := testEnv(t)
		client := &http.Client{Transport: &http.Transport{}}
		t.Cleanup(client.CloseIdleConnections)
		env.Fetcher.Client = client
		summary, err := Reduce(context.Background(), &taskpb.ReduceTask{
			Attempt: &taskpb.Attempt{TaskId: fmt.Sprint("reduce-", r), Task: int32(r)},
			Inputs:  inputs[r], Reducer: j.reducer, SortBufferBytes: j.sortBuffer,
		}, env)
		if err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(filepath.Join(env.Sandbox, ReducePartFile(r)))
		if err != nil {
			t.Fatal(err)
		}
		if part := summary.GetPart(); part.GetBytes() != int64(len(body)) || part.GetCrc32C() != Checksum(0, body) ||
			part.GetRecords() != int64(bytes.Count(body, newline)) {
			t.Fatalf("the summary %v is not that of the %d bytes of the part", part, len(body))
		}
		out.Write(body)
		reduceSummaries = append(reduceSummaries, summary)
		left, _ := filepath.Glob(filepath.Join(env.Sandbox, "reduce", "*"))
		if len(left) != 2 {
			t.Fatalf("files are left beside part and summary: %v", left)
		}
	}
	return out.String(), mapSummaries, reduceSummaries
}

// pipeline is what the same job is in a shell: each file on its own, unfinished lines ended.
func pipeline(t testing.TB, command string, splits ...[]string) string {
	t.Helper()
	var in bytes.Buffer
	for _, files := range splits {
		for _, path := range files {
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			in.Write(body)
			if len(body) > 0 && body[len(body)-1] != '\n' {
				in.WriteByte('\n')
			}
		}
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return string(out)
}

func diff(t *testing.T, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	w, g := strings.SplitAfter(want, "\n"), strings.SplitAfter(got, "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			t.Fatalf("line %d of %d (got %d): want %.200q, got %.200q", i+1, len(w), len(g), w[i], g[min(i, len(g)-1)])
		}
	}
	t.Fatalf("got %d lines more", len(g)-len(w))
}

// nastyFiles are what a text may contain that programs get wrong.
func nastyFiles(t testing.TB) [][]string {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	binary := make([]byte, 300_000)
	for i := range binary {
		binary[i] = byte(random.IntN(256))
	}
	var keys strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&keys, "key%d\tvalue %d\n", random.IntN(5000), i)
	}
	longLine := strings.Repeat("a long line of words ", 20_000)
	return [][]string{
		{
			writeFile(t, "binary", binary),
			writeFile(t, "no final newline", []byte("alpha Beta\ngamma")),
			writeFile(t, "empty", nil),
			writeFile(t, "after the empty one", []byte("gamma\r\n\r\ndelta\ttab\n\t\nkey\t\nkey\nkey\tvalue\tsecond\n")),
		},
		{writeFile(t, "keys", []byte(keys.String()))},
		{},
		{
			writeFile(t, "long", []byte("x\n"+longLine+"\n"+strings.Repeat("z", 300_000)+"\nkey\tof the long file")),
			writeFile(t, "newlines", bytes.Repeat(newline, 1000)),
		},
	}
}

func TestIdentityJobSortsStablyByKeyLikeSort(t *testing.T) {
	files := nastyFiles(t)
	want := pipeline(t, `sort -s -t "$(printf '\t')" -k1,1`, files...)
	for _, sortBuffer := range []int64{0, 1 << 20} {
		got, summaries, reduced := job{mapper: "cat", reducer: "cat", reduces: 1, sortBuffer: sortBuffer}.run(t, files...)
		diff(t, want, got)
		spilled := int64(0)
		for _, s := range summaries {
			spilled += s.GetSpilledRecords()
		}
		if (sortBuffer > 0) != (spilled > 0) {
			t.Errorf("with a sort buffer of %d bytes %d records were spilled", sortBuffer, spilled)
		}
		if n := int64(strings.Count(want, "\n")); reduced[0].GetInputRecords() != n || reduced[0].GetPart().GetRecords() != n {
			t.Errorf("counted %v of %d records", reduced[0], n)
		}
	}
}

func TestManySpillsAreMergedInRounds(t *testing.T) {
	var in strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&in, "%d\t%d\n", i%977, i)
	}
	files := [][]string{{writeFile(t, "in", []byte(in.String()))}}
	want := pipeline(t, `sort -s -t "$(printf '\t')" -k1,1`, files...)
	got, summaries, _ := job{mapper: "cat", reducer: "cat", reduces: 1, sortBuffer: minSortBufferBytes}.run(t, files...)
	if spills := 200_000 / (minSortBufferBytes / 2 / entryBytes); spills <= MergeFactor {
		t.Fatalf("only %d spills: the test does not test what it says", spills)
	}
	if summaries[0].GetSpilledRecords() != 200_000 {
		t.Errorf("spilled %d records", summaries[0].GetSpilledRecords())
	}
	diff(t, want, got)
}

func TestPartsHoldEachKeyOnceAndAllOfIt(t *testing.T) {
	files := nastyFiles(t)
	one, _, _ := job{mapper: "cat", reducer: "cut -f1 | uniq -c", reduces: 1}.run(t, files...)
	seven, _, reduced := job{mapper: "cat", reducer: "cut -f1 | uniq -c", reduces: 7}.run(t, files...)
	sorted := func(s string) []string {
		lines := strings.Split(s, "\n")
		// The order of the parts is that of the hash.
		cmd := exec.Command("sort")
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		cmd.Stdin = strings.NewReader(s)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		_ = lines
		return strings.Split(string(out), "\n")
	}
	if d := cmp.Diff(sorted(one), sorted(seven)); d != "" {
		t.Errorf("7 reduces (-) differ from one (+):\n%.2000s", d)
	}
	groups := int64(0)
	for _, r := range reduced {
		if r.GetInputGroups() == 0 {
			t.Errorf("a part is empty: %v", r)
		}
		groups += r.GetInputGroups()
	}
	if want := int64(strings.Count(one, "\n")); groups != want {
		t.Errorf("counted %d keys, want %d", groups, want)
	}
}

const wordPipeline = `tr -cs A-Za-z '\n' | tr A-Z a-z | grep . | sort | uniq -c | awk '{print $2 "\t" $1}'`

func TestWordCountIsThatOfThePipeline(t *testing.T) {
	files := nastyFiles(t)
	want := pipeline(t, wordPipeline, files...)
	got, _, _ := job{mapper: wordCountMapper, reducer: wordCountReducer, reduces: 1}.run(t, files...)
	diff(t, want, got)
}

func TestWordCountOfMoreWordsThanTheTableHolds(t *testing.T) {
	letters := func(i int) string {
		b := []byte("WwAaaaaa")
		for at := len(b) - 1; i > 0; at-- {
			b[at] = byte('a' + i%26)
			i /= 26
		}
		return string(b)
	}
	var in strings.Builder
	for range 2 {
		for i := range maxTableWords + 1000 {
			in.WriteString(letters(i))
			in.WriteByte(' ')
		}
	}
	in.WriteString(strings.Repeat("q", 3*blockBytes))
	files := [][]string{{writeFile(t, "in", []byte(in.String()))}}
	want := pipeline(t, wordPipeline, files...)
	got, summaries, _ := job{mapper: wordCountMapper, reducer: wordCountReducer, reduces: 1}.run(t, files...)
	diff(t, want, got)
	if n := summaries[0].GetOutputRecords(); n <= maxTableWords+1001 {
		t.Errorf("the mapper printed %d lines: its table was never full", n)
	}
}

func TestWordCountMapperAddsUpWhatItCan(t *testing.T) {
	var out bytes.Buffer
	if err := WordCountMap(strings.NewReader("a bb, A--cc_BB\xe9Cc 1a"), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	slices.Sort(lines)
	if d := cmp.Diff([]string{"a\t3", "bb\t2", "cc\t2"}, lines); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestWordCountReducerRefusesOtherLines(t *testing.T) {
	for _, line := range []string{"word", "word\tmany", "\t1", "word\t-1", "word\t0", ""} {
		err := WordCountReduce(strings.NewReader("a\t1\n"+line+"\n"), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", line)) {
			t.Errorf("%q: %v", line, err)
		}
	}
	if err := WordCountReduce(strings.NewReader("a\t18446744073709551615\na\t1\n"), &bytes.Buffer{}); err == nil {
		t.Error("a sum beyond 64 bits was not refused")
	}
}

func TestAnEmptyInputGivesAnEmptyOutput(t *testing.T) {
	got, _, _ := job{mapper: "cat", reducer: "cat", reduces: 2}.run(t)
	diff(t, "", got)
	got, _, _ = job{mapper: "cat", reducer: "cat", reduces: 2}.run(t, []string{writeFile(t, "empty", nil)})
	diff(t, "", got)
	got, _, _ = job{mapper: "cat", reducer: "wc -l", reduces: 1}.run(t)
	diff(t, "0\n", strings.TrimLeft(got, " "))
}

func TestCommandsNeedNotReadAllTheirInput(t *testing.T) {
	big := writeFile(t, "big", bytes.Repeat([]byte("some line\n"), 1_000_000))
	got, _, _ := job{mapper: "head -n 2", reducer: "head -n 1; exit 0", reduces: 1}.run(t, []string{big})
	diff(t, "some line\n", got)
	got, _, _ = job{mapper: "true", reducer: "true", reduces: 1}.run(t, []string{big})
	diff(t, "", got)
}

func TestAnUnfinishedLastLineOfACommandGetsItsEnd(t *testing.T) {
	in := writeFile(t, "in", []byte("x"))
	got, _, _ := job{mapper: "printf 'b\t1\na'", reducer: "cat; printf end", reduces: 1}.run(t, []string{in})
	diff(t, "a\nb\t1\nend\n", got)
}

func TestCommandsKnowWhoTheyAre(t *testing.T) {
	in := writeFile(t, "in", []byte("x"))
	order := &taskpb.MapTask{
		Attempt: &taskpb.Attempt{JobName: "job", TaskId: "map-00007-2", Task: 7, Number: 2},
		Chunks:  []*taskpb.Chunk{{Path: []byte(in), Length: 1, FileSize: 1}},
		Mapper:  `echo "$mapreduce_job_name $mapreduce_task_id $mapreduce_task_attempt_id $mapreduce_task_partition $mapreduce_task_ismap ${mapreduce_map_input_file##*/}"`, Partitions: 1,
	}
	env := testEnv(t)
	if _, err := Map(context.Background(), order, env); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(env.Sandbox, MapPartFile(0)))
	if err != nil {
		t.Fatal(err)
	}
	if want := "job map-00007-2 2 7 true in"; !strings.Contains(string(body), want) {
		t.Errorf("got %q, want %q", body, want)
	}
}

func TestTheNameOfTheBinaryIsFound(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for _, path := range []string{dir + "/stoa", other + "/stoa"} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho "+path+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ name, path string }{
		{"behind everything when no other is in PATH", "/usr/bin:/bin"},
		{"before another one", other + ":/usr/bin:/bin"},
		{"where it is already", "/usr/bin:" + dir + ":/bin"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "-c", "stoa")
			cmd.Env = withBinary([]string{"PATH=" + test.path, BinaryVariable + "=" + dir + "/stoa"})
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != dir+"/stoa\n" {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}

// program runs the task program as a process and gives its exit status and what it says.
func program(t *testing.T, kind string, env Env, order proto.Message) (int, string) {
	t.Helper()
	body, err := proto.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "task", kind)
	cmd.Dir, cmd.Env, cmd.Stdin = env.Sandbox, env.Environ, bytes.NewReader(body)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

func TestAFailureIsOneClearLine(t *testing.T) {
	big := bytes.Repeat([]byte("some line\n"), 1_000_000)
	attempt := &taskpb.Attempt{TaskId: "map-00003-1"}
	gone := filepath.Join(t.TempDir(), "gone")
	file := func(path string, size int) []*taskpb.Chunk {
		return []*taskpb.Chunk{{Path: []byte(path), Length: int64(size), FileSize: int64(size)}}
	}
	tests := []struct {
		name, kind string
		order      proto.Message
		status     int
		want       string
	}{
		{
			"a mapper that fails", "map", &taskpb.MapTask{Attempt: attempt, Mapper: "cat >/dev/null; echo mine >&2; exit 3"},
			1, "mine\nhadoop task map-00003-1: mapper `cat >/dev/null; echo mine >&2; exit 3` exited with status 3\n",
		},
		{
			"a mapper that fails without reading its input", "map", &taskpb.MapTask{Attempt: attempt, Mapper: "exit 1", Chunks: file(writeFile(t, "in", big), len(big))},
			1, "hadoop task map-00003-1: mapper `exit 1` exited with status 1\n",
		},
		{
			"a mapper that does not exist", "map", &taskpb.MapTask{Attempt: attempt, Mapper: "no-such-mapper 2>/dev/null"},
			1, "hadoop task map-00003-1: mapper `no-such-mapper 2>/dev/null` exited with status 127: the command was not found\n",
		},
		{
			"a mapper of several lines whose last word has no end", "map", &taskpb.MapTask{Attempt: attempt, Mapper: "printf mine >&2\nexit 3"},
			1, "mine\nhadoop task map-00003-1: mapper `printf mine >&2 exit 3` exited with status 3\n",
		},
		{
			"a long mapper, cut within a letter", "map", &taskpb.MapTask{Attempt: attempt, Mapper: "exit 3 ##" + strings.Repeat("é", 100)},
			1, "hadoop task map-00003-1: mapper `exit 3 ##" + strings.Repeat("é", 95) + "…` exited with status 3\n",
		},
		{
			"a counter beyond its bits", "map", &taskpb.MapTask{Attempt: attempt, Mapper: "printf 'reporter:counter:g,c,9223372036854775807\nreporter:counter:g,c,1\n' >&2"},
			1, "hadoop task map-00003-1: \"reporter:counter:g,c,1\" on standard error brings its counter beyond 64 bits: it is at 9223372036854775807\n",
		},
		{
			"a mapper that is killed", "map", &taskpb.MapTask{Attempt: attempt, Mapper: "kill -9 $$"},
			1, "hadoop task map-00003-1: mapper `kill -9 $$` was ended by signal 9 (killed)\n",
		},
		{
			"a file that vanished", "map", &taskpb.MapTask{Attempt: attempt, Mapper: "cat", Chunks: file(gone, 5)},
			1, "hadoop task map-00003-1: input file: open " + gone + ": no such file or directory\n",
		},
		{
			"a file that vanished under a mapper that does not end", "map", &taskpb.MapTask{Attempt: attempt, Mapper: "exec sleep 1000", Chunks: file(gone, 5)},
			1, "hadoop task map-00003-1: input file: open " + gone + ": no such file or directory\n",
		},
		{
			"a line that does not fit", "map", &taskpb.MapTask{Attempt: attempt, SortBufferBytes: minSortBufferBytes, Mapper: "exec tr '\\n' ' '", Chunks: file(writeFile(t, "in", big), len(big))},
			1, "hadoop task map-00003-1: a line of the mapper's output is longer than the sort buffer of 65520 bytes: give the task more memory\n",
		},
		{
			"a reducer that fails", "reduce", &taskpb.ReduceTask{Attempt: &taskpb.Attempt{TaskId: "reduce-00000-0"}, Reducer: "false"},
			1, "hadoop task reduce-00000-0: reducer `false` exited with status 1\n",
		},
		{"an order that is none", "map", &taskpb.MapTask{}, 2, "hadoop task: standard input is not the order of a map task: it names no task\n"},
		{"a kind that is none", "shuffle", &taskpb.MapTask{}, 2, "hadoop task: unknown kind of task \"shuffle\" (allowed: map, reduce)\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, stderr := program(t, test.kind, testEnv(t), test.order)
			if status != test.status || stderr != test.want {
				t.Errorf("status %d, want %d; stderr\n%q, want\n%q", status, test.status, stderr, test.want)
			}
		})
	}
}

func TestAChildOfAMapperThatHoldsTheOutputDoesNotHoldTheTaskUp(t *testing.T) {
	gone := []*taskpb.Chunk{{Path: []byte(filepath.Join(t.TempDir(), "gone")), Length: 1, FileSize: 1}}
	begin := time.Now()
	order := &taskpb.MapTask{Mapper: "sleep 5; true", Chunks: gone} // the shell waits for a child
	if _, err := Map(context.Background(), order, testEnv(t)); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(begin); d > 4*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestAMapperThatNeitherReadsNorEndsIsAbandonedWithItsTask(t *testing.T) {
	in := writeFile(t, "in", bytes.Repeat([]byte("some line\n"), 1_000_000))
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	order := &taskpb.MapTask{Mapper: "exec sleep 1000", Chunks: []*taskpb.Chunk{{Path: []byte(in), Length: 10_000_000, FileSize: 10_000_000}}}
	var failed *CommandError
	if _, err := Map(ctx, order, testEnv(t)); !errors.As(err, &failed) {
		t.Errorf("got %v", err)
	}
}
