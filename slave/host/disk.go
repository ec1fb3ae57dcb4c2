package host

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/stoa-project/stoa/slave/disk"
)

// The disk of a container is its sandbox, with the files that were removed from it and are still open, and its limit the
// resource disk that it was given without a volume or a disk of its own: as Mesos's isolator disk/du does, the host measures
// from time to time and ends the container that has more.

const (
	// DiskLookFirst and DiskLookMost bound the time between two looks at a sandbox (Mesos: 15 s): the sooner, the faster
	// it grows.
	DiskLookFirst = time.Second
	DiskLookMost  = 15 * time.Second

	// diskLookShare is how much of the time one container's sandbox may be looked at: one part of so many.
	diskLookShare = 50
)

// diskLook is what one look at a sandbox found.
type diskLook struct {
	used int64
	at   time.Time
	took time.Duration
}

// nextLook is how long to wait after a look, given the one before it and how long was waited then: half the time in which
// the sandbox would reach its limit if it went on growing as it did, or twice as long as last time if it does not grow.
func nextLook(before, now diskLook, waited time.Duration, limit int64) time.Duration {
	wait := 2 * waited
	if grown := now.used - before.used; grown > 0 {
		left := float64(limit-now.used) / float64(grown) * float64(now.at.Sub(before.at))
		wait = time.Duration(min(left/2, float64(DiskLookMost)))
	}
	return max(min(max(wait, DiskLookFirst), DiskLookMost), diskLookShare*now.took)
}

// maybeWatchDisk begins to look at the sandbox of a container that has got a limit. l.mu is held.
func (l *life) maybeWatchDisk() {
	if l.watched || l.diskLimit.Load() == 0 || l.watch.Err() != nil {
		return
	}
	l.watched = true
	l.watching.Go(l.watchDisk)
}

// unwatchDisk ends the looks.
func (l *life) unwatchDisk() {
	l.mu.Lock()
	l.unwatch()
	l.mu.Unlock()
	l.watching.Wait()
}

// watchDisk looks at the container's sandbox as long as it lives, and ends the container that has more than its limit.
func (l *life) watchDisk() {
	before, wait := diskLook{at: time.Now()}, DiskLookFirst
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-l.watch.Done():
			return
		case <-timer.C:
		}
		limit := l.diskLimit.Load()
		if limit == 0 { // the tasks with a limit have ended
			timer.Reset(DiskLookMost)
			continue
		}
		begun := time.Now()
		used, unlinked, err := l.measureSandbox(l.watch)
		if err != nil {
			timer.Reset(wait) // it changes too fast: the next look may succeed
			continue
		}
		now := diskLook{used: used, at: begun, took: time.Since(begun)}
		if used > limit {
			l.outgrown(used, unlinked, limit)
			return
		}
		wait = nextLook(before, now, wait, limit)
		before = now
		timer.Reset(wait)
	}
}

// measureSandbox is how many bytes the container's sandbox takes, and how many of them files that have no name any more.
func (l *life) measureSandbox(ctx context.Context) (used, unlinked int64, err error) {
	folder, found, err := l.unlinked(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer folder.Close()
	usage, err := found.Measure(ctx)
	return int64(usage.Bytes), int64(found.Usage.Bytes), err
}

// unlinked counts the files of the sandbox that have no name any more: those that the container's processes have, and its output, which
// the host writes on. The caller closes the sandbox's folder.
func (l *life) unlinked(ctx context.Context) (folder *os.File, found *disk.Unlinked, err error) {
	folder, err = os.OpenFile(l.directory, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	l.mu.Lock()
	container := l.container
	l.mu.Unlock()
	if found, err = disk.NewUnlinked(folder); err == nil && container != nil {
		l.stdio.unlinked(found)
		_ = container.Unlinked(ctx, found) // what can't be seen counts nothing, and hinders no look at the rest
		err = ctx.Err()
	}
	if err != nil {
		folder.Close()
		return nil, nil, err
	}
	return folder, found, nil
}

// outgrown ends the container because its sandbox has more than its limit.
func (l *life) outgrown(used, unlinked, limit int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.killed || l.container == nil {
		return
	}
	l.diskUsed, l.diskUnlinked, l.diskAllowed = used, unlinked, limit
	_ = l.container.Kill() // Wait says what is left
}
