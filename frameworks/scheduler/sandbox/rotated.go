package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// maxRotated bounds the predecessors of a file that are looked at; slaves keep no more.
const maxRotated = 1000

// follower reads one file, and its successors, piece by piece. Files are told apart by the id that the slave gives them: a
// rotation gives a file the name of its predecessor and lets another take its name, at any moment.
type follower struct {
	client Client
	w      io.Writer
	place  Place
	file   string
	// changed tells that the file may have changed; nil if nobody does.
	changed <-chan struct{}

	id      string // of the file that is being read; "" before the first
	offset  int64  // in it
	least   int    // its number is this, or more: numbers only grow
	written int64  // in all
	lost    bool   // something was removed before it was read
}

// numbered is the name of the n-th predecessor.
func (f *follower) numbered(n int) string {
	if n == 0 {
		return f.file
	}
	return fmt.Sprintf("%s.%d", f.file, n)
}

// read writes all that there is now and was not written before, and returns how much that was.
func (f *follower) read(ctx context.Context) (int64, error) {
	before := f.written
	err := f.client.guard(ctx, f.place, func(ctx context.Context, clock func(reading bool)) error {
		for {
			more, err := f.step(ctx, clock)
			if err != nil || !more {
				return err
			}
		}
	})
	return f.written - before, err
}

// step reads the current file if that is the one, else the rest of an older one and turns to its successor. It reports
// whether there is more to do.
func (f *follower) step(ctx context.Context, clock func(reading bool)) (more bool, err error) {
	if f.least > 0 {
		return f.catchUp(ctx, clock)
	}
	current, err := f.client.open(ctx, f.place, f.file, f.offset, f.id)
	switch {
	case errors.Is(err, errOther):
		f.least = 1
		return true, nil
	case err != nil:
		return false, err
	case f.id == "" && current.rotated && current.id != "":
		current.body.Close()
		return f.begin(ctx)
	}
	f.id = current.id
	return false, f.pump(current, clock)
}

func (f *follower) pump(part *content, clock func(reading bool)) error {
	n, err := part.pump(f.w, clock)
	f.offset, f.written = f.offset+n, f.written+n
	return err
}

// begin turns to the oldest file that there is. In the middle of a rotation one name is nobody's, so the end of the names
// is where two are missing. It reports whether there was any.
func (f *follower) begin(ctx context.Context) (found bool, err error) {
	missing := 0
	for n := 0; n <= maxRotated && missing < 2; n++ {
		part, err := f.client.open(ctx, f.place, f.numbered(n), 0, "")
		if errors.Is(err, ErrNotFound) {
			missing++
			continue
		}
		if found && isRefused(err) {
			f.lost = true
			break
		}
		if err != nil {
			return false, err
		}
		part.body.Close()
		f.id, f.offset, f.least = part.id, 0, n
		found, missing = true, 0
	}
	return found, nil
}

// isRefused tells that a name is that of something that is no file: a command may put anything in the place of its output.
func isRefused(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) && !errors.Is(err, ErrNotFound)
}

// catchUp reads the rest of a file that is not the current one any more, and turns to its successor. Numbers only grow, so
// whoever looks upwards does not miss it.
func (f *follower) catchUp(ctx context.Context, clock func(reading bool)) (more bool, err error) {
	missing := 0
	for n := f.least; n <= maxRotated && missing < 2; n++ {
		part, err := f.client.open(ctx, f.place, f.numbered(n), f.offset, f.id)
		switch {
		case errors.Is(err, errOther):
			missing = 0
			continue
		case errors.Is(err, ErrNotFound):
			missing++
			continue
		case isRefused(err):
			missing = 0
			continue
		case err != nil:
			return false, err
		}
		if err := f.pump(part, clock); err != nil {
			return false, err
		}
		f.least = n
		return f.succeed(ctx, n)
	}
	f.lost = true
	return f.begin(ctx)
}

// succeed turns to the successor of a file that was the n-th predecessor a moment ago. If it still is when its successor
// has been looked at, it was so then.
func (f *follower) succeed(ctx context.Context, n int) (more bool, err error) {
	next, err := f.client.open(ctx, f.place, f.numbered(n-1), 0, "")
	if errors.Is(err, ErrNotFound) {
		return false, nil // it is just being renamed
	}
	if err != nil {
		return false, err
	}
	next.body.Close()
	still, err := f.client.open(ctx, f.place, f.numbered(n), f.offset, f.id)
	switch {
	case errors.Is(err, errOther), errors.Is(err, ErrNotFound):
		return true, nil // renamed since: it is looked for again
	case err != nil:
		return false, err
	}
	still.body.Close()
	f.id, f.offset, f.least = next.id, 0, n-1
	return true, nil
}
