package hadoop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// texts writes some files and gives their folder.
func texts(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 40 {
		var b strings.Builder
		for j := range 500 {
			fmt.Fprintf(&b, "Line %d of file_%c, word%s\n", j, 'a'+i%26, strings.Repeat("x", (i*j)%17))
		}
		b.WriteString("unfinished")
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.txt", i)), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// counted is the word count of a folder as a shell makes it.
func counted(t testing.TB, dir string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `for f in "$0"/*; do cat "$f"; echo; done | tr -cs A-Za-z '\n' | tr A-Z a-z | grep . | sort | uniq -c | awk '{print $2 "\t" $1}'`, dir)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func wordCount(input, output string) Options {
	return Options{
		Input: []string{input}, Output: output, Mapper: WordCountMapper, Reducer: WordCountReducer,
		Reduces: 3, MaxSplit: 100_000,
	}
}

// countWords is the word count of standard input.
const countWords = `tr -cs A-Za-z '\n' | tr A-Z a-z | grep . | sort | uniq -c | awk '{print $2 "\t" $1}'`

// pipelineOf is what a shell makes of a text.
func pipelineOf(t testing.TB, command, text string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// read gives all parts of an output, sorted.
func read(t testing.TB, dir string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `cat "$0"/part-* | sort`, dir)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestAWordCountOnSlavesThatShareNothing(t *testing.T) {
	input, output := texts(t), filepath.Join(t.TempDir(), "new/out")
	var mu sync.Mutex
	var phases []Phase
	o := wordCount(input, output)
	o.Progress = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if n := len(phases); n == 0 || phases[n-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	}
	result, err := newCluster(t, 3).run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(counted(t, input), read(t, output)); diff != "" {
		t.Errorf("(-want +got):\n%.1000s", diff)
	}
	if diff := cmp.Diff([]string{"_SUCCESS", "part-00000", "part-00001", "part-00002"}, tree(t, output)); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Phase{Mapping, Reducing, Committing, Finished}, phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	tasks := 0
	for _, n := range result.TasksPerSlave {
		tasks += n
	}
	if result.Output != output || result.Maps < 5 || tasks != result.Maps+3 || len(result.Slaves()) != 3 || result.Total <= 0 {
		t.Errorf("result: %+v", result)
	}
	c := result.Counters
	if c.InputFiles != 40 || c.InputRecords != 40*501 || c.OutputRecords != c.ReduceGroups || c.MapOutputRecords != c.ReduceInputRecords {
		t.Errorf("counters: %+v", c)
	}
}

func TestASlaveThatIsSlowDoesNotHoldTheJobUp(t *testing.T) {
	input, output, flag := texts(t), filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "job is over")
	c := newCluster(t, 3)
	o := wordCount(input, output)
	o.Mapper = fmt.Sprintf(`case $PWD in */slaves/S1/*) until [ -e '%s' ]; do sleep 0.05; done;; esac; %s`, flag, WordCountMapper)
	result, err := c.run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	write(t, flag, "") // lets the attempts that were given up end
	if diff := cmp.Diff(counted(t, input), read(t, output)); diff != "" {
		t.Errorf("(-want +got):\n%.1000s", diff)
	}
	if result.SpeculativeAttempts == 0 || result.FailedAttempts != 0 || result.LostAttempts != 0 {
		t.Errorf("%d second attempts, %d failed, %d lost", result.SpeculativeAttempts, result.FailedAttempts, result.LostAttempts)
	}
	if n := len(c.master.Calls(schedulerpb.Call_KILL)); n != result.SpeculativeAttempts {
		t.Errorf("%d attempts were killed, want the %d that were late", n, result.SpeculativeAttempts)
	}
}

func TestMapOutputThatIsLostIsMadeAgain(t *testing.T) {
	input, output := texts(t), filepath.Join(t.TempDir(), "out")
	c := newCluster(t, 3)
	var once sync.Once
	c.launching = func(_ *testSlave, info *mesos.TaskInfo) {
		if strings.HasPrefix(info.GetTaskId().GetValue(), "reduce-") {
			once.Do(func() {
				// All maps are done; what the first slave made goes, without anybody being told.
				if err := os.RemoveAll(filepath.Join(c.slaves[0].dir, "slaves")); err != nil {
					t.Error(err)
				}
			})
		}
	}
	result, err := c.run(t.Context(), wordCount(input, output))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(counted(t, input), read(t, output)); diff != "" {
		t.Errorf("(-want +got):\n%.1000s", diff)
	}
	if result.LostAttempts == 0 || result.FailedAttempts != 0 {
		t.Errorf("%d attempts lost, %d failed", result.LostAttempts, result.FailedAttempts)
	}
}

func TestAReducesOutputThatIsLostBeforeItIsFetchedIsMadeAgain(t *testing.T) {
	input, output := texts(t), filepath.Join(t.TempDir(), "out")
	c := newCluster(t, 2)
	c.ended = func(info *mesos.TaskInfo, sandbox string) {
		lost := map[string]string{"reduce-00000-0": "reduce", "reduce-00001-0": "reduce/part-00001", "map-00002-0": "map"}
		if file, ok := lost[info.GetTaskId().GetValue()]; ok {
			if err := os.RemoveAll(filepath.Join(sandbox, file)); err != nil {
				t.Error(err)
			}
		}
	}
	result, err := c.run(t.Context(), wordCount(input, output))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(counted(t, input), read(t, output)); diff != "" {
		t.Errorf("(-want +got):\n%.1000s", diff)
	}
	if result.LostAttempts != 3 || result.FailedAttempts != 0 {
		t.Errorf("%d attempts lost, %d failed", result.LostAttempts, result.FailedAttempts)
	}
}

func TestAJobThatFailsLeavesOneClearLineAndNothingElse(t *testing.T) {
	input := t.TempDir()
	write(t, filepath.Join(input, "in"), "one line\n")
	tests := []struct {
		name            string
		mapper, reducer string
		want            string
	}{
		{
			"a mapper that fails", "echo 'bad line 7' >&2; exit 3", "cat",
			"map 1 of 1 failed 4 times, at last on host-S%: mapper `echo 'bad line 7' >&2; exit 3` exited with status 3; its last words on stderr: \"bad line 7\"",
		},
		{
			"a mapper that does not exist", "exec 2>/dev/null; no-such-mapper", "cat",
			"map 1 of 1 failed 4 times, at last on host-S%: mapper `exec 2>/dev/null; no-such-mapper` exited with status 127: the command was not found",
		},
		{
			"a reducer that fails", "cat", "false",
			"reduce 1 of 1 failed 4 times, at last on host-S%: reducer `false` exited with status 1",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			work := t.TempDir()
			_, err := newCluster(t, 2).run(t.Context(), Options{
				Input: []string{input}, Output: filepath.Join(work, "new/out"), Mapper: test.mapper, Reducer: test.reducer,
			})
			var failed *TaskError
			if !errors.As(err, &failed) || strings.ReplaceAll(strings.ReplaceAll(err.Error(), "host-S0", "host-S%"), "host-S1", "host-S%") != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if left := tree(t, work); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestACancelledJobEndsItsFrameworkAndLeavesNothing(t *testing.T) {
	work := t.TempDir()
	input := t.TempDir()
	write(t, filepath.Join(input, "in"), "one line\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	c := newCluster(t, 1)
	c.launching = func(*testSlave, *mesos.TaskInfo) { cancel(enough) }
	_, err := c.run(ctx, Options{Input: []string{input}, Output: filepath.Join(work, "out"), Mapper: "cat", Reducer: "cat"})
	if !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if left := tree(t, work); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAnEmptyInputGivesEmptyParts(t *testing.T) {
	output := filepath.Join(t.TempDir(), "out")
	o := wordCount(t.TempDir(), output)
	result, err := newCluster(t, 1).run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"_SUCCESS", "part-00000", "part-00001", "part-00002"}, tree(t, output)); diff != "" || read(t, output) != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if result.Maps != 0 || result.Mapping < 0 {
		t.Errorf("result: %+v", result)
	}
}

func TestWithoutAMasterThereIsNoOutput(t *testing.T) {
	work := t.TempDir()
	o := wordCount(t.TempDir(), filepath.Join(work, "out"))
	o.Master, o.ConnectTimeout = "127.0.0.1:1", 50*time.Millisecond
	if _, err := Run(t.Context(), o); !errors.Is(err, scheduler.ErrNoMaster) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	if left := tree(t, work); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
