package core

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// taskStates is one more than the greatest number of a task state.
const taskStates = int(mesos.TaskState_TASK_UNKNOWN) + 1

// Counters is what has happened since the master was born. It is a value: a copy does not change.
type Counters struct {
	Events, Calls                                                  uint64
	Offers, Rescinds, Declines, Accepts, Launches, Kills           uint64
	Operations                                                     uint64 // on resources, that were carried out
	Updates, Acknowledgements, Reconciliations, InvalidTasks, Lost uint64
	SlaveRegistrations, SlaveReregistrations                       uint64
	SlavesUnreachable, SlavesRemoved, FrameworksRemoved            uint64
	LaunchesDropped, MessagesDropped                               uint64 // for which there was no room on the way to their slave

	// TaskStates counts the tasks that are in each state now, by its number; those that have ended only until that is
	// acknowledged.
	TaskStates [taskStates]int
	// Ended counts the tasks that ended in each state, by its number.
	Ended [taskStates]uint64
}

// Snapshot is the state of the master in numbers.
type Snapshot struct {
	Counters
	Incarnation string
	ClusterID   string
	Birth, Now  time.Time

	SlavesConnected, SlavesDisconnected                              int
	FrameworksConnected, FrameworksDisconnected, FrameworksCompleted int
	OffersOpen                                                       int
	TasksCompleted                                                   int

	// Total, Used and Offered are the cluster's scalar resources.
	Total, Used, Offered resource.Quantities
}

// Snapshot returns the master's numbers.
func (c *Core) Snapshot() Snapshot {
	s := c.view.Snapshot
	s.Counters, s.Incarnation, s.ClusterID, s.Birth, s.Now = c.counters, c.incarnation, c.clusterID, c.birth, c.now
	s.OffersOpen, s.TasksCompleted, s.FrameworksCompleted = len(c.offers), c.history.tasks.Len(), len(c.history.frameworks)
	if c.allocator != nil {
		s.Total, s.Used, s.Offered = c.allocator.Quantities()
	}
	return s
}

// Metric is a number with the name that Mesos gives it; those that Mesos does not have begin with stoa/.
type Metric struct {
	Name  string
	Value float64
}

// Metrics returns the numbers under Mesos's names, sorted.
func (s Snapshot) Metrics() []Metric {
	list := []Metric{
		{"master/uptime_secs", s.Now.Sub(s.Birth).Seconds()},
		{"master/elected", 1},
		{"master/slaves_connected", float64(s.SlavesConnected)},
		{"master/slaves_disconnected", float64(s.SlavesDisconnected)},
		{"master/slaves_active", float64(s.SlavesConnected)},
		{"master/slaves_inactive", float64(s.SlavesDisconnected)},
		{"master/frameworks_connected", float64(s.FrameworksConnected)},
		{"master/frameworks_disconnected", float64(s.FrameworksDisconnected)},
		{"master/frameworks_active", float64(s.FrameworksConnected)},
		{"master/frameworks_inactive", float64(s.FrameworksDisconnected)},
		{"master/outstanding_offers", float64(s.OffersOpen)},
		{"master/invalid_tasks", float64(s.InvalidTasks)},
		{"master/slave_registrations", float64(s.SlaveRegistrations)},
		{"master/slave_reregistrations", float64(s.SlaveReregistrations)},
		{"master/slave_removals", float64(s.SlavesRemoved)},
		{"master/slave_unreachable_scheduled", float64(s.SlavesUnreachable)},
		{"master/messages_status_update", float64(s.Updates)},
		{"stoa/offers_made", float64(s.Offers)},
		{"stoa/tasks_launched", float64(s.Launches)},
		{"master/messages_status_update_acknowledgement", float64(s.Acknowledgements)},
		{"master/messages_launch_tasks", float64(s.Accepts)},
		{"master/messages_decline_offers", float64(s.Declines)},
		{"master/messages_kill_task", float64(s.Kills)},
		{"master/messages_reconcile_tasks", float64(s.Reconciliations)},
	}
	for number := range taskStates {
		state := mesos.TaskState(number)
		name := "master/tasks_" + strings.ToLower(strings.TrimPrefix(state.String(), "TASK_"))
		if mesos.IsTerminal(state) {
			list = append(list, Metric{name, float64(s.Ended[number])})
		} else {
			list = append(list, Metric{name, float64(s.TaskStates[number])})
		}
	}
	for _, name := range []string{resource.CPUs, resource.Mem, resource.Disk, resource.GPUs} {
		total, used := resource.Float(s.Total.Get(name)), resource.Float(s.Used.Get(name))
		percent := 0.0
		if total > 0 {
			percent = used / total
		}
		list = append(list, Metric{"master/" + name + "_total", total}, Metric{"master/" + name + "_used", used}, Metric{"master/" + name + "_percent", percent})
	}
	slices.SortFunc(list, func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (v *View) getMetrics() *masterpb.Response_GetMetrics {
	m := &masterpb.Response_GetMetrics{}
	for _, metric := range v.Metrics() {
		m.Metrics = append(m.Metrics, &mesos.Metric{Name: proto.String(metric.Name), Value: proto.Float64(metric.Value)})
	}
	return m
}

// String is the metric in one line.
func (m Metric) String() string { return fmt.Sprintf("%s %v", m.Name, m.Value) }
