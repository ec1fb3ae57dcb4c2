// Package metrics shows a node's connections to Prometheus: what remote.Peers and remote.Stats tell, asked anew each time.
//
//	PREFIXpeers{role}                              connections
//	PREFIXpeer_…{peer,role,address}                of each connection, as long as there is it
//	PREFIXpeer_info{…,incarnation,last_error}      the rest of it, in labels: always 1
//	PREFIXlinks_ended_total{role,reason}           of the node's actors to those of others: one for each Exited
//	PREFIXhandshakes_closed_total, …               of the node
package metrics

import (
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stoa-project/stoa/actor/remote"
)

// New makes a collector whose names start with prefix, as in "stoa_master_". The node that source gives is asked for each collection.
func New(prefix string, source func() *remote.Remote) prometheus.Collector {
	return &collector{prefix: prefix, source: source}
}

type collector struct {
	prefix string
	source func() *remote.Remote
}

// Describe implements prometheus.Collector. It describes nothing beforehand: which figures there are depends on who is connected.
func (*collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	node := c.source()
	roles := map[string]int{}
	for _, p := range node.Peers() {
		roles[string(p.Role)]++
		c.peer(out, p)
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		c.write(out, prometheus.GaugeValue, "peers", "Connections, by the role of the peer.", float64(roles[role]), []string{"role"}, role)
	}
	for _, n := range node.System().LinksEnded() {
		c.write(out, prometheus.CounterValue, "links_ended_total", "Links of actors here to actors of other nodes that have ended.",
			float64(n.Count), []string{"role", "reason"}, string(n.Role), n.Reason.String())
	}
	stats := node.Stats()
	for _, x := range []struct {
		name, help string
		value      int64
	}{
		{"unknown_types_total", "Messages that came of types that are not known here.", stats.UnknownTypes},
		{"refused_messages_total", "Messages that came and that their sender's role may not send.", stats.RefusedMessages},
		{"handshakes_closed_total", "Unfinished handshakes that were closed to make room for others.", stats.HandshakesClosed},
	} {
		c.write(out, prometheus.CounterValue, x.name, x.help, float64(x.value), nil)
	}
}

func (c *collector) peer(out chan<- prometheus.Metric, p remote.Peer) {
	labels := []string{"peer", "role", "address"}
	values := []string{p.Node, string(p.Role), p.Remote.String()}
	for _, x := range []struct {
		kind       prometheus.ValueType
		name, help string
		value      float64
	}{
		{prometheus.GaugeValue, "peer_since_seconds", "When the connection began, in seconds since 1970.", float64(p.Since.UnixNano()) / 1e9},
		{prometheus.CounterValue, "peer_sent_messages_total", "Messages sent over the connection.", float64(p.SentMessages)},
		{prometheus.CounterValue, "peer_sent_bytes_total", "Bytes sent over the connection.", float64(p.SentBytes)},
		{prometheus.CounterValue, "peer_received_messages_total", "Messages received over the connection.", float64(p.ReceivedMessages)},
		{prometheus.CounterValue, "peer_received_bytes_total", "Bytes received over the connection.", float64(p.ReceivedBytes)},
		{prometheus.GaugeValue, "peer_queued_messages", "Messages that wait to be sent.", float64(p.QueuedMessages)},
		{prometheus.GaugeValue, "peer_queued_bytes", "Bytes that wait to be sent.", float64(p.QueuedBytes)},
		{prometheus.GaugeValue, "peer_round_trip_seconds", "Time of the last heartbeat and its echo; 0 before the first.", p.RoundTrip.Seconds()},
	} {
		c.write(out, x.kind, x.name, x.help, x.value, labels, values...)
	}
	c.write(out, prometheus.GaugeValue, "peer_info", "Always 1: which life of the peer it is, and how the connection before this one ended.", 1,
		append(labels, "incarnation", "last_error"), append(values, strconv.FormatUint(p.Incarnation, 10), p.LastError)...)
}

func (c *collector) write(out chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, value float64, labels []string, values ...string) {
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(c.prefix+name, help, labels, nil), kind, value, values...)
}
