package core

import (
	"container/list"

	"github.com/tidwall/btree"

	"github.com/stoa-project/stoa/proto/mesos"
)

// history is what is kept of frameworks and tasks that have ended, for people to look at. It has three bounds: so many
// frameworks, so many tasks of each, so many tasks in all; the oldest go first.
type history struct {
	maxFrameworks, maxPerFramework, maxTasks int

	tasks      btree.Map[uint64, past] // by the number under which they were added
	added      uint64
	byID       map[string]*list.List // of the keys of tasks, by framework id, oldest first
	frameworks []*framework          // completed ones, oldest first
}

// past is a task that has ended.
type past struct {
	framework string
	task      *mesos.Task
}

func newHistory(c Config) history {
	return history{
		maxFrameworks:   c.MaxCompletedFrameworks,
		maxPerFramework: c.MaxCompletedTasksPerFramework,
		maxTasks:        c.MaxCompletedTasks,
		byID:            map[string]*list.List{},
	}
}

// addTask keeps a task of a framework that lives, or is being completed.
func (h *history) addTask(framework string, task *mesos.Task) {
	own := h.byID[framework]
	if own == nil {
		own = list.New()
		h.byID[framework] = own
	}
	h.added++
	h.tasks.Set(h.added, past{framework, task})
	own.PushBack(h.added)
	if own.Len() > h.maxPerFramework {
		h.forgetFirst(own)
	}
	if h.tasks.Len() > h.maxTasks {
		_, oldest, _ := h.tasks.Min()
		h.forgetFirst(h.byID[oldest.framework])
	}
}

// forgetFirst forgets a framework's oldest task.
func (h *history) forgetFirst(own *list.List) {
	forgotten, _ := h.tasks.Delete(own.Remove(own.Front()).(uint64))
	if own.Len() == 0 {
		delete(h.byID, forgotten.framework)
	}
}

// takeTask takes a framework's task out again; nil if it is not there.
func (h *history) takeTask(framework, id string) *mesos.Task {
	own := h.byID[framework]
	if own == nil {
		return nil
	}
	for e := own.Back(); e != nil; e = e.Prev() {
		number := e.Value.(uint64)
		ended, _ := h.tasks.Get(number)
		if ended.task.GetTaskId().GetValue() != id {
			continue
		}
		own.Remove(e)
		h.tasks.Delete(number)
		if own.Len() == 0 {
			delete(h.byID, framework)
		}
		return ended.task
	}
	return nil
}

// addFramework keeps a framework that has ended, and forgets the oldest with its tasks if there are too many.
func (h *history) addFramework(f *framework) {
	h.frameworks = append(h.frameworks, f)
	if len(h.frameworks) <= h.maxFrameworks {
		return
	}
	first := h.frameworks[0]
	h.frameworks = append([]*framework(nil), h.frameworks[1:]...)
	for h.byID[first.id] != nil {
		h.forgetFirst(h.byID[first.id])
	}
}

// framework returns a framework that has ended and is remembered, else nil.
func (h *history) framework(id string) *framework {
	for _, f := range h.frameworks {
		if f.id == id {
			return f
		}
	}
	return nil
}

// recent is the last few of many ids. Its zero value, given a limit, is empty.
type recent struct {
	limit int
	ids   map[string]bool
	order []string // oldest first
}

func (r *recent) add(id string) {
	if r.ids[id] {
		return
	}
	if r.ids == nil {
		r.ids = map[string]bool{}
	}
	r.ids[id] = true
	r.order = append(r.order, id)
	if len(r.order) > r.limit {
		delete(r.ids, r.order[0])
		r.order = r.order[1:]
	}
}

func (r *recent) has(id string) bool { return r.ids[id] }
