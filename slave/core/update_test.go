package core

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
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

// What one executor says in its updates is bounded, so that all others keep their slave's memory and its connection with the master.
func TestAnExecutorWhoseUpdatesAreTooLargeIsKilled(t *testing.T) {
	for name, test := range map[string]struct {
		updates int
		change  func(*mesos.TaskStatus)
		killed  string // empty: it is not
	}{
		"much data":     {1, func(s *mesos.TaskStatus) { s.Data = make([]byte, 15<<20) }, ""},
		"too much data": {1, func(s *mesos.TaskStatus) { s.Data = make([]byte, 16<<20) }, "an update of task t1 has 16777"},
		"much data that waits": {
			18, func(s *mesos.TaskStatus) { s.Data = make([]byte, 15<<20) }, "updates with 283115520 bytes of data wait for acknowledgement: at most 268435456 may",
		},
		"a long message":  {1, func(s *mesos.TaskStatus) { s.Message = proto.String(strings.Repeat("ü", 1<<20)) }, ""},
		"too many labels": {1, func(s *mesos.TaskStatus) { s.Labels = mesos.MakeLabels("k", strings.Repeat("v", 64<<10)) }, "bytes beside its data: at most 65536 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			for _, line := range []string{
				"born", "recovered", "host connects", "master found", "master registers id=S1 cluster=K",
				"run f1/t1 executor=e1", "sandbox f1/e1", "executor subscribes f1/e1",
			} {
				b.command(line)
			}
			var said []string
			for i := range test.updates {
				status := executorStatus("t1", "RUNNING", fmt.Sprintf("u%d", i))
				test.change(status)
				call := &executorpb.Call{
					ExecutorId: mesos.NewExecutorID("e1"), FrameworkId: mesos.NewFrameworkID("f1"), Type: executorpb.Call_UPDATE.Enum(),
					Update: &executorpb.Call_Update{Status: status},
				}
				for _, o := range b.steps(Received{b.sessions["f1/e1"], call}) {
					switch o := o.(type) {
					case Note:
						said = append(said, o.Text)
					case Send:
						if m, ok := o.Message.(*wire.TaskUpdate); ok && len(m.GetLatest().GetMessage()) > MaxMessageBytes+len("…") {
							t.Errorf("a message of %d bytes went to the master", len(m.GetLatest().GetMessage()))
						}
					}
				}
			}
			text := strings.Join(said, "\n")
			if (test.killed == "") != (text == "") || !strings.Contains(text, test.killed) {
				t.Errorf("it says %q, want %q", text, test.killed)
			}
		})
	}
}
