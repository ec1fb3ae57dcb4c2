package hadoop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// While a program is on its way to a JobTracker, however large it is and however slow its disk, the JobTracker answers others,
// and tells of the job. The disk is as slow as can be: who opens the program waits until the test gives up a lease on it.
func TestAJobThatArrivesDelaysNobody(t *testing.T) {
	c := newCluster(t, 0)
	dir := t.TempDir()
	executable := filepath.Join(t.TempDir(), "program")
	write(t, executable, "")
	if err := os.Truncate(executable, 64<<20); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(executable, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	lease := func(kind int) { setLease(t, held, kind) }
	l := c.jobTracker(t, JobTrackerOptions{Dir: dir})
	submit := func() chan error {
		args := withoutCommands(mapsOfLines(t, 1))
		o, err := Options{Program: []string{executable}}.ParseArgs(args)
		if err != nil {
			t.Fatal(err)
		}
		answer := make(chan error, 1)
		go func() {
			_, err := l.SubmitProgram(t.Context(), o, args, dir)
			answer <- err
		}()
		return answer
	}
	arriving := func(n int) []JobStatus {
		var jobs []JobStatus
		l.await("the program is copied", func() bool {
			jobs = l.list()
			return len(jobs) == n && jobs[0].State == StateArriving && jobs[0].Waiting == copyingProgram
		})
		return jobs
	}

	lease(unix.F_WRLCK)
	answer := submit()
	jobs := arriving(1)
	if s, err := l.Status(t.Context(), "job-0001"); err != nil || s.State != StateArriving || s.Output != jobs[0].Output {
		t.Errorf("of the job it tells %+v, %v", s, err)
	}
	if h, err := l.History(t.Context(), "job-0001"); err != nil || h.State != StateArriving || len(h.Attempts) != 0 {
		t.Errorf("of its history it tells %+v, %v", h, err)
	}
	if _, err := l.Logs(t.Context(), "job-0001", ""); err == nil || !strings.Contains(err.Error(), "it arrives") {
		t.Errorf("of its logs it tells %v", err)
	}
	select {
	case err := <-answer:
		t.Fatalf("before its program was there the job was taken: %v", err)
	default:
	}
	lease(unix.F_UNLCK)
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	if jobs := l.list(); len(jobs) != 1 || jobs[0].State == StateArriving {
		t.Errorf("the jobs are %+v", jobs)
	}
	info, err := os.Stat(filepath.Join(dir, programsDir, "job-0001"))
	if err != nil || info.Size() != 64<<20 {
		t.Errorf("the copy is %v, %v", info, err)
	}

	lease(unix.F_WRLCK)
	answer = submit()
	arriving(2)
	if err := l.Kill(t.Context(), "job-0002"); err != nil {
		t.Fatal(err)
	}
	lease(unix.F_UNLCK)
	if err := <-answer; err == nil || !strings.Contains(err.Error(), ErrKilled.Error()) {
		t.Errorf("the end of a job that was killed while it arrived is told as %v", err)
	}
	if jobs, left := l.list(), tree(t, filepath.Join(dir, programsDir)); len(jobs) != 1 || len(left) != 1 {
		t.Errorf("a job that was killed while it arrived has left %+v, %q", jobs, left)
	}
}

// While a job's log is summed up, however slow the disk is, the job goes on and the JobTracker answers; what happens meanwhile is
// kept. Who writes the sum waits until the test gives up a lease on its file.
func TestTheSummingUpOfALogDelaysNobody(t *testing.T) {
	c := newCluster(t, 1)
	dir := t.TempDir()
	o := JobTrackerOptions{Dir: dir, sumUpBytes: 1}
	l := c.jobTracker(t, o)
	held, err := os.OpenFile(filepath.Join(dir, ".job-0001.new"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	lease := func(kind int) { setLease(t, held, kind) }
	lease(unix.F_WRLCK)
	id, err := l.Submit(t.Context(), mapsOfLines(t, 3), dir)
	if err != nil {
		t.Fatal(err)
	}
	var before JobHistory
	l.await("all of the job has been done", func() bool {
		var err error
		if before, err = l.History(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return before.State == StateEnding
	})
	lease(unix.F_UNLCK)
	l.await("the job has ended", func() bool { return l.list()[0].State == StateFinished })
	log, err := os.ReadFile(filepath.Join(dir, "job-0001.log"))
	if err != nil || secondRecord(log).GetStanding() == nil {
		t.Errorf("the log of %d bytes is not summed up: %v", len(log), err)
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l = c.jobTracker(t, o)
	after, err := l.History(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	before.State = StateFinished
	if diff := cmp.Diff(before, after, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("in its next life it tells (-before +after):\n%s", diff)
	}
}

// setLease has whoever opens a file wait (F_WRLCK), or not any more (F_UNLCK).
func setLease(t *testing.T, file *os.File, kind int) {
	t.Helper()
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, kind); err != nil {
		t.Skipf("no leases on this file system: %v", err)
	}
}
