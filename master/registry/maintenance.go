package registry

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// MaxMachines is how many machines a schedule of maintenance may name (as many as Mesos has slaves:
// registry_max_agent_count, 102400).
const MaxMachines = 102400

// Machine is where slaves live: a hostname in small letters, an address, or both. What is empty is any.
type Machine struct{ Hostname, IP string }

// String is the machine for people.
func (m Machine) String() string {
	switch {
	case m.IP == "":
		return m.Hostname
	case m.Hostname == "":
		return m.IP
	}
	return m.Hostname + " (" + m.IP + ")"
}

func compareMachines(a, b Machine) int {
	return cmp.Or(cmp.Compare(a.Hostname, b.Hostname), cmp.Compare(a.IP, b.IP))
}

// Window is a time in which machines are away.
type Window struct {
	Machines []Machine
	Start    time.Time
	Duration *time.Duration // nil: without an end
}

// Maintenance is which machines will be away, and which are now.
//
//	up ──SetSchedule──▶ draining ──StartMaintenance──▶ down ──StopMaintenance──▶ up
type Maintenance struct {
	// Windows is the schedule. Invariant: no machine is in it twice.
	Windows []Window
	// Down are the machines that are away. Invariant: each is in a window.
	Down map[Machine]bool
}

func (m *Maintenance) clone() Maintenance {
	return Maintenance{Windows: slices.Clone(m.Windows), Down: maps.Clone(m.Down)} // Nobody changes a window.
}

// Check reports why a change of maintenance is not possible now, nil if it is.
func (m *Maintenance) Check(change Change) error {
	probe := State{Maintenance: m.clone()}
	return probe.Apply(change)
}

// scheduled are the machines in the schedule.
func (m *Maintenance) scheduled() map[Machine]bool {
	set := make(map[Machine]bool, countMachines(m.Windows))
	for _, w := range m.Windows {
		for _, machine := range w.Machines {
			set[machine] = true
		}
	}
	return set
}

// SetSchedule replaces the schedule of maintenance.
type SetSchedule struct{ Windows []Window }

func (c SetSchedule) apply(s *State) error {
	seen := make(map[Machine]bool, min(countMachines(c.Windows), MaxMachines))
	for i, w := range c.Windows {
		if len(w.Machines) == 0 {
			return fmt.Errorf("window %d has no machines", i+1)
		}
		for _, machine := range w.Machines {
			if machine == (Machine{}) {
				return fmt.Errorf("window %d has a machine without hostname and ip: it must have one of them", i+1)
			}
			if seen[machine] {
				return fmt.Errorf("machine %v is in the schedule twice: it can be in one window only", machine)
			}
			seen[machine] = true
		}
		if w.Duration != nil && *w.Duration < 0 {
			return fmt.Errorf("window %d lasts %v: it must not be below 0", i+1, *w.Duration)
		}
	}
	if len(seen) > MaxMachines {
		return fmt.Errorf("%d machines are scheduled: allowed are %d", len(seen), MaxMachines)
	}
	for _, machine := range slices.SortedFunc(maps.Keys(s.Maintenance.Down), compareMachines) {
		if !seen[machine] {
			return fmt.Errorf("machine %v is down and not in the schedule: stop its maintenance first", machine)
		}
	}
	s.Maintenance.Windows = slices.Clone(c.Windows)
	return nil
}

// String implements Change.
func (c SetSchedule) String() string {
	return fmt.Sprintf("schedule maintenance of %d machines in %d windows", countMachines(c.Windows), len(c.Windows))
}

func countMachines(windows []Window) int {
	machines := 0
	for _, w := range windows {
		machines += len(w.Machines)
	}
	return machines
}

// StartMaintenance records that machines are away. All of them or none.
type StartMaintenance struct{ Machines []Machine }

func (c StartMaintenance) apply(s *State) error {
	scheduled := s.Maintenance.scheduled()
	for _, machine := range c.Machines {
		switch {
		case !scheduled[machine]:
			return fmt.Errorf("machine %v is not in the schedule: schedule its maintenance first", machine)
		case s.Maintenance.Down[machine]:
			return fmt.Errorf("machine %v is down already", machine)
		}
	}
	if s.Maintenance.Down == nil {
		s.Maintenance.Down = make(map[Machine]bool, len(c.Machines))
	}
	for _, machine := range c.Machines {
		s.Maintenance.Down[machine] = true
	}
	return nil
}

// String implements Change.
func (c StartMaintenance) String() string { return "start maintenance of " + machineList(c.Machines) }

// StopMaintenance records that machines are back, and takes them out of the schedule. All of them or none.
type StopMaintenance struct{ Machines []Machine }

func (c StopMaintenance) apply(s *State) error {
	for _, machine := range c.Machines {
		if !s.Maintenance.Down[machine] {
			return fmt.Errorf("machine %v is not down", machine)
		}
	}
	back := make(map[Machine]bool, len(c.Machines))
	for _, machine := range c.Machines {
		back[machine] = true
	}
	var windows []Window
	for _, w := range s.Maintenance.Windows {
		w.Machines = slices.DeleteFunc(slices.Clone(w.Machines), func(m Machine) bool { return back[m] })
		if len(w.Machines) > 0 {
			windows = append(windows, w)
		}
	}
	s.Maintenance.Windows = windows
	for _, machine := range c.Machines {
		delete(s.Maintenance.Down, machine)
	}
	return nil
}

// String implements Change.
func (c StopMaintenance) String() string { return "stop maintenance of " + machineList(c.Machines) }

// maxListedMachines is how many machines a change names for people.
const maxListedMachines = 20

func machineList(machines []Machine) string {
	var names []string
	for _, machine := range machines[:min(len(machines), maxListedMachines)] {
		names = append(names, machine.String())
	}
	if more := len(machines) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}
