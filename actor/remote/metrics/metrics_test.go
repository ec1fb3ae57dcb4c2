package metrics_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/actor/remote/metrics"
)

func TestEachConnectionHasItsFiguresAndEachRoleItsNumber(t *testing.T) {
	network := remote.NewMemoryNetwork()
	start := func(name string, role actor.Role) (*actor.System, *remote.Remote) {
		sys := actor.NewSystem(actor.SystemOptions{Node: name, Role: role})
		r, err := remote.Start(remote.Options{System: sys, Network: network.Host(name), Advertise: name + ":1"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = sys.Shutdown(context.Background())
			_ = r.Close(context.Background())
		})
		return sys, r
	}
	hub, r := start("hub", "boss")
	if _, err := r.Listen("hub:1"); err != nil {
		t.Fatal(err)
	}
	inHub := actortest.Named(t, hub, "probe")
	for _, name := range []string{"a", "b"} {
		sys, _ := start(name, "worker")
		actortest.NewProbe(t, sys).Send(actor.At("hub:1", "probe"), wrapperspb.String("hello from "+name))
		inHub.Expect(t, wrapperspb.String("hello from "+name))
	}
	last := inHub.Received()[1].From
	for _, gone := range []actor.PID{{Node: last.Node, Incarnation: last.Incarnation, Name: "nobody"}, actor.At("nowhere:1", "x")} {
		inHub.Link(gone)
		actortest.Await[actor.Exited](t, inHub)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.New("test_", func() *remote.Remote { return r }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			got[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"test_peers{role=worker}": 2,
		"test_peer_received_messages_total{address=a,peer=a,role=worker}": 1,
		"test_peer_received_messages_total{address=b,peer=b,role=worker}": 1,
		"test_peer_sent_messages_total{address=a,peer=a,role=worker}":     0,
		"test_links_ended_total{reason=no such actor,role=worker}":        1,
		"test_links_ended_total{reason=unreachable,role=}":                1,
		"test_refused_messages_total{}":                                   0,
		"test_handshakes_closed_total{}":                                  0,
	} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s is %v (there: %v), expected %v; there is\n%v", name, value, there, want, got)
		}
	}
	info := "test_peer_info{address=b,incarnation=" + strconv.FormatUint(last.Incarnation, 10) + ",last_error=,peer=b,role=worker}"
	if got[info] != 1 {
		t.Errorf("there is no %s; there is\n%v", info, got)
	}
	if got["test_peer_received_bytes_total{address=a,peer=a,role=worker}"] == 0 || got["test_peer_since_seconds{address=a,peer=a,role=worker}"] == 0 {
		t.Errorf("figures are missing: %v", got)
	}
}
