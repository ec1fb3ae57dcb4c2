package api

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// collector makes metrics of what the master publishes, each time it is asked.
type collector struct{ options Options }

// Describe implements prometheus.Collector. It describes nothing beforehand: which metrics there are depends on what the
// master has.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	m := metrics{out}
	if s, ok := c.options.Published.Snapshot(); ok {
		m.counts(s)
		m.states(s)
		m.resources(s)
	}
	m.steps(c.options.Published)
	m.counter("calls_delayed_total", "How often calls waited because their scheduler calls more often than it may.", float64(c.options.Published.Delayed()))
	if c.options.Stats != nil {
		stats := c.options.Stats()
		m.gauge("actors", "Actors that live on the master's node.", float64(stats.Actors))
		m.counter("actor_panics_total", "Actors that died of a panic.", float64(stats.Panics))
		m.counter("dead_letters_total", "Messages that could not be delivered.", float64(stats.DeadLetters))
		m.gauge("mailbox_high_water", "The most messages that ever waited for one actor.", float64(stats.MailboxHighWater))
	}
}

// metrics writes metrics out.
type metrics struct{ out chan<- prometheus.Metric }

const prefix = "stoa_master_"

func (m metrics) write(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	m.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(prefix+name, help, names, nil), kind, value, values...)
}

func (m metrics) gauge(name, help string, value float64, labels ...string) {
	m.write(prometheus.GaugeValue, name, help, value, labels...)
}

func (m metrics) counter(name, help string, value float64, labels ...string) {
	m.write(prometheus.CounterValue, name, help, value, labels...)
}

func (m metrics) counts(s core.Snapshot) {
	const slaves, frameworks = "Slaves that have registered, by state.", "Frameworks, by state."
	m.gauge("slaves", slaves, float64(s.SlavesConnected), "state", "connected")
	m.gauge("slaves", slaves, float64(s.SlavesDisconnected), "state", "disconnected")
	m.gauge("frameworks", frameworks, float64(s.FrameworksConnected), "state", "connected")
	m.gauge("frameworks", frameworks, float64(s.FrameworksDisconnected), "state", "disconnected")
	m.gauge("frameworks", frameworks, float64(s.FrameworksCompleted), "state", "completed")
	m.gauge("offers", "Offers that are open.", float64(s.OffersOpen))
	m.gauge("uptime_seconds", "Time since the master was born.", s.Now.Sub(s.Birth).Seconds())
	for _, x := range []struct {
		name, help string
		value      uint64
	}{
		{"events_total", "Events that the master has handled.", s.Events},
		{"calls_total", "Calls of schedulers.", s.Calls},
		{"offers_made_total", "Offers that were made.", s.Offers},
		{"offers_rescinded_total", "Offers that were taken back.", s.Rescinds},
		{"offers_declined_total", "Offers that were declined.", s.Declines},
		{"offers_accepted_total", "Accepting calls.", s.Accepts},
		{"tasks_launched_total", "Tasks that were launched.", s.Launches},
		{"tasks_invalid_total", "Tasks that could not be launched as they were.", s.InvalidTasks},
		{"launches_dropped_total", "Tasks for which there was no room on the way to their slave.", s.LaunchesDropped},
		{"messages_dropped_total", "Messages of schedulers for which there was no room on the way to their slave.", s.MessagesDropped},
		{"tasks_lost_total", "Tasks that were lost with their slave, or are unreachable.", s.Lost},
		{"kills_total", "Tasks that were told to end.", s.Kills},
		{"updates_total", "Updates that slaves forwarded.", s.Updates},
		{"acknowledgements_total", "Acknowledgements of schedulers.", s.Acknowledgements},
		{"reconciliations_total", "Reconciliations that schedulers asked for.", s.Reconciliations},
		{"slave_registrations_total", "Slaves that registered for the first time.", s.SlaveRegistrations},
		{"slave_reregistrations_total", "Slaves that came back.", s.SlaveReregistrations},
		{"slaves_unreachable_total", "Slaves that became unreachable.", s.SlavesUnreachable},
		{"slaves_removed_total", "Slaves that were removed.", s.SlavesRemoved},
	} {
		m.counter(x.name, x.help, float64(x.value))
	}
}

func (m metrics) states(s core.Snapshot) {
	for number, count := range s.TaskStates {
		state := mesos.TaskState(number)
		label := strings.ToLower(strings.TrimPrefix(state.String(), "TASK_"))
		if mesos.IsTerminal(state) {
			m.counter("tasks_ended_total", "Tasks that ended, by state.", float64(s.Ended[number]), "state", label)
		} else {
			m.gauge("tasks", "Tasks that have not ended, by state.", float64(count), "state", label)
		}
	}
}

func (m metrics) resources(s core.Snapshot) {
	for _, part := range []struct {
		name       string
		quantities resource.Quantities
	}{{"total", s.Total}, {"used", s.Used}, {"offered", s.Offered}} {
		for _, q := range part.quantities {
			m.gauge("resources_"+part.name, "Scalar resources of all slaves.", resource.Float(q.Thousandths), "name", q.Name)
		}
	}
}

func (m metrics) steps(p *master.Published) {
	cumulative, count, sum := p.Steps()
	buckets := make(map[float64]uint64, len(cumulative))
	for i, n := range cumulative {
		buckets[master.StepBounds[i].Seconds()] = n
	}
	desc := prometheus.NewDesc(prefix+"step_seconds", "Time that the master takes for one event.", nil, nil)
	m.out <- prometheus.MustNewConstHistogram(desc, count, sum.Seconds(), buckets)
}
