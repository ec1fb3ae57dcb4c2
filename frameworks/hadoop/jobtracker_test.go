package hadoop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// trackerLife is a life of a JobTracker on a cluster.
type trackerLife struct {
	*Client
	t    *testing.T
	stop func() error // ends it, and tells how it ended
}

// patience is for how long a test waits for what is to happen.
const patience = 2 * time.Minute

// jobTracker runs one, and offers it the cluster's slaves while it wants them.
func (c *cluster) jobTracker(t *testing.T, o JobTrackerOptions) *trackerLife {
	t.Helper()
	base := c.master.Options("test")
	o.Master, o.User, o.Network = base.Master, base.User, base.Network
	var err error
	if o.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	o.Address = o.Listener.Addr().String()
	subscribed := len(c.master.Calls(schedulerpb.Call_SUBSCRIBE))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- RunJobTracker(ctx, o) }()
	var offering sync.WaitGroup
	noMore := make(chan struct{})
	offering.Go(func() {
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-noMore:
				return
			case <-tick.C:
			}
			asked := len(c.master.Calls(schedulerpb.Call_REVIVE)) - len(c.master.Calls(schedulerpb.Call_SUPPRESS))
			if asked >= 0 && len(c.slaves) > 0 && len(c.master.Calls(schedulerpb.Call_SUBSCRIBE)) > subscribed {
				c.offer()
			}
		}
	})
	life := &trackerLife{t: t}
	if life.Client, err = NewClient(o.Address, nil); err != nil {
		t.Fatal(err)
	}
	life.stop = sync.OnceValue(func() error {
		close(noMore)
		offering.Wait()
		life.Close()
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = life.stop() })
	return life
}

// await waits until something is so.
func (l *trackerLife) await(what string, is func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(5 * time.Millisecond); !is(); <-tick.C {
		if time.Now().After(deadline) {
			l.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func (l *trackerLife) list() []JobStatus {
	l.t.Helper()
	jobs, err := l.List(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return jobs
}

// finish submits a job and waits for its end.
func (l *trackerLife) finish(args ...string) JobHistory {
	l.t.Helper()
	id, err := l.Submit(l.t.Context(), args, l.t.TempDir())
	if err != nil {
		l.t.Fatal(err)
	}
	_, _ = l.Watch(l.t.Context(), id, nil) // the history tells how it ended
	h, err := l.History(l.t.Context(), id)
	if err != nil {
		l.t.Fatal(err)
	}
	return h
}

// mapsOfLines are the arguments of a job with a map for each of some lines.
func mapsOfLines(t *testing.T, lines int, more ...string) []string {
	t.Helper()
	in := filepath.Join(t.TempDir(), "in")
	write(t, in, strings.Repeat("line\n", lines))
	return append([]string{
		"-input", in, "-output", filepath.Join(t.TempDir(), "out"), "-inputformat", "nline", "-mapper", "cat", "-reducer", "cat",
		"-D", "mapreduce.job.jvm.numtasks=1",
	}, more...)
}

// What a JobTracker keeps of a job is bounded while the job runs, and what it tells of it is the same in its next life.
func TestTheLogOfAJobIsBoundedAndTellsTheSame(t *testing.T) {
	const slack = 8 << 10 // what comes with one step, at most
	c := newCluster(t, 3)
	dir := t.TempDir()
	largest, summedUp := 0, false
	c.launching = func(*testSlave, *mesos.TaskInfo) { // one at a time
		log, err := os.ReadFile(filepath.Join(dir, "job-0001.log"))
		if err != nil {
			return
		}
		largest, summedUp = max(largest, len(log)), summedUp || secondRecord(log).GetStanding() != nil
	}
	o := JobTrackerOptions{Dir: dir, sumUpBytes: 8 << 10}
	l := c.jobTracker(t, o)
	args := mapsOfLines(t, 60, "-numReduceTasks", "2")
	before := l.finish(args...)
	if before.State != StateFinished || len(before.Attempts) < 62 {
		t.Fatalf("the job is %s with %d attempts: %s", before.State, len(before.Attempts), before.Error)
	}
	info, err := os.Stat(filepath.Join(dir, "job-0001.log"))
	if err != nil {
		t.Fatal(err)
	}
	if most := max(int(o.sumUpBytes), 2*int(info.Size())) + slack; largest > most || !summedUp {
		t.Errorf("the log had %d bytes, want at most %d: it ends with %d; it was summed up while the job ran: %v", largest, most, info.Size(), summedUp)
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l = c.jobTracker(t, o)
	after, err := l.History(t.Context(), "job-0001")
	if err != nil {
		t.Fatal(err)
	}
	wallClock := cmpopts.EquateApprox(0, 1e-6) // a life measures by a finer one
	if diff := cmp.Diff(before, after, wallClock); diff != "" {
		t.Errorf("in its next life it tells (-before +after):\n%s", diff)
	}
}

// secondRecord is that of a log; nil if it has only one.
func secondRecord(log []byte) *jobpb.Record {
	const header = 8 // length and checksum
	length := func() int { return int(binary.LittleEndian.Uint32(log)) }
	log = log[header+length():]
	r := &jobpb.Record{}
	if len(log) < header || proto.Unmarshal(log[header:header+length()], r) != nil {
		return nil
	}
	return r
}

// As many jobs that are over are remembered as --history says, also by a life that is told otherwise.
func TestAsManyJobsAreRememberedAsAreWanted(t *testing.T) {
	c := newCluster(t, 1)
	dir := t.TempDir()
	remembered := func(l *trackerLife) (ids []string) {
		for _, j := range l.list() {
			ids = append(ids, j.ID)
		}
		return ids
	}
	logs := func() (names []string) {
		paths, _ := filepath.Glob(filepath.Join(dir, "job-*.log"))
		for _, path := range paths {
			names = append(names, strings.TrimSuffix(filepath.Base(path), ".log"))
		}
		return names
	}
	l := c.jobTracker(t, JobTrackerOptions{Dir: dir, History: 2})
	for range 4 {
		if h := l.finish(mapsOfLines(t, 1, "-mapper", "exit 3", "-D", "mapreduce.map.maxattempts=1")...); h.State != StateFailed {
			t.Fatalf("the job is %s: %s", h.State, h.Error)
		}
	}
	if diff := cmp.Diff([]string{"job-0004", "job-0003"}, remembered(l)); diff != "" {
		t.Errorf("remembered (-want +got):\n%s", diff)
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l = c.jobTracker(t, JobTrackerOptions{Dir: dir, History: 1})
	if diff := cmp.Diff([]string{"job-0004"}, remembered(l)); diff != "" {
		t.Errorf("remembered by the next life (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"job-0004"}, logs()); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if _, err := l.Logs(t.Context(), "job-0004", ""); err != nil {
		t.Errorf("logs of a job of an earlier life: %v", err)
	}
	if err := RunJobTracker(t.Context(), JobTrackerOptions{Dir: t.TempDir(), History: MaxHistory + 1}); err == nil || !strings.Contains(err.Error(), "is 10001: allowed are 1 to 10000") {
		t.Errorf("too many to remember: %v", err)
	}
}

// Copies of programs that nobody needs any more go when a JobTracker starts, also those that a crash has left; the one of a job
// that is not over stays.
func TestCopiesOfProgramsThatACrashHasLeftAreRemoved(t *testing.T) {
	c := newCluster(t, 0)
	dir := t.TempDir()
	programs := filepath.Join(dir, programsDir)
	executable := filepath.Join(t.TempDir(), "program")
	write(t, executable, "#!/bin/sh\n")
	submit := func(l *trackerLife) (string, error) {
		args := mapsOfLines(t, 1)
		o, err := Options{Program: []string{executable, "word"}}.ParseArgs(withoutCommands(args))
		if err != nil {
			t.Fatal(err)
		}
		return l.SubmitProgram(t.Context(), o, withoutCommands(args), dir)
	}
	l := c.jobTracker(t, JobTrackerOptions{Dir: dir})
	for range 2 {
		if _, err := submit(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(l.Kill(t.Context(), "job-0001"), l.stop()); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"job-0001", "job-0003", "else"} { // of a job that is over, that never began, that is none
		write(t, filepath.Join(programs, left), "left")
	}
	l = c.jobTracker(t, JobTrackerOptions{Dir: dir})
	if jobs := l.list(); len(jobs) != 2 {
		t.Fatalf("there are %d jobs, want 2", len(jobs))
	}
	if diff := cmp.Diff([]string{"job-0002"}, tree(t, programs)); diff != "" {
		t.Errorf("copies of programs (-want +got):\n%s", diff)
	}
	if err := l.Kill(t.Context(), "job-0002"); err != nil {
		t.Fatal(err)
	}
	if got := tree(t, programs); got != nil {
		t.Errorf("when all jobs are over there are still %q", got)
	}
	if err := os.Remove(executable); err != nil {
		t.Fatal(err)
	}
	if _, err := submit(l); err == nil || !strings.Contains(err.Error(), executable) {
		t.Errorf("a program that is not there: %v", err)
	}
	if got := tree(t, programs); got != nil || len(l.list()) != 2 {
		t.Errorf("a job that was refused has left %q", got)
	}
}

// withoutCommands leaves out mapper and reducer.
func withoutCommands(args []string) (rest []string) {
	for i := 0; i < len(args); i += 2 {
		if args[i] != "-mapper" && args[i] != "-reducer" {
			rest = append(rest, args[i], args[i+1])
		}
	}
	return rest
}

// What is told of a job that is over, however it ended, does not change when it is summed up.
func TestWhatIsToldOfAJobThatIsOverIsKept(t *testing.T) {
	for name, end := range map[string]event{
		"finished": committed{}, "killed": killed{"by a test"}, "failed": committed{fmt.Errorf("no space: %w", os.ErrPermission)},
	} {
		s := executorsOf(t)
		s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
		s.step(finishedBy(t, "reduce-00000-0", &jobpb.Outcome{Reduce: &taskpb.ReduceSummary{InputRecords: 7}}))
		s.step(reduceCollected{id: "reduce-00000-0", summary: &taskpb.ReduceSummary{InputRecords: 7}})
		s.step(ofJob{s.plan, end})
		kept, err := encodeStanding(s.plan.sumUp(s.now))
		if err != nil {
			t.Fatal(err)
		}
		records, err := decodeRecords(kept)
		if err != nil {
			t.Fatal(err)
		}
		p := newPlan(s.plan.job, s.plan.started)
		if err := replay(p, records); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.plan.status(s.now, nil), p.status(s.now, nil)); diff != "" {
			t.Errorf("%s: status (-before +after):\n%s", name, diff)
		}
		if diff := cmp.Diff(standing(s.plan, s.now), standing(p, s.now)); diff != "" {
			t.Errorf("%s: (-before +after):\n%s", name, diff)
		}
	}
}

// Where each part of a map's output lies is of no use when the job is over; how much it was is told for ever.
func TestTheEndOfAJobLeavesOnlySumsOfWhatItsMapsHaveMade(t *testing.T) {
	s := newScript(t, 1, 3)
	s.step(subscribed{"F"})
	s.step(offered{[]*scheduler.Offer{s.offer("s1", 1)}})
	s.step(status("map-00000-0", mesos.TaskState_TASK_FINISHED, ""))
	parts := []*taskpb.Part{{Bytes: 1, Records: 10}, {Bytes: 2, Records: 20}, {Bytes: 3, Records: 30}}
	s.step(mapCollected{id: "map-00000-0", summary: &taskpb.MapSummary{Parts: parts}})
	before := s.plan.history(s.now)
	s.step(ofJob{s.plan, killed{"by a test"}})
	if diff := cmp.Diff(before, s.plan.history(s.now)); diff != "" || before[0].OutputBytes != 6 {
		t.Errorf("%d bytes; the history (-before +after):\n%s", before[0].OutputBytes, diff)
	}
	if left := s.plan.past[0].mapSummary.GetParts(); len(left) != 1 || left[0].GetRecords() != 60 {
		t.Errorf("left are %v", left)
	}
}

// A name node that does not answer keeps no JobTracker from its start, and its other clients from no answer: not when a job whose
// output is there goes on, and not when it is ended.
func TestANameNodeThatDoesNotAnswerDelaysNobody(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	var held []net.Conn
	accepting.Go(func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			held = append(held, c)
		}
	})
	hangUp := sync.OnceFunc(func() {
		silent.Close()
		accepting.Wait()
		for _, c := range held {
			c.Close()
		}
	})
	defer hangUp()

	c := newCluster(t, 0)
	dir := t.TempDir()
	l := c.jobTracker(t, JobTrackerOptions{Dir: dir})
	if _, err := l.Submit(t.Context(), mapsOfLines(t, 1), dir); err != nil {
		t.Fatal(err)
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	sendOutputTo(t, dir, "job-0001", "hdfs://"+silent.Addr().String()+"/out")

	l = c.jobTracker(t, JobTrackerOptions{Dir: dir})
	l.await("the JobTracker has started and tells of the job", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience/10)
		defer cancel()
		jobs, err := l.List(ctx)
		return err == nil && len(jobs) == 1 && !jobs[0].Over() && strings.HasPrefix(jobs[0].Output, "hdfs://")
	})
	killed := make(chan error, 1)
	go func() { killed <- l.Kill(t.Context(), "job-0001") }()
	l.await("the job ends", func() bool { return l.list()[0].State == StateEnding })
	if id, err := l.Submit(t.Context(), mapsOfLines(t, 1), dir); err != nil || id != "job-0002" {
		t.Errorf("another job is answered %q, %v", id, err)
	}
	select {
	case err := <-killed:
		t.Errorf("who has killed the job is told %v, and its output is not removed", err)
	default:
	}
	hangUp()
	if err := <-killed; err != nil {
		t.Error(err)
	}
	if s, err := l.Status(t.Context(), "job-0001"); err != nil || s.State != StateKilled {
		t.Errorf("the job is %s, %v", s.State, err)
	}
}

// sendOutputTo gives a job that was kept another output.
func sendOutputTo(t *testing.T, dir, id, output string) {
	t.Helper()
	store, err := scheduler.OpenFileStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	kept, err := store.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	records, err := decodeRecords(kept)
	if err != nil {
		t.Fatal(err)
	}
	args := records[0].GetSubmitted().GetSubmit().GetArguments()
	for i, arg := range args {
		if string(arg) == "-output" {
			args[i+1] = []byte(output)
		}
	}
	records[0].GetSubmitted().Made = nil
	if kept[0], err = encodeRecord(records[0]); err == nil {
		err = store.Replace(id, kept)
	}
	if err != nil {
		t.Fatal(err)
	}
}
