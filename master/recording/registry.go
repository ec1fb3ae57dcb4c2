package recording

import (
	"maps"
	"slices"
	"time"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/record"
	"github.com/stoa-project/stoa/proto/resource"
)

func encodeRegistry(s registry.State) *record.Registry {
	m := &record.Registry{
		ClusterId: s.ClusterID, Slaves: s.Slaves, Unreachable: nanoseconds(s.Unreachable), Gone: nanoseconds(s.Gone), Weights: s.Weights,
		Deactivated: slices.Sorted(maps.Keys(s.Deactivated)), Draining: map[string]*record.Drain{}, Quotas: map[string]*record.Quota{},
		Maintenance: encodeMaintenance(s.Maintenance),
	}
	for id, drain := range s.Draining {
		d := &record.Drain{Since: drain.Since.UnixNano(), MarkGone: drain.MarkGone}
		if drain.Grace != nil {
			grace := drain.Grace.Nanoseconds()
			d.Grace = &grace
		}
		m.Draining[id] = d
	}
	for role, quota := range s.Quotas {
		m.Quotas[role] = &record.Quota{Guarantees: encodeQuantities(quota.Guarantees), Limits: encodeQuantities(quota.Limits)}
	}
	return m
}

func decodeRegistry(m *record.Registry) registry.State {
	s := registry.State{
		ClusterID: m.GetClusterId(), Slaves: m.GetSlaves(), Unreachable: times(m.GetUnreachable()), Gone: times(m.GetGone()), Weights: m.GetWeights(),
		Deactivated: map[string]bool{}, Draining: map[string]registry.Drain{}, Quotas: map[string]registry.Quota{},
		Maintenance: decodeMaintenance(m.GetMaintenance()),
	}
	for _, id := range m.GetDeactivated() {
		s.Deactivated[id] = true
	}
	for id, d := range m.GetDraining() {
		drain := registry.Drain{Since: time.Unix(0, d.GetSince()), MarkGone: d.GetMarkGone()}
		if d.Grace != nil {
			grace := time.Duration(d.GetGrace())
			drain.Grace = &grace
		}
		s.Draining[id] = drain
	}
	for role, q := range m.GetQuotas() {
		s.Quotas[role] = registry.Quota{Guarantees: decodeQuantities(q.GetGuarantees()), Limits: decodeQuantities(q.GetLimits())}
	}
	return s
}

func encodeMaintenance(s registry.Maintenance) *record.Maintenance {
	m := &record.Maintenance{}
	encode := func(machine registry.Machine) *record.Maintenance_Machine {
		return &record.Maintenance_Machine{Hostname: machine.Hostname, Ip: machine.IP}
	}
	for _, w := range s.Windows {
		window := &record.Maintenance_Window{Start: w.Start.UnixNano()}
		if w.Duration != nil {
			duration := w.Duration.Nanoseconds()
			window.Duration = &duration
		}
		for _, machine := range w.Machines {
			window.Machines = append(window.Machines, encode(machine))
			if s.Down[machine] {
				m.Down = append(m.Down, encode(machine))
			}
		}
		m.Windows = append(m.Windows, window)
	}
	return m
}

func decodeMaintenance(m *record.Maintenance) registry.Maintenance {
	s := registry.Maintenance{Down: map[registry.Machine]bool{}}
	decode := func(machine *record.Maintenance_Machine) registry.Machine {
		return registry.Machine{Hostname: machine.GetHostname(), IP: machine.GetIp()}
	}
	for _, w := range m.GetWindows() {
		window := registry.Window{Start: time.Unix(0, w.GetStart())}
		if w.Duration != nil {
			duration := time.Duration(w.GetDuration())
			window.Duration = &duration
		}
		for _, machine := range w.GetMachines() {
			window.Machines = append(window.Machines, decode(machine))
		}
		s.Windows = append(s.Windows, window)
	}
	for _, machine := range m.GetDown() {
		s.Down[decode(machine)] = true
	}
	return s
}

func encodeQuantities(q resource.Quantities) map[string]int64 {
	amounts := make(map[string]int64, len(q))
	for _, x := range q {
		amounts[x.Name] = x.Thousandths
	}
	return amounts
}

func decodeQuantities(amounts map[string]int64) resource.Quantities {
	var q resource.Quantities
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		q = append(q, resource.Quantity{Name: name, Thousandths: amounts[name]})
	}
	return q
}
