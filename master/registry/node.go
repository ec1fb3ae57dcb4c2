package registry

import (
	"fmt"
	"maps"
	"time"
)

// MaxGone is how many slaves that an operator gave up are remembered; the ones that were given up first are forgotten
// first (as many as Mesos remembers: registry_max_agent_count, 102400).
const MaxGone = 102400

// Drain says how a slave is emptied.
type Drain struct {
	Since time.Time
	// Grace is the most time that a task gets to end by itself; nil: what the task says.
	Grace *time.Duration
	// MarkGone says that the slave is given up when it is empty.
	MarkGone bool
}

// isKnown reports an error unless a slave belongs to the cluster, reachable or not.
func (s *State) isKnown(id string) error {
	_, admitted := s.Slaves[id]
	_, unreachable := s.Unreachable[id]
	if !admitted && !unreachable {
		return fmt.Errorf("it is neither admitted nor unreachable")
	}
	return nil
}

// IsOffered reports whether nothing that an operator said keeps a slave from being offered.
func (s *State) IsOffered(id string) bool {
	_, draining := s.Draining[id]
	return !s.Deactivated[id] && !draining
}

// forget drops what operators said of a slave that has gone.
func (s *State) forget(id string) {
	delete(s.Slaves, id)
	delete(s.Unreachable, id)
	delete(s.Deactivated, id)
	delete(s.Draining, id)
}

// DeactivateSlave keeps a slave from being offered.
type DeactivateSlave struct{ ID string }

func (c DeactivateSlave) apply(s *State) error {
	if err := s.isKnown(c.ID); err != nil {
		return err
	}
	if s.Deactivated == nil {
		s.Deactivated = map[string]bool{}
	}
	s.Deactivated[c.ID] = true
	return nil
}

// String implements Change.
func (c DeactivateSlave) String() string { return "deactivate slave " + c.ID }

// ReactivateSlave lets a slave be offered again, and ends its draining.
type ReactivateSlave struct{ ID string }

func (c ReactivateSlave) apply(s *State) error {
	if err := s.isKnown(c.ID); err != nil {
		return err
	}
	delete(s.Deactivated, c.ID)
	delete(s.Draining, c.ID)
	return nil
}

// String implements Change.
func (c ReactivateSlave) String() string { return "reactivate slave " + c.ID }

// DrainSlave keeps a slave from being offered and ends what runs on it.
type DrainSlave struct {
	ID    string
	Drain Drain
}

func (c DrainSlave) apply(s *State) error {
	if err := s.isKnown(c.ID); err != nil {
		return err
	}
	if s.Draining == nil {
		s.Draining = map[string]Drain{}
	}
	s.Draining[c.ID] = c.Drain
	return nil
}

// String implements Change.
func (c DrainSlave) String() string {
	text := "drain slave " + c.ID
	if c.Drain.Grace != nil {
		text += fmt.Sprintf(" within %v", *c.Drain.Grace)
	}
	if c.Drain.MarkGone {
		text += ", then mark it gone"
	}
	return text
}

// MarkGone records that an operator has given a slave up: it will never come back.
type MarkGone struct {
	ID string
	At time.Time
}

func (c MarkGone) apply(s *State) error {
	if err := s.isKnown(c.ID); err != nil {
		return err
	}
	s.forget(c.ID)
	if s.Gone == nil {
		s.Gone = map[string]time.Time{}
	}
	s.Gone[c.ID] = c.At
	if len(s.Gone) > MaxGone {
		delete(s.Gone, first(s.Gone))
	}
	return nil
}

// String implements Change.
func (c MarkGone) String() string { return "mark slave " + c.ID + " gone" }

// first is the slave of the earliest time; of two the one whose id comes first.
func first(times map[string]time.Time) string {
	earliest := ""
	for id, at := range times {
		if t := times[earliest]; earliest == "" || at.Before(t) || at.Equal(t) && id < earliest {
			earliest = id
		}
	}
	return earliest
}

// cloneNodes copies what operators said of slaves.
func (s *State) cloneNodes(from *State) {
	s.Deactivated, s.Draining, s.Gone = maps.Clone(from.Deactivated), maps.Clone(from.Draining), maps.Clone(from.Gone)
}
