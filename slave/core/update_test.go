package core

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

func TestAnUpdateIsCompletedByTheSlave(t *testing.T) {
	b := newBench(t)
	for _, line := range []string{
		"born", "recovered", "host connects", "master found", "master registers id=S1 cluster=K",
		"run f1/t1 executor=e1", "sandbox f1/e1", "host started f1/e1 pid=41", "executor subscribes f1/e1",
	} {
		b.command(line)
	}
	update := arguments{t: t, names: []string{"updates", "f1/e1", "t1", "RUNNING", "u1"}, args: map[string]string{"data": "secret"}}
	var got *wire.TaskUpdate
	for _, o := range b.do("executor", update) {
		if send, ok := o.(Send); ok {
			if m, ok := send.Message.(*wire.TaskUpdate); ok {
				got = m
			}
		}
	}
	want := executorStatus("t1", "RUNNING", "u1")
	want.AgentId = mesos.NewAgentID("S1")
	want.ExecutorId = mesos.NewExecutorID("e1")
	want.Timestamp = proto.Float64(1_000_000_000)
	want.ContainerStatus = &mesos.ContainerStatus{
		ContainerId:  mesos.NewContainerID(b.container("f1/e1")),
		ExecutorPid:  proto.Uint32(41),
		NetworkInfos: []*mesos.NetworkInfo{{IpAddresses: []*mesos.NetworkInfo_IPAddress{{IpAddress: proto.String("192.0.2.1")}}}},
	}
	latest := proto.Clone(want).(*mesos.TaskStatus)
	want.Data = []byte("secret")
	full := &wire.TaskUpdate{FrameworkId: mesos.NewFrameworkID("f1"), Status: want, Latest: latest}
	if diff := cmp.Diff(full, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// An executor that never stops is killed, once, whatever it says until it is gone.
func TestAnExecutorWithTooManyUpdatesIsKilledOnce(t *testing.T) {
	b := newBench(t)
	for _, line := range []string{
		"born", "recovered", "host connects", "master found", "master registers id=S1 cluster=K",
		"run f1/t1 executor=e1", "sandbox f1/e1", "executor subscribes f1/e1",
	} {
		b.command(line)
	}
	kills, notes := 0, 0
	for i := range MaxUnacknowledgedUpdates + 3 {
		for _, line := range b.command(fmt.Sprintf("executor updates f1/e1 t1 RUNNING u%d", i)) {
			if strings.Contains(line, "KillExecutor") {
				kills++
			}
			if strings.Contains(line, "is killed: 4096 updates of task t1 wait for acknowledgement") {
				notes++
			}
		}
	}
	if kills != 1 || notes != 1 {
		t.Errorf("it was killed %d times, and %d lines say so", kills, notes)
	}
}
