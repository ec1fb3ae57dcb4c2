package core

import (
	"cmp"
	"container/heap"
	"time"
)

// timers holds at most one time for each kind and id. Those that are due come in order of their time, then kind and id.
type timers struct {
	heap  timerHeap
	index map[timerKey]*timer
}

type timerKind uint8

const (
	heartbeatTimer timerKind = iota // of a framework: the next HEARTBEAT
	failoverTimer                   // of a framework: its end, unless its scheduler comes back
	slaveTimer                      // of a slave: it becomes unreachable, unless it comes back
	offerTimer                      // of an offer: it is taken back, unless it is answered
	inverseTimer                    // of a slave that will be away: who has something there is asked to leave
)

type timerKey struct {
	kind timerKind
	id   string
}

type timer struct {
	timerKey
	at       time.Time
	position int // in the heap
}

func (t *timers) init() { t.index = map[timerKey]*timer{} }

// set sets or moves a timer.
func (t *timers) set(kind timerKind, id string, at time.Time) {
	key := timerKey{kind, id}
	if old := t.index[key]; old != nil {
		old.at = at
		heap.Fix(&t.heap, old.position)
		return
	}
	new := &timer{timerKey: key, at: at}
	t.index[key] = new
	heap.Push(&t.heap, new)
}

func (t *timers) cancel(kind timerKind, id string) {
	if old := t.index[timerKey{kind, id}]; old != nil {
		delete(t.index, old.timerKey)
		heap.Remove(&t.heap, old.position)
	}
}

func (t *timers) has(kind timerKind, id string) bool { return t.index[timerKey{kind, id}] != nil }

// due takes out the first timer whose time has come.
func (t *timers) due(now time.Time) (timerKey, bool) {
	if len(t.heap) == 0 || now.Before(t.heap[0].at) {
		return timerKey{}, false
	}
	first := heap.Pop(&t.heap).(*timer)
	delete(t.index, first.timerKey)
	return first.timerKey, true
}

// next is when the first timer is due; zero if there is none.
func (t *timers) next() time.Time {
	if len(t.heap) == 0 {
		return time.Time{}
	}
	return t.heap[0].at
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.kind, b.kind), cmp.Compare(a.id, b.id)) < 0
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].position, h[j].position = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.position = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
