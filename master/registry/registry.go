// Package registry is what the masters remember together: which slaves belong to the cluster, which of them have not been
// heard of in time, what the cluster is called, how much each role weighs and may have, which machines are away and when.
// It is pure: a [State] and one small type per change.
//
//	admitted ──MarkUnreachable──▶ unreachable
//	   ▲    ◀──MarkReachable────      │
//	   │                              │ (forgotten when there are more than MaxUnreachable)
//	AdmitSlave    RemoveSlave ──▶ neither, MarkGone ──▶ gone: never again
//
// A slave of either kind can be deactivated or draining besides (node.go).
//
// Tasks, frameworks and offers are not here: they come back with their slaves and schedulers.
//
// Who keeps the state decides how durable it is: the master's shell applies each [Change] to a state in its memory. A
// change that is not possible any more (the slave has been removed meanwhile) is an error and changes nothing, so the
// same changes in the same order give the same state everywhere.
package registry

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
)

// MaxUnreachable is how many unreachable slaves are remembered; the ones that have been away for longest are forgotten
// first (Mesos default of registry_max_agent_count: 102400).
const MaxUnreachable = 102400

// State is the durable facts. Its zero value is that of a cluster that does not exist yet.
type State struct {
	// ClusterID is empty until the first slave has come.
	ClusterID string
	// Slaves are those that belong to the cluster, by id. Invariant: no id is both here and in Unreachable.
	Slaves map[string]*mesos.AgentInfo
	// Unreachable holds since when the slaves of these ids have been away.
	Unreachable map[string]time.Time
	// Deactivated are slaves that an operator keeps from being offered, Draining those that are emptied as well.
	// Invariant: each id is in Slaves or in Unreachable.
	Deactivated map[string]bool
	Draining    map[string]Drain
	// Gone holds since when the slaves of these ids have been given up by an operator. None of them comes back.
	Gone map[string]time.Time
	// Weights holds the weight of each role that has another than 1.
	Weights map[string]float64
	// Quotas holds the quota of each role that has one.
	Quotas map[string]Quota
	// Maintenance is which machines will be away, and which are.
	Maintenance Maintenance
}

// A Change is one step of a state. Its fields are all that it needs, so that it can be recorded.
type Change interface {
	// apply makes the change, or returns an error and leaves the state as it is.
	apply(*State) error
	// String says in a few words what changes.
	String() string
}

// Apply makes the change. An error means that it is not possible; the state is then as it was.
func (s *State) Apply(change Change) error {
	if err := change.apply(s); err != nil {
		return fmt.Errorf("%s: %w", change, err)
	}
	return nil
}

// Clone returns a state that does not change with s. The slaves' infos are shared: nobody changes them.
func (s *State) Clone() State {
	clone := State{
		ClusterID:   s.ClusterID,
		Slaves:      maps.Clone(s.Slaves),
		Unreachable: maps.Clone(s.Unreachable),
		Weights:     maps.Clone(s.Weights),
		Quotas:      maps.Clone(s.Quotas),
		Maintenance: s.Maintenance.clone(),
	}
	clone.cloneNodes(s)
	return clone
}

// SetClusterID names the cluster, once and for ever.
type SetClusterID struct{ ClusterID string }

func (c SetClusterID) apply(s *State) error {
	if s.ClusterID != "" && s.ClusterID != c.ClusterID {
		return fmt.Errorf("the cluster is %s already", s.ClusterID)
	}
	s.ClusterID = c.ClusterID
	return nil
}

// String implements Change.
func (c SetClusterID) String() string { return "set cluster id " + c.ClusterID }

// AdmitSlave makes a slave part of the cluster.
type AdmitSlave struct{ Info *mesos.AgentInfo }

func (c AdmitSlave) apply(s *State) error {
	id := c.Info.GetId().GetValue()
	if _, ok := s.Slaves[id]; ok {
		return fmt.Errorf("it is admitted already")
	}
	if _, ok := s.Gone[id]; ok {
		return fmt.Errorf("it is gone")
	}
	if s.Slaves == nil {
		s.Slaves = map[string]*mesos.AgentInfo{}
	}
	delete(s.Unreachable, id)
	s.Slaves[id] = c.Info
	return nil
}

// String implements Change.
func (c AdmitSlave) String() string {
	return fmt.Sprintf("admit slave %s at %s:%d", c.Info.GetId().GetValue(), c.Info.GetHostname(), c.Info.GetPort())
}

// UpdateSlave replaces what is known of a slave that is admitted.
type UpdateSlave struct{ Info *mesos.AgentInfo }

func (c UpdateSlave) apply(s *State) error {
	id := c.Info.GetId().GetValue()
	if _, ok := s.Slaves[id]; !ok {
		return fmt.Errorf("it is not admitted")
	}
	s.Slaves[id] = c.Info
	return nil
}

// String implements Change.
func (c UpdateSlave) String() string { return "update slave " + c.Info.GetId().GetValue() }

// MarkUnreachable records that a slave has been away for too long.
type MarkUnreachable struct {
	ID string
	At time.Time
}

func (c MarkUnreachable) apply(s *State) error {
	if _, ok := s.Slaves[c.ID]; !ok {
		return fmt.Errorf("it is not admitted")
	}
	delete(s.Slaves, c.ID)
	if s.Unreachable == nil {
		s.Unreachable = map[string]time.Time{}
	}
	s.Unreachable[c.ID] = c.At
	if len(s.Unreachable) > MaxUnreachable {
		s.forget(first(s.Unreachable))
	}
	return nil
}

// String implements Change.
func (c MarkUnreachable) String() string { return "mark slave " + c.ID + " unreachable" }

// MarkReachable records that an unreachable slave is back.
type MarkReachable struct{ Info *mesos.AgentInfo }

func (c MarkReachable) apply(s *State) error {
	id := c.Info.GetId().GetValue()
	if _, ok := s.Unreachable[id]; !ok {
		return fmt.Errorf("it is not unreachable")
	}
	if s.Slaves == nil {
		s.Slaves = map[string]*mesos.AgentInfo{}
	}
	delete(s.Unreachable, id)
	s.Slaves[id] = c.Info
	return nil
}

// String implements Change.
func (c MarkReachable) String() string {
	return "mark slave " + c.Info.GetId().GetValue() + " reachable"
}

// RemoveSlave records that a slave will not come back under its id.
type RemoveSlave struct{ ID string }

func (c RemoveSlave) apply(s *State) error {
	if err := s.isKnown(c.ID); err != nil {
		return err
	}
	s.forget(c.ID)
	return nil
}

// String implements Change.
func (c RemoveSlave) String() string { return "remove slave " + c.ID }

// SetWeights gives roles their weights: the divisors of their shares.
type SetWeights struct{ Weights map[string]float64 }

func (c SetWeights) apply(s *State) error {
	for role, weight := range c.Weights {
		if !(weight > 0) || math.IsInf(weight, 1) {
			return fmt.Errorf("weight %v of role %q: allowed are numbers above 0", weight, role)
		}
	}
	if s.Weights == nil {
		s.Weights = map[string]float64{}
	}
	for role, weight := range c.Weights {
		if weight == 1 {
			delete(s.Weights, role)
		} else {
			s.Weights[role] = weight
		}
	}
	return nil
}

// String implements Change.
func (c SetWeights) String() string {
	text := "set weights"
	for _, role := range slices.Sorted(maps.Keys(c.Weights)) {
		text += fmt.Sprintf(" %s=%v", role, c.Weights[role])
	}
	return text
}
