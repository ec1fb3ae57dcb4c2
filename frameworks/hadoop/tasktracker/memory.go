package tasktracker

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

const (
	// lookEvery is how often the memory of commands is looked at. The kernel's limit of the container, which is that of all
	// tasks together, holds in between.
	lookEvery = 100 * time.Millisecond
	// ownMemory is what the executor itself may use before its garbage is collected more eagerly, in bytes; each task adds
	// its sort buffer and taskMemory.
	ownMemory  = 48 << 20
	taskMemory = 24 << 20
	// keptMemory is how much of the heap's free memory an executor keeps when a task has ended, in bytes: what it gives back
	// to the machine must be there when the container shrinks.
	keptMemory = 16 << 20
)

// memory knows what each task may use: its commands no more than its own, this program for all of them no more than their
// sort buffers and a little.
type memory struct {
	mutex sync.Mutex
	tasks map[string]*limits
	total int64 // of all that run: sort buffers and taskMemory
}

// limits are a task's.
type limits struct {
	mutex    sync.Mutex
	commands int64 // bytes that its commands may use together; 0: any
	own      int64 // bytes that this program uses for it
	groups   []int // process groups of its commands
	end      context.CancelCauseFunc
}

func newMemory() *memory {
	m := &memory{tasks: map[string]*limits{}}
	debug.SetMemoryLimit(ownMemory)
	return m
}

// add begins to hold a task to its memory.
func (m *memory) add(id string, bytes, sortBuffer int64, end context.CancelCauseFunc) *limits {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	l := &limits{own: sortBuffer + taskMemory, end: end}
	if bytes > 0 {
		l.commands = max(bytes-sortBuffer, bytes/2)
	}
	m.tasks[id] = l
	m.total += l.own
	debug.SetMemoryLimit(ownMemory + m.total)
	return l
}

// remove forgets a task, and gives back what it has left.
func (m *memory) remove(id string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.total -= m.tasks[id].own
	delete(m.tasks, id)
	debug.SetMemoryLimit(ownMemory + m.total)
	if heap() > keptMemory+m.total {
		debug.FreeOSMemory()
	}
}

// heap is how much memory the heap has from the system, used or not.
func heap() int64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	total := uint64(0)
	for _, s := range samples {
		total += s.Value.Uint64()
	}
	return int64(total)
}

// started notes a command of the task: it is the leader of a process group.
func (l *limits) started(pid int) {
	preferInShortage(pid)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.groups = append(l.groups, pid)
}

// watch ends each task whose commands use more than they may, until ctx ends.
func (m *memory) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.look()
		}
	}
}

func (m *memory) look() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	watched := map[int]*limits{}
	for _, l := range m.tasks {
		l.mutex.Lock()
		if l.commands > 0 {
			for _, group := range l.groups {
				watched[group] = l
			}
		}
		l.mutex.Unlock()
	}
	if len(watched) == 0 {
		return
	}
	used := map[*limits]int64{}
	for group, bytes := range residentByGroup() {
		if l := watched[group]; l != nil {
			used[l] += bytes
		}
	}
	for l, bytes := range used {
		if bytes > l.commands {
			l.end(fmt.Errorf("its commands use %d MB of memory, allowed are %d MB (give it more by -mem)", bytes>>20, l.commands>>20))
		}
	}
}
