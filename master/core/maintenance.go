package core

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/allocatorpb"
	"github.com/stoa-project/stoa/proto/mesos/maintenancepb"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// Maintenance of machines: a schedule of windows in which they are away, and which are away now. Offers of slaves on
// scheduled machines say so, and who has something there is asked by inverse offers to leave (inverse.go).

// window is a time in which a machine is away, as frameworks see it. It is never changed, only replaced.
type window struct {
	machine registry.Machine // as the schedule names it
	message *mesos.Unavailability
}

// timetable finds the window of a machine.
type timetable map[registry.Machine]*window

// newTimetable makes one of a schedule. Windows that are in the old one too stay the same.
func newTimetable(windows []registry.Window, old timetable) timetable {
	machines := 0
	for _, w := range windows {
		machines += len(w.Machines)
	}
	t := make(timetable, machines)
	for _, w := range windows {
		message := shownUnavailability(w)
		for _, machine := range w.Machines {
			if was := old[machine]; was != nil && proto.Equal(was.message, message) {
				t[machine] = was
			} else {
				t[machine] = &window{machine, message}
			}
		}
	}
	return t
}

// find returns the window of the machine that a slave is on, nil if there is none. A machine that names hostname and
// address counts before one that names the hostname alone, that before one that names the address.
func (t timetable) find(sl *slave) *window {
	if len(t) == 0 {
		return nil
	}
	for _, machine := range sl.machines() {
		if w := t[machine]; w != nil {
			return w
		}
	}
	return nil
}

// machines are the names of the machine that the slave is on.
func (sl *slave) machines() [3]registry.Machine {
	hostname, ip := strings.ToLower(sl.info.GetHostname()), sl.agentAddress().GetIp()
	return [3]registry.Machine{{Hostname: hostname, IP: ip}, {Hostname: hostname}, {IP: ip}}
}

func shownUnavailability(w registry.Window) *mesos.Unavailability {
	m := &mesos.Unavailability{Start: timeInfo(w.Start)}
	if w.Duration != nil {
		m.Duration = &mesos.DurationInfo{Nanoseconds: proto.Int64(w.Duration.Nanoseconds())}
	}
	return m
}

func shownMachine(m registry.Machine) *mesos.MachineID {
	id := &mesos.MachineID{}
	if m.Hostname != "" {
		id.Hostname = proto.String(m.Hostname)
	}
	if m.IP != "" {
		id.Ip = proto.String(m.IP)
	}
	return id
}

// readMachines reads machines that an operator names.
func readMachines(ids []*mesos.MachineID) ([]registry.Machine, error) {
	machines := make([]registry.Machine, 0, len(ids))
	for _, id := range ids {
		m := registry.Machine{Hostname: strings.ToLower(id.GetHostname()), IP: id.GetIp()}
		if m.IP != "" {
			ip, err := netip.ParseAddr(m.IP)
			if err != nil {
				return nil, fmt.Errorf("machine with the ip %q: it must be an address like 10.0.0.17", m.IP)
			}
			m.IP = ip.String()
		}
		if m == (registry.Machine{}) {
			return nil, fmt.Errorf("a machine has neither hostname nor ip: it must have one of them")
		}
		machines = append(machines, m)
	}
	if len(machines) == 0 {
		return nil, fmt.Errorf("no machine is named")
	}
	return machines, nil
}

// updateSchedule has a new schedule of maintenance persisted.
func (c *Core) updateSchedule(r Request, m *maintenancepb.Schedule) {
	var windows []registry.Window
	for i, w := range m.GetWindows() {
		machines, err := readMachines(w.GetMachineIds())
		if err != nil {
			c.refuseRequest(r, "window %d of the schedule: %v", i+1, err)
			return
		}
		window := registry.Window{Machines: machines, Start: time.Unix(0, w.GetUnavailability().GetStart().GetNanoseconds())}
		if d := w.GetUnavailability().GetDuration(); d != nil {
			duration := time.Duration(d.GetNanoseconds())
			window.Duration = &duration
		}
		windows = append(windows, window)
	}
	c.changeMaintenance(r, registry.SetSchedule{Windows: windows}, c.scheduleUpdated)
}

// changeMaintenance has a change persisted that an operator asks for; then runs if it has been.
func (c *Core) changeMaintenance(r Request, change registry.Change, then func()) {
	if err := c.registry.Maintenance.Check(change); err != nil {
		c.refuseRequest(r, "%v", err)
		return
	}
	c.persist(change, func(failure string) {
		if failure != "" {
			c.refuseRequest(r, "%s", failure)
			return
		}
		c.note("%v", change)
		then()
		c.reply(r, &wire.OperatorDone{})
	})
}

func (c *Core) scheduleUpdated() {
	c.timetable = newTimetable(c.registry.Maintenance.Windows, c.timetable)
	c.begin(&maintaining{})
}

// maintaining holds each slave against the schedule and the machines that are away. Those that come meanwhile have been.
type maintaining struct {
	from string // the id of the slave with which it goes on
}

func (w *maintaining) next(c *Core) bool {
	id, _, some := firstOf(c.view.slaves, w.from)
	if !some {
		return false
	}
	w.from = id + between
	c.maintain(c.slaves[id])
	return true
}

// maintain gives a slave its window. If that is another one, offers are made anew, as they say when the slave is away, and
// frameworks are asked again. If its machine is away now, the slave is ended.
func (c *Core) maintain(sl *slave) {
	if w := c.timetable.find(sl); w != sl.window {
		sl.window = w
		c.touchSlave(sl.id)
		c.rescindAll(sl)
		c.rescindInverse(sl)
		c.maybeAsk(sl)
	}
	if sl.window != nil && c.registry.Maintenance.Down[sl.window.machine] {
		c.endForMaintenance(sl)
	}
}

// startMaintenance has machines persisted as away. Their slaves are ended.
func (c *Core) startMaintenance(r Request, m *masterpb.Call_StartMaintenance) {
	machines, err := readMachines(m.GetMachines())
	if err != nil {
		c.refuseRequest(r, "%v", err)
		return
	}
	c.changeMaintenance(r, registry.StartMaintenance{Machines: machines}, func() { c.begin(&maintaining{}) })
}

func (c *Core) endForMaintenance(sl *slave) {
	why := fmt.Sprintf("slave %s at %s: machine %v is down for maintenance", sl.id, place(sl.info), sl.window.machine)
	s := sl.session
	c.detach(sl)
	if s != nil {
		c.send(s, &wire.Refused{Reason: why})
		c.closeSession(s, why)
	}
	c.removeSlave(sl, why)
}

// stopMaintenance has machines persisted as back.
func (c *Core) stopMaintenance(r Request, m *masterpb.Call_StopMaintenance) {
	machines, err := readMachines(m.GetMachines())
	if err != nil {
		c.refuseRequest(r, "%v", err)
		return
	}
	c.changeMaintenance(r, registry.StopMaintenance{Machines: machines}, c.scheduleUpdated)
}

// checkUp reports a slave whose machine is away.
func (c *Core) checkUp(s *session, info *mesos.AgentInfo) error {
	w := c.timetable.find(&slave{info: info, address: s.address})
	if w != nil && c.registry.Maintenance.Down[w.machine] {
		return fmt.Errorf("slave at %s: machine %v is down for maintenance until an operator stops that", place(info), w.machine)
	}
	return nil
}

func (v *View) getSchedule() *masterpb.Response_GetMaintenanceSchedule {
	schedule := &maintenancepb.Schedule{}
	for _, w := range v.windows {
		shown := &maintenancepb.Window{Unavailability: shownUnavailability(w)}
		for _, machine := range w.Machines {
			shown.MachineIds = append(shown.MachineIds, shownMachine(machine))
		}
		schedule.Windows = append(schedule.Windows, shown)
	}
	return &masterpb.Response_GetMaintenanceSchedule{Schedule: schedule}
}

// getMaintenance says which machines are to be left, with what frameworks said to that, and which are away.
func (v *View) getMaintenance() *masterpb.Response_GetMaintenanceStatus {
	answers := map[registry.Machine][]*allocatorpb.InverseOfferStatus{}
	v.slaves.Scan(func(_ string, sl *shownSlave) bool {
		if len(sl.answers) > 0 {
			answers[sl.window.machine] = append(answers[sl.window.machine], sl.answers...)
		}
		return true
	})
	status := &maintenancepb.ClusterStatus{}
	for _, w := range v.windows {
		for _, machine := range w.Machines {
			if v.down[machine] {
				status.DownMachines = append(status.DownMachines, shownMachine(machine))
				continue
			}
			status.DrainingMachines = append(status.DrainingMachines, &maintenancepb.ClusterStatus_DrainingMachine{
				Id: shownMachine(machine), Statuses: answers[machine],
			})
		}
	}
	return &masterpb.Response_GetMaintenanceStatus{Status: status}
}

// String says when a slave will be away.
func (w *window) String() string {
	text := "maintenance from " + time.Unix(0, w.message.GetStart().GetNanoseconds()).UTC().Format("2006-01-02 15:04:05 UTC")
	if d := w.message.GetDuration(); d != nil {
		text += fmt.Sprintf(" for %v", time.Duration(d.GetNanoseconds()))
	}
	return text
}
