package integration_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/master/recording"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/maintenancepb"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/quotapb"
	"github.com/stoa-project/stoa/proto/resource"
)

// The recording of a busy hour happens again to the byte: 500 tasks, slaves that are lost and come back, a scheduler that fails
// over, quota, weights, operations on resources, maintenance and a drained slave.
func TestTheRecordingOfABusyClusterHappensAgain(t *testing.T) {
	var record bytes.Buffer
	inFakeTime(t, func(t *testing.T, c *integration.Cluster) {
		operator := func(call *masterpb.Call) {
			t.Helper()
			if _, err := c.Client().Call(t.Context(), call); err != nil {
				t.Fatalf("%v: %v", call.GetType(), err)
			}
		}
		slaves := c.Ask(masterpb.Call_GET_AGENTS).GetGetAgents().GetAgents()
		idOf := map[string]*mesos.AgentID{}
		for _, a := range slaves {
			idOf[a.GetAgentInfo().GetHostname()] = a.GetAgentInfo().GetId()
		}
		amount := func(cpus float64) map[string]*mesos.Value_Scalar {
			return map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(cpus)}}
		}
		operator(&masterpb.Call{Type: masterpb.Call_UPDATE_QUOTA.Enum(), UpdateQuota: &masterpb.Call_UpdateQuota{QuotaConfigs: []*quotapb.QuotaConfig{
			{Role: proto.String("web"), Limits: amount(20), Guarantees: amount(4)},
		}}})
		disk := resource.MustParse("disk:100").Reserve(resource.Reservation{Role: "db"})
		operator(&masterpb.Call{Type: masterpb.Call_RESERVE_RESOURCES.Enum(), ReserveResources: &masterpb.Call_ReserveResources{
			AgentId: idOf["slave1"], Resources: disk.ToProto(),
		}})
		operator(&masterpb.Call{Type: masterpb.Call_CREATE_VOLUMES.Enum(), CreateVolumes: &masterpb.Call_CreateVolumes{
			AgentId: idOf["slave1"], Volumes: resource.NewVolume(disk, "data", "", "data", false).ToProto(),
		}})
		lasting := func(o *scheduler.Options) { o.FailoverTimeout, o.Checkpoint = time.Hour, true }
		web := subscribe(t, c, "web", lasting, inRole("web"))
		batch := subscribe(t, c, "batch", lasting)
		load := func(f *framework, n int) (tasks []scheduler.Task) {
			for i := range n {
				tasks = append(tasks, task(fmt.Sprintf("%s%03d", f.id, i), "sleep", fmt.Sprintf("%ds", 2+i%5)))
				tasks[i].CPUs = 0.5
			}
			return tasks
		}
		web.launch(load(web, 100)...)
		batch.launch(load(batch, 300)...)
		time.Sleep(5 * time.Second) // of fake time: much is under way
		c.Kill("slave2")
		operator(&masterpb.Call{Type: masterpb.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: &masterpb.Call_UpdateWeights{WeightInfos: []*mesos.WeightInfo{
			{Role: proto.String("web"), Weight: proto.Float64(3)},
		}}})
		web.dies()
		time.Sleep(2 * time.Second)
		again := subscribe(t, c, "web", lasting, inRole("web"), func(o *scheduler.Options) { o.FrameworkID = web.id })
		again.launch(load(&framework{id: "again"}, 200)...)
		c.Partition("master", "slave3")
		operator(&masterpb.Call{Type: masterpb.Call_UPDATE_MAINTENANCE_SCHEDULE.Enum(), UpdateMaintenanceSchedule: &masterpb.Call_UpdateMaintenanceSchedule{
			Schedule: &maintenancepb.Schedule{Windows: []*maintenancepb.Window{{
				MachineIds:     []*mesos.MachineID{{Hostname: proto.String("slave4")}},
				Unavailability: &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: proto.Int64(time.Now().Add(time.Hour).UnixNano())}},
			}}},
		}})
		time.Sleep(2 * time.Minute) // slave3 has become unreachable
		c.Heal("master", "slave3")
		c.Restart("slave2")
		operator(&masterpb.Call{Type: masterpb.Call_DRAIN_AGENT.Enum(), DrainAgent: &masterpb.Call_DrainAgent{AgentId: idOf["slave5"]}})
		time.Sleep(time.Minute)
		if tasks := c.Ask(masterpb.Call_GET_TASKS).GetGetTasks(); len(tasks.GetTasks()) > 0 || len(tasks.GetCompletedTasks()) < 500 {
			t.Fatalf("%d tasks run and %d have ended, want all of 500", len(tasks.GetTasks()), len(tasks.GetCompletedTasks()))
		}
		operator(&masterpb.Call{Type: masterpb.Call_TEARDOWN.Enum(), Teardown: &masterpb.Call_Teardown{FrameworkId: mesos.NewFrameworkID(batch.id)}})
	}, integration.Slaves(6), integration.Resources("cpus:8;mem:4096;disk:1000"), integration.MasterConfig(func(m *master.Config) { m.Record = &record }))

	seen := map[string]int{}
	steps, err := replay(record.Bytes(), func(_ int, step recording.Step, outputs []core.Output) {
		seen[fmt.Sprintf("%T", step.Event)]++
		seen["outputs"] += len(outputs)
	})
	if err != nil || seen["outputs"] < 3000 || seen["core.SessionClosed"] < 3 || seen["core.Persisted"] < 12 || seen["core.Asked"] < 8 {
		t.Errorf("%d events with %v: %v", steps, seen, err)
	}
	// One letter of one message is enough to be no longer what was recorded.
	damaged := bytes.Replace(record.Bytes(), []byte("sleep"), []byte("slees"), 1)
	if _, err := replay(damaged, func(int, recording.Step, []core.Output) {}); err == nil || !strings.Contains(err.Error(), "they are damaged") {
		t.Errorf("another command leads to %v, want it to be found damaged", err)
	}
}

func replay(text []byte, after func(int, recording.Step, []core.Output)) (int, error) {
	r, err := recording.NewReader(bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	return recording.Replay(r, func(int, recording.Step) {}, after)
}
