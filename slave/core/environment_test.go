package core

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

func TestDurationsAreWrittenAsMesosReadsThem(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ns", 1: "1ns", 5 * time.Second: "5secs", 15 * time.Minute: "15mins", time.Hour: "1hrs", 24 * time.Hour: "1days",
		7 * 24 * time.Hour: "1weeks", 1500 * time.Millisecond: "1500ms", 90 * time.Second: "90secs", time.Microsecond: "1us",
	} {
		if got := stoutDuration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}

func TestEnvironmentOfAnExecutor(t *testing.T) {
	launched := func(run string) map[string]string {
		b := newBench(t)
		for _, line := range []string{"born", "recovered", "host connects", "master found", "master registers id=S1 cluster=K", run} {
			b.command(line)
		}
		for _, o := range b.do("sandbox", arguments{t: t, names: []string{"f1/e1"}}) {
			if launch, ok := o.(Launch); ok {
				if launch.Message.GetExecutor().GetFrameworkId().GetValue() != "f1" {
					t.Errorf("the executor's framework id is not filled in: %v", launch.Message.GetExecutor())
				}
				return launch.Message.GetEnvironment()
			}
		}
		t.Fatalf("%s: nothing was launched: %T", run, &wire.LaunchExecutor{})
		return nil
	}
	want := map[string]string{
		"LIBPROCESS_IP":                        "192.0.2.1",
		"LIBPROCESS_PORT":                      "0",
		"MESOS_AGENT_ENDPOINT":                 "192.0.2.1:5051",
		"MESOS_DIRECTORY":                      "/sandboxes/C2",
		"MESOS_EXECUTOR_ID":                    "e1",
		"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5secs",
		"MESOS_FRAMEWORK_ID":                   "f1",
		"MESOS_HTTP_COMMAND_EXECUTOR":          "0",
		"MESOS_SANDBOX":                        "/sandboxes/C2",
		"MESOS_SLAVE_ID":                       "S1",
		"MESOS_SLAVE_PID":                      "slave(1)@192.0.2.1:5051",
	}
	// MESOS_CHECKPOINT=0 would be taken for true by some executors: it is not there at all.
	if diff := cmp.Diff(want, launched("run f1/t1 executor=e1")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	want["MESOS_CHECKPOINT"] = "1"
	want["MESOS_RECOVERY_TIMEOUT"] = "15mins"
	want["MESOS_SUBSCRIPTION_BACKOFF_MAX"] = "2secs"
	want["MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"] = "1mins"
	if diff := cmp.Diff(want, launched("run f1/t1 executor=e1 checkpoint grace=1m")); diff != "" {
		t.Errorf("of a framework that checkpoints (-want +got)\n%s", diff)
	}
}

func TestEndpointsAreWrittenAsOneDialsThem(t *testing.T) {
	for _, c := range []struct{ ip, near, endpoint, forExecutors string }{
		{"192.0.2.1", "", "192.0.2.1:5051", "192.0.2.1:5051"},
		{"2001:db8::1", "", "[2001:db8::1]:5051", "[2001:db8::1]:5051"},
		{"192.0.2.1", "127.0.0.1:7", "192.0.2.1:5051", "127.0.0.1:7"},
	} {
		config := Config{IP: c.ip, Near: c.near, Slave: &mesos.AgentInfo{Port: proto.Int32(5051)}}
		if config.endpoint() != c.endpoint || config.near() != c.forExecutors {
			t.Errorf("%+v: %s and %s", c, config.endpoint(), config.near())
		}
	}
}
