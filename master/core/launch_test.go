package core

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// The resources of launches below, in the text form of protobuf.
const (
	oneCPU   = `resources { name: "cpus" type: SCALAR scalar { value: 1 } } `
	someMem  = `resources { name: "mem" type: SCALAR scalar { value: 64 } } `
	command  = `command { value: "true" } `
	enough   = oneCPU + someMem + command
	volumeV1 = `name: "disk" type: SCALAR scalar { value: 100 } reservations { type: DYNAMIC role: "web" } disk { persistence { id: "v1" } volume { mode: RW container_path: "data" } } `
)

// launchRules has for each rule of a launch a task that breaks it alone, and what is said. The task's id and slave are filled
// in where they are missing.
var launchRules = []struct{ name, task, want string }{
	{"enough is allowed", enough, ""},
	{"an id must be the name of a folder", `task_id { value: "a/b" } ` + enough, `task id "a/b" has '/' at byte 1`},
	{"an id must be there", `task_id { value: "" } ` + enough, "task id is empty"},
	{"an id is used once", `task_id { value: "running" } ` + enough, "task has duplicate id running: one with this id is TASK_STAGING"},
	{"the slave is the offer's", `agent_id { value: "S9" } ` + enough, "task t is for slave S9, the offer is of slave M-S0"},
	{"the slave must be named", `agent_id { value: "" } ` + enough, "agent id is empty"},
	{"some resources must be used", command, "task t uses no resources"},
	{"none but zero is none", `resources { name: "cpus" type: SCALAR scalar { value: 0 } } ` + command, "task t uses no resources"},
	{"no more than there is", `resources { name: "cpus" type: SCALAR scalar { value: 64 } } ` + command, "task t uses more resources cpus:64 than available"},
	{"not what is reserved for another", `resources { name: "cpus" type: SCALAR scalar { value: 1 } role: "ads" } ` + command, "uses more resources cpus(ads):1 than available"},
	{"an amount must not be negative", `resources { name: "cpus" type: SCALAR scalar { value: -1 } } ` + command, `resource "cpus": its amount is -1`},
	{"an amount must be a number", `resources { name: "cpus" type: SCALAR scalar { value: nan } } ` + command, `its amount is NaN`},
	{"gpus are whole", `resources { name: "gpus" type: SCALAR scalar { value: 0.5 } } ` + command, "only whole gpus can be used"},
	{"the value is that of the type", `resources { name: "cpus" type: RANGES scalar { value: 1 } } ` + command, "its type is RANGES"},
	{"all is allocated to the offer's role", `resources { name: "cpus" type: SCALAR scalar { value: 1 } allocation_info { role: "ads" } } ` + command, `allocated to role "ads", the offer is for role "web"`},
	{"all is allocated to one role", `resources { name: "cpus" type: SCALAR scalar { value: 1 } allocation_info { role: "ads" } } ` + enough, "allocated to two roles"},
	{"revocable resources stand alone", `resources { name: "cpus" type: SCALAR scalar { value: 1 } revocable {} } ` + enough, "its cpus are revocable in part"},
	{"a command or an executor", oneCPU, "it has neither a command nor an executor"},
	{"a command or an executor, not both", enough + `executor { executor_id { value: "e" } command { value: "e" } }`, "both a command and an executor"},
	{"a shell needs a line", oneCPU + `command { value: "" }`, "command.value is empty"},
	{"no zero bytes in commands", oneCPU + `command { value: "a\000b" }`, "contains a zero byte"},
	{"a URI must be somewhere", oneCPU + `command { value: "true" uris { value: "" } }`, "command.uris has an empty value"},
	{"a file is fetched into the sandbox", oneCPU + `command { value: "true" uris { value: "http://x/y" output_file: "../y" } }`, "leads out of the sandbox"},
	{"variables have names", oneCPU + `command { value: "true" environment { variables { name: "a=b" value: "c" } } }`, `environment variable name "a=b"`},
	{"a variable has a value or a secret", oneCPU + `command { value: "true" environment { variables { name: "a" } } }`, `environment variable "a" has no value`},
	{"a DOCKER container says its image", enough + `container { type: DOCKER }`, "container.docker is missing"},
	{"a volume has a path", enough + `container { type: MESOS volumes { mode: RW container_path: "" host_path: "/x" } }`, "container_path"},
	{"a volume stays in its place", enough + `container { type: MESOS volumes { mode: RW container_path: "a/../../b" host_path: "/x" } }`, `".." in it`},
	{"a kill's grace is not negative", enough + `kill_policy { grace_period { nanoseconds: -1 } }`, "kill_policy.grace_period is -1 ns"},
	{"a time to complete is not negative", enough + `max_completion_time { nanoseconds: -1 }`, "max_completion_time is -1 ns"},
	{"limits are of cpus and mem", enough + `limits { key: "disk" value { value: 1 } }`, `limits has "disk"`},
	{"a limit is not below what is asked for", enough + `limits { key: "cpus" value { value: 0.5 } }`, `limits of "cpus" is 0.5: it must be at least`},
	{"a check has a type", enough + `check { }`, "check.type is UNKNOWN: allowed are COMMAND, HTTP and TCP"},
	{"a check has what its type needs", enough + `check { type: HTTP }`, "check.type is HTTP: exactly the member http must be set"},
	{"a check has nothing else", enough + `check { type: TCP tcp { port: 80 } http { port: 80 } }`, "exactly the member tcp must be set"},
	{"a check's command can be run", enough + `check { type: COMMAND command { command { value: "" } } }`, "check: command.value is empty"},
	{"a check's path begins with a slash", enough + `check { type: HTTP http { port: 80 path: "x" } }`, `check has path "x"`},
	{"a check's port is one", enough + `check { type: TCP tcp { port: 70000 } }`, "check has port 70000: allowed are 1 to 65535"},
	{"a check's delay is not negative", enough + `check { type: TCP tcp { port: 80 } delay_seconds: -1 }`, "check.delay_seconds is -1"},
	{"a health check has a type", enough + `health_check { }`, "health_check.type is UNKNOWN"},
	{"a health check's scheme is http or https", enough + `health_check { type: HTTP http { port: 80 scheme: "ftp" } }`, `health_check has scheme "ftp"`},
	{"a health check's grace is not negative", enough + `health_check { type: TCP tcp { port: 80 } grace_period_seconds: -1 }`, "health_check.grace_period_seconds is -1"},

	{"an executor's id must be the name of a folder", oneCPU + `executor { executor_id { value: ".." } command { value: "e" } }`, `executor id ".."`},
	{"an executor has a command", oneCPU + `executor { executor_id { value: "e" } }`, `executor "e": it has no command`},
	{"the built-in executor has none", oneCPU + `executor { executor_id { value: "e" } type: DEFAULT command { value: "e" } }`, "its type is DEFAULT and it has a command"},
	{"the built-in executor runs in a MESOS container", oneCPU + `executor { executor_id { value: "e" } type: DEFAULT container { type: DOCKER docker { image: "x" } } }`, "its type is DEFAULT and its container's DOCKER"},
	{"an executor has not the id of a task with a command", oneCPU + `executor { executor_id { value: "running" } command { value: "e" } }`, "executor running has the id of a task with a command"},
	{"a task with a command has not the id of an executor", `task_id { value: "runs" } ` + enough, "task runs has a command, and slave M-S0 has an executor of this id"},
	{"the built-in executor runs groups", oneCPU + `executor { executor_id { value: "e" } type: DEFAULT }`, "executor e is of type DEFAULT: one that LAUNCH starts must be CUSTOM"},
	{"a framework's own executor may say so", oneCPU + `executor { executor_id { value: "e" } type: CUSTOM command { value: "e" } }`, ""},
	{"an executor's type is known", oneCPU + `executor { executor_id { value: "e" } type: UNKNOWN command { value: "e" } }`, "executor e is of type UNKNOWN"},
	{"an executor's grace is not negative", oneCPU + `executor { executor_id { value: "e" } command { value: "e" } shutdown_grace_period { nanoseconds: -1 } }`, "shutdown_grace_period is -1 ns"},
	{"an executor is the framework's own", oneCPU + `executor { executor_id { value: "e" } command { value: "e" } framework_id { value: "F9" } }`, "executor e has framework id F9, the framework's is M-0000"},
	{"an executor's resources are the offer's too", oneCPU + `executor { executor_id { value: "e" } command { value: "e" } resources { name: "cpus" type: SCALAR scalar { value: 3.5 } } }`, "task t and its executor use more resources cpus:4.5 than available"},
	{"an executor's resources are for the offer's role", oneCPU + `executor { executor_id { value: "e" } command { value: "e" } resources { name: "cpus" type: SCALAR scalar { value: 1 } allocation_info { role: "ads" } } }`, `executor e: resources are allocated to role "ads"`},
	{"an executor is the one that runs", oneCPU + `executor { executor_id { value: "runs" } command { value: "another" } }`, "executor runs differs in command from the one of this id that runs on slave M-S0"},
	{"an executor's resources are those of the one that runs", oneCPU + `executor { executor_id { value: "runs" } command { value: "e" } resources { name: "cpus" type: SCALAR scalar { value: 1 } } }`, "executor runs differs in resources"},
	{"the same executor is shared", oneCPU + `executor { executor_id { value: "runs" } command { value: "e" } }`, ""},

	{"a persistent volume is allowed", enough + `resources { ` + volumeV1 + `}`, ""},
	{"a persistent volume is used once", enough + `resources { ` + volumeV1 + `} resources { ` + volumeV1 + `}`, `persistent volume "v1" is used twice`},
	{"by the task or its executor", oneCPU + `resources { ` + volumeV1 + `} executor { executor_id { value: "e" } command { value: "e" } resources { ` + volumeV1 + `} }`, `persistent volume "v1" is used twice`},
	{"a persistent volume that is not there is more", enough + `resources { ` + strings.ReplaceAll(volumeV1, "v1", "v2") + `}`, "uses more resources"},
	{"a persistent volume is used as a whole", enough + `resources { ` + strings.ReplaceAll(volumeV1, "100", "50") + `}`, "uses more resources"},
	{"a persistent volume is seen somewhere", enough + `resources { ` + strings.ReplaceAll(volumeV1, `"data"`, `""`) + `}`, `persistent volume "v1" has no container_path`},
	{"a persistent volume is where the slave says", enough + `resources { ` + strings.ReplaceAll(volumeV1, `"data"`, `"data" host_path: "/etc"`) + `}`, `persistent volume "v1" has a host_path`},
	{"other volumes are no resources", enough + `resources { name: "disk" type: SCALAR scalar { value: 1 } disk { volume { mode: RW container_path: "x" } } }`, "a volume that is not persistent"},
}

// TestEachRuleOfALaunchHasItsMessage launches each task alone, on a new cluster whose slave has an executor, a task and a
// persistent volume. Whatever is not valid ends in TASK_ERROR with REASON_TASK_INVALID, and takes nothing.
func TestEachRuleOfALaunchHasItsMessage(t *testing.T) {
	for _, rule := range launchRules {
		t.Run(rule.name, func(t *testing.T) {
			s, f := launchGround(t)
			task := &mesos.TaskInfo{}
			if err := (prototext.UnmarshalOptions{AllowPartial: true}).Unmarshal([]byte(rule.task), task); err != nil {
				t.Fatal(err)
			}
			if task.TaskId == nil {
				task.TaskId = mesos.NewTaskID("t")
			}
			if task.AgentId == nil {
				task.AgentId = mesos.NewAgentID("M-S0")
			}
			task.Name = proto.String("t")
			free := s.core.allocator.Total("M-S0")
			for _, h := range s.core.allocator.Holdings("M-S0") {
				free, _ = free.Sub(h.Used)
			}
			var offers []*mesos.OfferID
			for _, o := range sortedOffers(s.core.offers) {
				offers = append(offers, o.message.Id)
			}
			call := s.callOf(f, schedulerpb.Call_ACCEPT)
			call.Accept = &schedulerpb.Call_Accept{OfferIds: offers, Operations: []*mesos.Offer_Operation{{
				Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}},
			}}}
			ran, status := s.launches(f, call)
			if rule.want == "" {
				if !ran || status != nil {
					t.Fatalf("it did not run: %v", status)
				}
				return
			}
			if ran || status == nil {
				t.Fatalf("it ran: %v, and its scheduler heard %v", ran, status)
			}
			if status.GetState() != mesos.TaskState_TASK_ERROR || status.GetReason() != mesos.TaskStatus_REASON_TASK_INVALID || !strings.Contains(status.GetMessage(), rule.want) {
				t.Errorf("it is %v, %v, %q; want TASK_ERROR, REASON_TASK_INVALID, and %q in it", status.GetState(), status.GetReason(), status.GetMessage(), rule.want)
			}
			left := resource.Resources{}
			for _, h := range s.core.allocator.Holdings("M-S0") {
				left = left.Add(h.Offered)
			}
			if left = left.Add(s.core.allocator.Free("M-S0")); !left.Equal(free) {
				t.Errorf("%v is not in use, it was %v", left, free)
			}
		})
	}
}

// What does not fit into a message would end the session of the slave.
func TestATaskFitsIntoAMessage(t *testing.T) {
	for bytes, want := range map[int]string{
		MaxTaskBytes - 1000: "",
		MaxTaskBytes:        "task t and its framework's info have 62914",
	} {
		s, f := launchGround(t)
		task := &mesos.TaskInfo{}
		if err := prototext.Unmarshal([]byte(`name: "t" task_id { value: "t" } agent_id { value: "M-S0" } `+enough), task); err != nil {
			t.Fatal(err)
		}
		task.Data = make([]byte, bytes)
		call := s.callOf(f, schedulerpb.Call_ACCEPT)
		call.Accept = &schedulerpb.Call_Accept{Operations: []*mesos.Offer_Operation{{
			Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{task}},
		}}}
		for _, o := range sortedOffers(s.core.offers) {
			call.Accept.OfferIds = append(call.Accept.OfferIds, o.message.Id)
		}
		if ran, status := s.launches(f, call); ran != (want == "") || !strings.Contains(status.GetMessage(), want) {
			t.Errorf("with %d bytes it ran: %v, %q; want %q", bytes, ran, status.GetMessage(), want)
		}
	}
}

// launchGround is a cluster for launches: slave s1, and framework f1 that is offered all that is left of it.
func launchGround(t *testing.T) (*script, *scriptPeer) {
	s := newScript(t)
	for _, line := range []string{
		"register s1 cpus:8;mem:4096;disk:1000;ports:[1-9]",
		"subscribe f1 roles=web can=multi,refined",
		"accept f1 O0 refuse=0s reserve disk:100 for:web create disk:100 for:web volume:v1:data launch running cpus:2;mem:64 launch other cpus:2;mem:64 executor:runs:",
		"tick 2s",
	} {
		s.line = line
		s.run(strings.Fields(line))
	}
	f := s.peer("f1")
	// The executor as its tasks name it.
	for _, e := range s.core.slaves["M-S0"].executors {
		e.info = proto.CloneOf(e.info)
		e.info.Command = &mesos.CommandInfo{Value: proto.String("e")}
	}
	return s, f
}

// launches feeds a call and returns whether a task was sent to its slave, and the status that its scheduler heard of it.
func (s *script) launches(f *scriptPeer, call *schedulerpb.Call) (ran bool, status *mesos.TaskStatus) {
	outputs := s.core.Step(s.now.Add(time.Millisecond), Received{f.session, call})
	for len(outputs) > 0 {
		o := outputs[0]
		outputs = outputs[1:]
		if send, ok := o.(Send); ok {
			switch m := send.Message.(type) {
			case *wire.RunTask:
				ran = true
			case *wire.Mark:
				outputs = append(outputs, s.core.Step(s.now.Add(time.Millisecond), Received{send.Session, &wire.Marked{Number: m.GetNumber()}})...)
			case *schedulerpb.Event:
				if m.GetType() == schedulerpb.Event_UPDATE {
					status = m.GetUpdate().GetStatus()
				}
			}
		}
	}
	if err := s.core.Check(); err != nil {
		s.fatal("%v", err)
	}
	return ran, status
}
