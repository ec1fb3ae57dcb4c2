package core

import (
	"container/list"

	"github.com/stoa-project/stoa/proto/mesos"
)

// history is what is kept of frameworks and tasks that have ended, for people to look at. It has three bounds: so many
// frameworks, so many tasks of each, so many tasks in all; the oldest go first.
type history struct {
	maxFrameworks, maxPerFramework, maxTasks int

	tasks      list.List             // of past, oldest first
	byID       map[string]*list.List // of the elements of tasks, by framework id, oldest first
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
	own.PushBack(h.tasks.PushBack(past{framework, task}))
	if own.Len() > h.maxPerFramework {
		h.forgetFirst(own)
	}
	if h.tasks.Len() > h.maxTasks {
		h.forgetFirst(h.byID[h.tasks.Front().Value.(past).framework])
	}
}

// forgetFirst forgets a framework's oldest task.
func (h *history) forgetFirst(own *list.List) {
	element := own.Remove(own.Front()).(*list.Element)
	framework := h.tasks.Remove(element).(past).framework
	if own.Len() == 0 {
		delete(h.byID, framework)
	}
}

// takeTask takes a framework's task out again; nil if it is not there.
func (h *history) takeTask(framework, id string) *mesos.Task {
	own := h.byID[framework]
	if own == nil {
		return nil
	}
	for e := own.Back(); e != nil; e = e.Prev() {
		task := e.Value.(*list.Element).Value.(past).task
		if task.GetTaskId().GetValue() != id {
			continue
		}
		h.tasks.Remove(own.Remove(e).(*list.Element))
		if own.Len() == 0 {
			delete(h.byID, framework)
		}
		return task
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
