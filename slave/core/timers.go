package core

import (
	"container/heap"
	"time"
)

// timers is a queue of what is to happen later. Timers of the same time go off in the order in which they were set.
type timers struct {
	queue timerQueue
	set   uint64
}

// timer is one entry. Its owner keeps it to stop it.
type timer struct {
	at    time.Time
	order uint64
	do    func()
	index int // in the queue; -1: not in it
}

// after has do called at the given time, at the end of the first Step that is not before it.
func (t *timers) after(at time.Time, do func()) *timer {
	t.set++
	entry := &timer{at: at, order: t.set, do: do}
	heap.Push(&t.queue, entry)
	return entry
}

// stop takes a timer out of the queue. It may be nil or have gone off.
func (t *timers) stop(entry *timer) {
	if entry != nil && entry.index >= 0 {
		heap.Remove(&t.queue, entry.index)
	}
}

// fire calls what is due, including what that sets to be due at once.
func (t *timers) fire(now time.Time) {
	for len(t.queue) > 0 && !t.queue[0].at.After(now) {
		heap.Pop(&t.queue).(*timer).do()
	}
}

// next returns the time of the earliest timer, or the zero time.
func (t *timers) next() time.Time {
	if len(t.queue) == 0 {
		return time.Time{}
	}
	return t.queue[0].at
}

type timerQueue []*timer

func (q timerQueue) Len() int { return len(q) }

func (q timerQueue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].order < q[j].order
	}
	return q[i].at.Before(q[j].at)
}

func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *timerQueue) Push(x any) {
	entry := x.(*timer)
	entry.index = len(*q)
	*q = append(*q, entry)
}

func (q *timerQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	last.index = -1
	return last
}
