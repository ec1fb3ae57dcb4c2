package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

const (
	// PollShortest is the wait after something new was read, PollLongest what it grows to while nothing comes.
	PollShortest = 20 * time.Millisecond
	PollLongest  = 500 * time.Millisecond
	// LastReadTimeout bounds the tries to read the rest of a file after its task has ended.
	LastReadTimeout = 10 * time.Second
)

// ErrRotatedAway is the error of Follow if something was removed, by the rotation of logs, before it was read.
var ErrRotatedAway = errors.New("the oldest of it was removed before it was read")

// Follow writes a file to w as it grows: each byte once, in order. If the slave rotates it the predecessors that are still
// there come first, and each successor follows; what was removed too early is ErrRotatedAway after all the rest. When ended is closed the file grows no more: it is read to
// its end at once, and Follow returns how many bytes were written. Until then errors of the network are tried again and a
// file that is not there yet is waited for; afterwards LastReadTimeout bounds the tries, and a file that is not there is
// ErrNotFound at once.
func (c Client) Follow(ctx context.Context, w io.Writer, place Place, file string, ended <-chan struct{}) (int64, error) {
	return c.FollowFrom(ctx, w, place, file, Position{}, ended)
}

// Position is a place in a file, whatever becomes of the file's name. The zero Position is the beginning of its oldest
// predecessor.
type Position struct {
	id     string
	offset int64
}

// End is where a file ends now; the zero Position if it is not there yet.
func (c Client) End(ctx context.Context, place Place, file string) (end Position, err error) {
	err = c.guard(ctx, place, func(ctx context.Context, _ func(reading bool)) error {
		part, err := c.open(ctx, place, file, 0, "")
		if errors.Is(err, ErrNotFound) {
			return nil // it is all to come
		}
		if err != nil {
			return err
		}
		part.body.Close()
		end = Position{part.id, part.size}
		return nil
	})
	return end, err
}

// FollowFrom is Follow from a position on.
func (c Client) FollowFrom(ctx context.Context, w io.Writer, place Place, file string, from Position, ended <-chan struct{}) (int64, error) {
	f := follower{client: c, w: w, place: place, file: file, id: from.id, offset: from.offset}
	return f.follow(ctx, ended)
}

func (f *follower) follow(ctx context.Context, ended <-chan struct{}) (int64, error) {
	wait := PollShortest
	if f.changed != nil {
		wait = PollLongest // it is told if there is something
	}
	for !closed(ended) {
		n, err := f.read(ctx)
		if fatal(ctx, err) {
			return f.written, err
		}
		if n > 0 {
			wait = PollShortest
		}
		if f.changed != nil && wait == PollLongest && (err == nil || errors.Is(err, ErrNotFound)) {
			pauseUntil(ctx, WatchedPoll, f.changed, ended)
		} else {
			pause(ctx, wait, ended)
		}
		wait = min(wait*3/2, PollLongest)
	}
	err := f.readRest(ctx)
	if err == nil && f.lost {
		err = fmt.Errorf("%s: %w", f.file, ErrRotatedAway)
	}
	return f.written, err
}

// readRest reads a file that grows no more to its end, by several tries if need be.
func (f *follower) readRest(ctx context.Context) error {
	giveUp := time.Now().Add(LastReadTimeout)
	for {
		n, err := f.read(ctx)
		if err == nil || fatal(ctx, err) || errors.Is(err, ErrNotFound) || (n == 0 && time.Now().After(giveUp)) {
			return err
		}
		pause(ctx, PollLongest, nil)
	}
}

// fatal tells the errors after which reading again is of no use.
func fatal(ctx context.Context, err error) bool {
	var writing *WriteError
	return err != nil && (ctx.Err() != nil || errors.As(err, &writing))
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func pause(ctx context.Context, d time.Duration, until <-chan struct{}) {
	pauseUntil(ctx, d, until, nil)
}

func pauseUntil(ctx context.Context, d time.Duration, either, or <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-either:
	case <-or:
	case <-ctx.Done():
	}
}
