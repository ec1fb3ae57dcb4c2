package api

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/slave/core"
)

// newRegistry returns the figures of one slave and of its process.
func newRegistry(view func() *core.View, more ...prometheus.Collector) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{view}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	r.MustRegister(more...)
	return r
}

// collector turns a View into figures when it is asked to, so that the slave itself does nothing for them.
type collector struct{ view func() *core.View }

// Describe describes nothing: which states there are depends on what runs.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect gives the figures of the present View.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	v := c.view()
	if v == nil {
		return
	}
	gauge := func(name, help string, value float64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("stoa_slave_"+name, help, nil, nil), prometheus.GaugeValue, value)
	}
	counter := func(name, help string, value uint64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("stoa_slave_"+name, help, nil, nil), prometheus.CounterValue, float64(value))
	}
	gauge("registered", "1 while a master has accepted this slave.", one(v.Registered))
	gauge("host_connected", "1 while the host process is there.", one(v.HasHost))
	gauge("frameworks", "Frameworks that have something on this slave.", float64(len(v.Frameworks)))
	gauge("updates_unacknowledged", "Updates of tasks that no scheduler has acknowledged.", float64(v.Updates))
	gauge("sandboxes_waiting", "Sandboxes of ended executors that wait for their removal.", float64(len(v.GC.Sandboxes)))
	counter("tasks_received_total", "Tasks that masters sent.", v.Counters.TasksReceived)
	counter("tasks_launched_total", "Tasks that were delivered to their executors.", v.Counters.TasksLaunched)
	counter("executors_ended_total", "Executors that have ended.", v.Counters.ExecutorsEnded)
	counter("updates_forwarded_total", "Updates sent to masters, repetitions included.", v.Counters.UpdatesForwarded)
	counter("updates_repeated_total", "Updates sent again because nobody acknowledged them.", v.Counters.UpdatesRepeated)
	counter("updates_acknowledged_total", "Updates that schedulers acknowledged.", v.Counters.UpdatesAcknowledged)
	counter("messages_refused_total", "Messages of hosts and executors that were refused.", v.Counters.Refused)
	counter("messages_dropped_total", "Messages of executors for which there was no room on the way to the master.", v.Counters.MessagesDropped)
	c.collectStates(v, out)
	c.collectResources(v, out)
}

func (c *collector) collectStates(v *core.View, out chan<- prometheus.Metric) {
	executors, tasks := map[string]int{}, map[mesos.TaskState]int{}
	for _, f := range v.Frameworks {
		for _, e := range f.Executors {
			executors[e.State]++
		}
		for _, t := range f.Tasks {
			tasks[t.Task.GetState()]++
		}
	}
	executorsDesc := prometheus.NewDesc("stoa_slave_executors", "Executors that are not gone, by state.", []string{"state"}, nil)
	for _, state := range slices.Sorted(maps.Keys(executors)) {
		out <- prometheus.MustNewConstMetric(executorsDesc, prometheus.GaugeValue, float64(executors[state]), state)
	}
	tasksDesc := prometheus.NewDesc("stoa_slave_tasks", "Tasks that are not forgotten, by state.", []string{"state"}, nil)
	for _, state := range slices.Sorted(maps.Keys(tasks)) {
		out <- prometheus.MustNewConstMetric(tasksDesc, prometheus.GaugeValue, float64(tasks[state]), state.String())
	}
	endedDesc := prometheus.NewDesc("stoa_slave_tasks_ended_total", "Tasks that have ended, by state.", []string{"state"}, nil)
	for _, state := range slices.Sorted(maps.Keys(v.Counters.TasksEnded)) {
		out <- prometheus.MustNewConstMetric(endedDesc, prometheus.CounterValue, float64(v.Counters.TasksEnded[state]), state.String())
	}
}

// collectResources gives what the slave offers: mem and disk in MiB.
func (c *collector) collectResources(v *core.View, out chan<- prometheus.Metric) {
	total := map[string]float64{}
	for _, r := range v.Slave.GetResources() {
		if r.GetType() == mesos.Value_SCALAR {
			total[r.GetName()] += r.GetScalar().GetValue()
		}
	}
	desc := prometheus.NewDesc("stoa_slave_resources", "What the slave offers, by name; mem and disk in MiB.", []string{"name"}, nil)
	for _, name := range slices.Sorted(maps.Keys(total)) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, total[name], name)
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
