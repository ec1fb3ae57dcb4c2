package sandbox

import (
	"context"
	"io"
	"net/url"
	"sync"
	"time"
)

const (
	// WatchInterval is how often a Watch asks a slave which files have changed.
	WatchInterval = PollLongest
	// WatchedPoll is how often a file of a Watch is looked at of which no change is told.
	WatchedPoll = 30 * time.Second
	// maxChangesBytes bounds a slave's list of changes: 100,000 files.
	maxChangesBytes = 32 << 20
)

// Watch follows the output of many tasks of one framework: it asks each slave which files have changed, in one question for
// all that are followed there, instead of looking at each. A slave that does not answer that has all of them looked at.
type Watch struct {
	client Client
	ctx    context.Context

	mu     sync.Mutex
	slaves map[string]map[watched]chan struct{} // by URL: who wants to know of which file
}

// watched is an output of an executor's latest container.
type watched struct{ executor, file string }

// NewWatch makes a Watch, which asks until ctx ends.
func NewWatch(ctx context.Context, client Client) *Watch {
	return &Watch{client: client, ctx: ctx, slaves: map[string]map[watched]chan struct{}{}}
}

// Follow is Client.Follow of an output, stdout or stderr, of the latest run of place.
func (w *Watch) Follow(ctx context.Context, to io.Writer, place Place, file string, ended <-chan struct{}) (int64, error) {
	changed, leave := w.join(place, file)
	defer leave()
	f := follower{client: w.client, w: to, place: place, file: file, changed: changed}
	return f.follow(ctx, ended)
}

// join begins to tell changes of a file.
func (w *Watch) join(place Place, file string) (changed <-chan struct{}, leave func()) {
	key, tell := watched{place.ExecutorID, file}, make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	files, known := w.slaves[place.Slave]
	if !known {
		files = map[watched]chan struct{}{}
		w.slaves[place.Slave] = files
		go w.ask(place.Slave, place.FrameworkID)
	}
	files[key] = tell
	return tell, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(files, key)
	}
}

// ask asks a slave as long as files of it are followed.
func (w *Watch) ask(slave, framework string) {
	since := "0"
	for {
		now, changed, err := w.client.changes(w.ctx, slave, framework, since)
		if err == nil {
			since = now
		}
		if !w.tell(slave, changed, err != nil) {
			return
		}
		pause(w.ctx, WatchInterval, nil)
		if w.ctx.Err() != nil {
			return
		}
	}
}

// tell tells of changes. It reports whether there is anybody to tell; if not, the slave is forgotten.
func (w *Watch) tell(slave string, changed []change, all bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := w.slaves[slave]
	if len(files) == 0 {
		delete(w.slaves, slave)
		return false
	}
	if all {
		for _, told := range files {
			wake(told)
		}
	}
	for _, c := range changed {
		wake(files[watched{c.ExecutorID, c.File}])
	}
	return true
}

// wake tells of a change, unless one is told of already or nobody wants to know.
func wake(told chan struct{}) {
	select {
	case told <- struct{}{}:
	default:
	}
}

// change is a file that has changed, as slaves tell it.
type change struct {
	ExecutorID string `json:"executor_id"`
	File       string `json:"file"`
}

// changes asks a slave which outputs of a framework have changed since an answer.
func (c Client) changes(ctx context.Context, slave, framework, since string) (now string, changed []change, err error) {
	address := slave + "/files/changed?" + url.Values{"framework": {framework}, "since": {since}}.Encode()
	var answer struct {
		Now     string
		Changed []change
	}
	_, err = c.document(ctx, Place{Slave: slave}, address, framework, maxChangesBytes, &answer)
	return answer.Now, answer.Changed, err
}
