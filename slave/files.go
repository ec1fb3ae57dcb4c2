package slave

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// FileWindow is how many parts of one file a slave has asked for and not written yet.
	FileWindow = 4
	// MaxFileTransfers is how many files of frameworks a slave gets at a time; others wait.
	MaxFileTransfers = 4
	// FilePatience is how long nothing of a file may come, whatever the reason: Mesos's limit for a silent download.
	FilePatience = time.Minute
	// fileRetry is the wait before a scheduler that is away is asked again.
	fileRetry = time.Second
)

// courier gets files of frameworks: each by a goroutine of the fetcher's, while the slave's actor speaks with the master.
// What a session's end leaves unanswered is asked of the next one.
type courier struct {
	places chan struct{} // one for each transfer

	mu        sync.Mutex
	last      uint64               // question
	transfers map[uint64]*transfer // by the number of each open question
	all       map[*transfer]bool
	ask       func(*wire.ReadFile) // of the present life of the slave's actor; nil: there is none
}

func newCourier() *courier {
	return &courier{places: make(chan struct{}, MaxFileTransfers), transfers: map[uint64]*transfer{}, all: map[*transfer]bool{}}
}

// transfer is one file on its way.
type transfer struct {
	framework, sum string
	answers        chan *wire.FileChunk // has room for all that may come
	again          chan struct{}        // there is a new session
	open           map[uint64]int64     // offsets that were asked for; of courier.mu
}

// fetch writes the content with a checksum, which the caller verifies, into a file of at most so many bytes.
// As soon as its size is known, it is told.
func (c *courier) fetch(ctx context.Context, framework, sum string, most int64, to io.WriterAt, expect func(size int64)) error {
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	t := &transfer{framework: framework, sum: sum, answers: make(chan *wire.FileChunk, FileWindow), again: make(chan struct{}, 1), open: map[uint64]int64{}}
	c.begin(t)
	defer c.end(t)
	r := receipt{to: to, most: most, size: -1}
	patience := time.NewTimer(FilePatience)
	defer patience.Stop()
	var wait <-chan time.Time // before what failed is asked for again
	for !r.complete() {
		if wait == nil {
			c.fill(t, &r)
		}
		select {
		case answer := <-t.answers:
			offset := c.settle(t, answer)
			if answer.GetFailure() != "" && answer.GetLater() {
				r.missed(offset, answer.GetFailure())
				wait = time.After(fileRetry)
				continue
			}
			known := r.size >= 0
			if err := r.take(offset, answer); err != nil {
				return err
			}
			if !known {
				expect(r.size)
			}
			patience.Reset(FilePatience)
		case <-wait:
			wait = nil
		case <-t.again:
			for _, offset := range c.forget(t) {
				r.missed(offset, "the master was away")
			}
			wait = nil
		case <-patience.C:
			return fmt.Errorf("its framework has sent nothing for %s: %s", FilePatience, cmp.Or(r.trouble, "no answer"))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// receipt is what of a file is there.
type receipt struct {
	to      io.WriterAt
	most    int64
	size    int64 // -1: not known yet
	next    int64 // from where on nothing has been asked for
	written int64
	again   []int64 // offsets that were asked for in vain
	trouble string  // the last reason
}

func (r *receipt) complete() bool { return r.size >= 0 && r.written == r.size }

func (r *receipt) missed(offset int64, why string) {
	r.again, r.trouble = append(r.again, offset), why
}

// wants is the next offset to ask for; false: there is none for now. Before the size is known that is the first one alone.
func (r *receipt) wants() (int64, bool) {
	if len(r.again) > 0 {
		offset := slices.Min(r.again)
		r.again = slices.DeleteFunc(r.again, func(o int64) bool { return o == offset })
		return offset, true
	}
	if r.size < 0 && r.next > 0 || r.size >= 0 && r.next >= r.size {
		return 0, false
	}
	offset := r.next
	r.next += wire.MaxFileChunk
	return offset, true
}

// take writes a part.
func (r *receipt) take(offset int64, answer *wire.FileChunk) error {
	switch {
	case answer.GetFailure() != "":
		return errors.New(answer.GetFailure())
	case r.size >= 0 && answer.GetSize() != r.size:
		return errors.New("its size has changed while it was sent")
	case answer.GetSize() > r.most:
		return fmt.Errorf("it is larger than the allowed %d bytes", r.most)
	case answer.GetSize() < 0 || int64(len(answer.GetData())) != max(0, min(wire.MaxFileChunk, answer.GetSize()-offset)):
		return fmt.Errorf("%d bytes of it came in place of those at %d of %d", len(answer.GetData()), offset, answer.GetSize())
	}
	r.size = answer.GetSize()
	n, err := r.to.WriteAt(answer.GetData(), offset)
	r.written += int64(n)
	return err
}

func (c *courier) begin(t *transfer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[t] = true
}

func (c *courier) end(t *transfer) {
	c.forget(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, t)
}

// fill asks for as much as the window has room for.
func (c *courier) fill(t *transfer, r *receipt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.ask != nil && len(t.open) < FileWindow {
		offset, more := r.wants()
		if !more {
			return
		}
		c.last++
		c.transfers[c.last], t.open[c.last] = t, offset
		c.ask(&wire.ReadFile{
			FrameworkId: mesos.NewFrameworkID(t.framework), Sha256: t.sum, Id: c.last, Offset: offset, Length: wire.MaxFileChunk,
		})
	}
}

// settle ends a question, and says where its answer belongs.
func (c *courier) settle(t *transfer, answer *wire.FileChunk) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	offset := t.open[answer.GetId()]
	delete(t.open, answer.GetId())
	c.taken(answer.GetId())
	return offset
}

func (c *courier) taken(id uint64) {
	if c.ask != nil {
		c.ask(&wire.ReadFile{Taken: id})
	}
}

// forget drops the open questions of a transfer, and returns what they were for. Their answers do not matter any more.
func (c *courier) forget(t *transfer) []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var offsets []int64
	for id, offset := range t.open {
		offsets = append(offsets, offset)
		delete(t.open, id)
		delete(c.transfers, id)
	}
	for len(t.answers) > 0 {
		c.taken((<-t.answers).GetId())
	}
	return offsets
}

// deliver gives an answer to who waits for it.
func (c *courier) deliver(answer *wire.FileChunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.transfers[answer.GetId()]
	if t == nil {
		c.taken(answer.GetId())
		return
	}
	delete(c.transfers, answer.GetId())
	t.answers <- answer // never waits: there is room for all open questions
}

// connected begins to ask by a new session; without one, nothing is asked until there is.
func (c *courier) connected(ask func(*wire.ReadFile)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ask = ask; ask == nil {
		return
	}
	for t := range c.all {
		select {
		case t.again <- struct{}{}:
		default: // it has not seen the last one yet
		}
	}
}

// askMaster is a question for the session with the master in which it arose.
type askMaster struct {
	session  uint64
	question *wire.ReadFile
}

// filesOpen lets the courier speak in the present session with the master, in which the slave has registered.
func (s *shell) filesOpen(ctx actor.Context) {
	system, self, session := ctx.System(), ctx.Self(), uint64(s.master)
	s.slave.courier.connected(func(m *wire.ReadFile) { system.Send(self, askMaster{session, m}) })
}
