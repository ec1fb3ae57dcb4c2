package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// Offer is an offer, and what is left of it while tasks are taken out.
type Offer struct {
	// Info is the offer as the master sent it: attributes, executors that run there, the slave's URL.
	Info *mesos.Offer

	left       resource.Resources
	taken      int
	operations []*mesos.Offer_Operation
	started    map[string]*mesos.ExecutorInfo // executors that tasks of this offer start, as they are
	principal  string                         // of the framework
}

// NewOffer reads an offer. The error says which of its resources is not valid.
func NewOffer(info *mesos.Offer) (*Offer, error) {
	left, err := resource.FromProto(info.GetResources())
	if err != nil {
		return nil, fmt.Errorf("offer %s: %w", info.GetId().GetValue(), err)
	}
	return &Offer{Info: info, left: left}, nil
}

// ID is the offer's id.
func (o *Offer) ID() string { return o.Info.GetId().GetValue() }

// SlaveID is the id of the slave whose resources these are.
func (o *Offer) SlaveID() string { return o.Info.GetAgentId().GetValue() }

// Hostname is the name of the slave's machine.
func (o *Offer) Hostname() string { return o.Info.GetHostname() }

// Role is the one of the framework's roles to which the resources are offered.
func (o *Offer) Role() string {
	return cmp.Or(o.Info.GetAllocationInfo().GetRole(), mesos.DefaultRole)
}

// Left is what no task has been given yet.
func (o *Offer) Left() resource.Resources { return o.left }

// Fits says why the task can not be taken out of what is left; nil if it can. A *Shortage says what is too little.
func (o *Offer) Fits(t Task) error {
	_, err := o.pick(t)
	return err
}

// Take turns a wish into a task on concrete resources of this offer: reserved ones first, which leaves the free ones to
// others. Nothing is taken if the task does not fit; a *Shortage says what is too little.
func (o *Offer) Take(t Task) (*mesos.TaskInfo, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	w, err := o.pick(t)
	if err != nil {
		return nil, err
	}
	o.left = o.without(w.task.Add(w.ofExecutor))
	o.taken++
	info := t.info()
	if t.Executor != nil {
		if o.started == nil {
			o.started = map[string]*mesos.ExecutorInfo{}
		}
		info.Executor = w.executor
		o.started[w.executor.GetExecutorId().GetValue()] = w.executor
	}
	if t.ID == "" {
		info.TaskId = mesos.NewTaskID(fmt.Sprintf("%s.%s.%d", idPart(t.Name), o.ID(), o.taken))
	}
	info.AgentId = o.Info.GetAgentId()
	info.Resources = w.task.ToProto()
	return info, nil
}

// TakeResources takes what a wish needs out of the offer, for something that is no task: an executor. As with Take nothing
// is taken if it does not fit.
func (o *Offer) TakeResources(t Task) ([]*mesos.Resource, error) {
	w, err := o.pick(t)
	if err != nil {
		return nil, err
	}
	o.left = o.without(w.task)
	return w.task.ToProto(), nil
}

// what is what a task is to have of an offer.
type what struct {
	task       resource.Resources
	executor   *mesos.ExecutorInfo
	ofExecutor resource.Resources // nothing if it runs already
}

func (o *Offer) pick(t Task) (what, error) {
	if t.Role != "" && t.Role != o.Role() {
		return what{}, fmt.Errorf("offered to role %q, not to %q", o.Role(), t.Role)
	}
	picked, err := t.pick(o.left)
	if err != nil {
		return what{}, err
	}
	for _, v := range t.Volumes {
		volume, err := o.volume(v.ID)
		if err != nil {
			return what{}, err
		}
		picked = picked.Add(v.at(volume))
	}
	w := what{task: picked}
	if t.Executor != nil {
		w.executor, w.ofExecutor, err = o.executor(t, o.without(picked))
	}
	return w, err
}

// without is what is left after something has been taken. Shared volumes stay, for other tasks.
func (o *Offer) without(taken resource.Resources) resource.Resources {
	left, ok := o.left.Sub(taken.Exclusive())
	if !ok {
		panic(fmt.Sprintf("scheduler: took %s, which is not in %s", taken, o.left))
	}
	return left
}

// idPart makes a piece of an id from what a person wrote.
func idPart(name string) string {
	clean := strings.Map(func(r rune) rune {
		if r <= ' ' || r == '/' || r == '\\' || r == 0x7f {
			return '-'
		}
		return r
	}, name)
	const longest = 64 // bytes; the offer's id and a number follow, and the whole may have mesos.MaxIDBytes
	if len(clean) > longest {
		clean = strings.ToValidUTF8(clean[:longest], "")
	}
	return cmp.Or(clean, "task")
}

// Placement is an offer and the tasks to launch on it.
type Placement struct {
	Offer *Offer
	Tasks []*mesos.TaskInfo
}

// Unplaced is a task that no offer had room for, and why, in the order of the offers.
type Unplaced struct {
	Task    Task
	Reasons []Reason
}

// Reason says why a task can not run on a slave.
type Reason struct {
	SlaveID, Hostname string
	Err               error
}

// Match spreads tasks over offers: each goes to the offer that has got the fewest so far, the first of these. Offers that
// got nothing have no placement: they are the caller's to decline or to keep.
func Match(offers []*Offer, tasks []Task) (placed []Placement, unplaced []Unplaced) {
	return MatchBeside(offers, tasks, nil)
}

// MatchBeside is Match for tasks with constraints: instances of the same thing, of which others are at these places
// already. All tasks of one call are instances of the same.
func MatchBeside(offers []*Offer, tasks []Task, beside []Place) (placed []Placement, unplaced []Unplaced) {
	beside = slices.Clone(beside)
	got := make([][]*mesos.TaskInfo, len(offers))
	order := make([]int, len(offers))
	for i := range order {
		order[i] = i
	}
	for _, t := range tasks {
		slices.SortStableFunc(order, func(a, b int) int {
			return cmp.Or(cmp.Compare(len(got[a]), len(got[b])), cmp.Compare(a, b))
		})
		if i, info := takeFirst(offers, order, t, beside); info != nil {
			got[i] = append(got[i], info)
			if len(t.Constraints) > 0 {
				beside = append(beside, offers[i].Place())
			}
			continue
		}
		unplaced = append(unplaced, Unplaced{Task: t, Reasons: reasons(offers, t, beside)})
	}
	for i, infos := range got {
		if len(infos) > 0 {
			placed = append(placed, Placement{Offer: offers[i], Tasks: infos})
		}
	}
	return placed, unplaced
}

func takeFirst(offers []*Offer, order []int, t Task, beside []Place) (int, *mesos.TaskInfo) {
	for _, i := range order {
		if t.allowed(offers[i].Place(), beside) != nil {
			continue
		}
		if info, err := offers[i].Take(t); err == nil {
			return i, info
		}
	}
	return 0, nil
}

func reasons(offers []*Offer, t Task, beside []Place) []Reason {
	var all []Reason
	for _, o := range offers {
		err := t.Validate()
		if err == nil {
			err = o.Fits(t)
		}
		if err == nil {
			err = t.allowed(o.Place(), beside)
		}
		all = append(all, Reason{SlaveID: o.SlaveID(), Hostname: o.Hostname(), Err: err})
	}
	return all
}

func labels(from map[string]string) *mesos.Labels {
	if len(from) == 0 {
		return nil
	}
	l := &mesos.Labels{}
	for _, key := range sortedKeys(from) {
		l.Labels = append(l.Labels, &mesos.Label{Key: proto.String(key), Value: proto.String(from[key])})
	}
	return l
}
