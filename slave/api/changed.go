package api

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/core"
)

// clockSlack is how far the times that a kernel gives to files may lie behind its clock: its timer ticks a hundred times a
// second, or more often.
const clockSlack = 20 * time.Millisecond

// outputs are the files that a command's output goes into.
var outputs = []string{"stdout", "stderr"}

// changes are the outputs of a framework that have changed.
type changes struct {
	Now     string        `json:"now"` // since, of the next question
	Changed []changedFile `json:"changed"`
}

type changedFile struct {
	ExecutorID  string `json:"executor_id"`
	ContainerID string `json:"container_id"`
	File        string `json:"file"`
}

// changed lists which outputs of a framework's executors that run have changed since the last question, so that who follows
// many of them need not ask for each. Some may be listed that were so then already; none is left out. By since 0 all are listed.
func (f *files) changed(w http.ResponseWriter, r *http.Request) error {
	framework := r.FormValue("framework")
	since, err := strconv.ParseInt(r.FormValue("since"), 10, 64)
	if err != nil || since < 0 {
		return badRequest("since %.40q: it must be 0, or what the last answer has as now", r.FormValue("since"))
	}
	v := f.view()
	if v == nil {
		return &failure{http.StatusServiceUnavailable, "the slave has not begun yet"}
	}
	answer := changes{Now: strconv.FormatInt(time.Now().Add(-clockSlack).UnixNano(), 10), Changed: []changedFile{}}
	at := slices.IndexFunc(v.Frameworks, func(one core.FrameworkView) bool { return one.Info.GetId().GetValue() == framework })
	if at < 0 {
		return notFound("framework %.256q: it has nothing here", framework)
	}
	for _, e := range v.Frameworks[at].Executors {
		run := checkpoint.Run{SlaveID: v.SlaveID, FrameworkID: framework, ExecutorID: e.Info.GetExecutorId().GetValue(), ContainerID: e.ContainerID}
		folder := filepath.Join(f.workDir, run.Path())
		for _, name := range outputs {
			if changedSince(filepath.Join(folder, name), since) {
				answer.Changed = append(answer.Changed, changedFile{run.ExecutorID, run.ContainerID, name})
			}
		}
	}
	writeJSON(w, answer)
	return nil
}

// changedSince tells whether a file was written or renamed since a time in nanoseconds. One that is not there was not. Links
// are not followed, and what cannot be told is a change.
func changedSince(path string, since int64) bool {
	var stat unix.Stat_t
	err := unix.Lstat(path, &stat)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	return err != nil || stat.Ctim.Nano() >= since // which no task can set
}
