package hadoop

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
)

func TestAJobOfMapsAloneCommitsWhatTheyMake(t *testing.T) {
	s := newScript(t, 2, 0)
	s.expect(subscribed{"F"}, "")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 2)}}, "launch on s1: map-00000-0 map-00001-0; suppress")
	s.expect(status("map-00001-0", mesos.TaskState_TASK_FINISHED, ""), "collect map-00001-0")
	if op := s.ops[0].(collectMap); !op.output {
		t.Error("the map's output is not collected")
	}
	s.expect(mapCollected{id: "map-00001-0", summary: parts(1)}, "")
	if g := s.plan.progress(s.now); g.Phase != Mapping || g.MapsDone != 1 {
		t.Errorf("progress: %+v", g)
	}
	// What the first map made lies with the job.
	s.expect(slaveGone{"s1"}, "")
	s.expect(status("map-00000-0", mesos.TaskState_TASK_FINISHED, ""), "collect map-00000-0")
	s.expect(mapCollected{id: "map-00000-0", summary: parts(1)}, "commit map-00000-0 map-00001-0")
	s.expect(subscribed{"F"}, "suppress")
	s.expect(committed{}, "finish: <nil>")
	if r := s.plan.result(); r.Counters.OutputRecords != 2 || r.Counters.OutputBytes != 6 || r.LaunchedMaps != 2 || r.Reducing < 0 {
		t.Errorf("result: %+v", r)
	}
}

func TestAJobWithNothingToDoIsCommittedAtOnce(t *testing.T) {
	s := newScript(t, 0, 0)
	s.expect(subscribed{"F"}, "commit ; suppress")
	s.expect(subscribed{"F"}, "suppress")
	s.expect(committed{}, "finish: <nil>")
	if r := s.plan.result(); r.Placing < 0 || r.Mapping < 0 || r.Reducing < 0 || r.Commit < 0 {
		t.Errorf("result: %+v", r)
	}
}

func TestASlaveWhereTwoAttemptsFailedIsAvoidedByAllTasks(t *testing.T) {
	s := newScript(t, 4, 1)
	s.step(subscribed{"F"})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 2), s.offer("s2", 1)}}, "launch on s1: map-00000-0 map-00002-0; launch on s2: map-00001-0")
	for _, id := range []string{"map-00000-0", "map-00002-0"} {
		s.step(status(id, mesos.TaskState_TASK_FAILED, ""))
		s.step(examined{id: id})
	}
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "decline 1")
	s.now = s.now.Add(avoidSlaveFor)
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: map-00000-1")
	s.step(status("map-00000-1", mesos.TaskState_TASK_FAILED, ""))
	s.step(examined{id: "map-00000-1"})
	s.expect(slaveGone{"s2"}, "")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: map-00000-2")
}

func TestAnAttemptThatIsKilledIsNotItsSlavesFault(t *testing.T) {
	s := newScript(t, 3, 1)
	s.step(subscribed{"F"})
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 2), s.offer("s2", 0.5)}})
	s.step(status("map-00000-0", mesos.TaskState_TASK_KILLED, ""))
	s.step(status("map-00001-0", mesos.TaskState_TASK_KILLED, ""))
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: map-00002-0")
}

func TestVerboseTellsOfEachAttempt(t *testing.T) {
	s := newScript(t, 1, 1)
	s.plan.job.verbose = true
	s.step(subscribed{"F"})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "note: map 1 of 1, map-00000-0: starts on host-s1; launch on s1: map-00000-0; suppress")
	s.step(status("map-00000-0", mesos.TaskState_TASK_FAILED, "exited with status 1"))
	s.expect(examined{id: "map-00000-0"}, "note: map 1 of 1, map-00000-0: failed on host-s1: exited with status 1; revive")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "note: map 1 of 1, map-00000-1: starts on host-s1; launch on s1: map-00000-1; suppress")
	s.step(status("map-00000-1", mesos.TaskState_TASK_FINISHED, ""))
	s.expect(mapCollected{id: "map-00000-1", summary: parts(1)}, "note: map 1 of 1, map-00000-1: done on host-s1; revive")
}

func TestCountersHaveHadoopsNamesAndThoseOfTheJobFollow(t *testing.T) {
	s := newScript(t, 2, 1)
	s.mapsDone()
	for i, m := range s.plan.maps {
		m.mapSummary = &taskpb.MapSummary{
			Parts: parts(1).GetParts(), InputRecords: 10, CombineInputRecords: 9, CombineOutputRecords: 4,
			Reports: &taskpb.Reports{Counters: []*taskpb.Counter{{Group: "own", Name: "b", Value: int64(i + 1)}, {Group: "a group", Name: "x", Value: 5}}},
		}
	}
	s.plan.maps[1].mapSummary.Reports.Status = "half done"
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
	s.step(status("reduce-00000-0", mesos.TaskState_TASK_FINISHED, ""))
	s.step(reduceCollected{id: "reduce-00000-0", summary: &taskpb.ReduceSummary{
		Part: &taskpb.Part{Records: 7, Bytes: 70}, Reports: &taskpb.Reports{Counters: []*taskpb.Counter{{Group: "own", Name: "a", Value: -1}}},
	}})
	s.step(committed{})
	r := s.plan.result()
	got := map[string]int64{}
	var groups []string
	for _, g := range r.CounterGroups() {
		groups = append(groups, g.Name)
		for _, c := range g.Counters {
			got[g.Name+"/"+c.Name] = c.Value
		}
	}
	wantGroups := []string{"Job Counters", "Map-Reduce Framework", "File Input Format Counters", "File Output Format Counters", "a group", "own"}
	if diff := cmp.Diff(wantGroups, groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	want := map[string]int64{
		"Job Counters/Launched map tasks": 2, "Job Counters/Launched reduce tasks": 1,
		"Map-Reduce Framework/Map input records": 20, "Map-Reduce Framework/Combine input records": 18, "Map-Reduce Framework/Combine output records": 8,
		"Map-Reduce Framework/Reduce output records": 7, "File Output Format Counters/Bytes Written": 70,
		"a group/x": 10, "own/a": -1, "own/b": 3,
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %d, want %d", name, got[name], value)
		}
	}
	if diff := cmp.Diff([]TaskStatus{{"map 2 of 2", "half done"}}, r.Statuses); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func TestLinesAreCountedOutToMaps(t *testing.T) {
	dir := t.TempDir()
	list := func(content string) []inputFile {
		path := filepath.Join(dir, "in")
		write(t, path, content)
		return []inputFile{{root: "/", path: path, size: int64(len(content))}}
	}
	tests := []struct {
		name, content string
		lines         int
		want          []int64
	}{
		{"as many as there are", "a\nb\n", 2, []int64{4}},
		{"a rest", "a\nb\nccc\n", 2, []int64{4, 8}},
		{"an unfinished last line", "a\nb\nccc", 1, []int64{2, 4, 7}},
		{"an empty file", "", 1, nil},
		{"more than the buffer holds", strings.Repeat("x", countBytes) + "\nb\n", 1, []int64{countBytes + 1, countBytes + 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			splits, err := cutLines(t.Context(), list(test.content), test.lines)
			if err != nil {
				t.Fatal(err)
			}
			var ends []int64
			for _, s := range splits {
				ends = append(ends, s.chunks[0].GetOffset()+s.chunks[0].GetLength())
			}
			if diff := cmp.Diff(test.want, ends); diff != "" {
				t.Errorf("ends (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := lineEnds(t.Context(), list("a\nb\nc\n")[0], 1, 2); err == nil || !strings.HasPrefix(err.Error(), "1 lines a map make more than") {
		t.Errorf("too many maps: %v", err)
	}
	packed := list("x")
	packed[0].codec = taskpb.Codec_CODEC_GZIP
	if _, err := cutLines(t.Context(), packed, 1); err == nil || !strings.Contains(err.Error(), "is compressed") {
		t.Errorf("a compressed file: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cutLines(cancelled, list("x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFilesThatAreNotCutMakeASplitOfTheirOwn(t *testing.T) {
	files := []inputFile{{root: "/", path: "a", size: 40}, {root: "/", path: "b", size: 250, whole: true}, {root: "/", path: "c", size: 40}}
	if diff := cmp.Diff([]string{"a[0+40]", "b[0+250]", "c[0+40]"}, tellSplits(cut(files, 100))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInputsByPattern(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a1", "a2", "b1", "c{1,2}", "d/x", "d/y", "odd[name"} {
		write(t, filepath.Join(dir, name), name)
	}
	tests := []struct {
		input string
		want  []string
	}{
		{"a?", []string{"a1", "a2"}},
		{"{b,a}*", []string{"b1", "a1", "a2"}},
		{"{a{1,2},d/[xz]}", []string{"a1", "a2", "d/x"}},
		{"c{1,2}", []string{"c{1,2}"}},
		{"odd[name", []string{"odd[name"}},
		{"[!ab]*/[^x]", []string{"d/y"}},
		{`odd\[[!!]*`, []string{"odd[name"}},
	}
	for _, test := range tests {
		found, err := glob(filepath.Join(dir, test.input))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, path := range found {
			name, _ := filepath.Rel(dir, path)
			got = append(got, name)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.input, diff)
		}
	}
	for input, want := range map[string]string{
		"z*": "matches no file and no folder", "{a": "a { has no }", "a[": "a [ has no ]",
		strings.Repeat("{0,1,2,3,4,5,6,7,8,9}", 5): "stand for more than 10000 patterns",
	} {
		if _, err := glob(filepath.Join(dir, input)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", input, err, want)
		}
	}
}

func TestAnExecutorThatGoesCountsOnceAgainstItsSlave(t *testing.T) {
	s := newScript(t, 4, 1)
	s.plan.job.containers = false
	s.step(subscribed{"F"})
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 2), s.offer("s2", 1)}}, "launch on s1: map-00000-0 map-00002-0; launch on s2: map-00001-0")
	lose := func(ids ...string) {
		s.step(executorGone{s.plan.byID[ids[0]].executor.id})
		for _, id := range ids {
			s.step(status(id, mesos.TaskState_TASK_GONE, ""))
		}
		s.now = s.now.Add(avoidFor)
	}
	lose("map-00000-0", "map-00002-0")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "launch on s1: map-00000-1")
	lose("map-00000-1")
	s.expect(offered{[]*scheduler.Offer{s.offer("s1", 1)}}, "decline 1")
}

func TestFilesThatAreShipped(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "small"), "x")
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, MaxShippedBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	small := filepath.Join(dir, "small")
	k, err := Options{Files: []string{small, small + "#other"}, Properties: []string{"my.own-name=1"}, Environment: []string{"A=b"}}.kit()
	if err != nil {
		t.Fatal(err)
	}
	if len(k.GetFiles()) != 2 || k.GetFiles()[1].GetName() != "other" || string(k.GetFiles()[1].GetContent()) != "x" {
		t.Errorf("files: %v", k.GetFiles())
	}
	if diff := cmp.Diff([]string{"my_own_name=1", "A=b"}, k.GetVariables()); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if _, err := (Options{Files: []string{large}}).kit(); err != nil {
		t.Errorf("as many bytes as are allowed: %v", err)
	}
	for want, files := range map[string][]string{
		"shipped files may have 262144 together": {small, large},
		"another file is shipped as small":       {small, small},
		"no such file or directory":              {filepath.Join(dir, "none")},
		"is no file":                             {dir},
		`may not be named "map"`:                 {small + "#map"},
	} {
		if _, err := (Options{Files: files}).kit(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", files, err, want)
		}
	}
}
