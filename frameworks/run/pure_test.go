package run

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

func TestWhatTheEndOfATaskMeans(t *testing.T) {
	for name, c := range map[string]struct {
		state  mesos.TaskState
		reason *mesos.TaskStatus_Reason
		labels []string
		code   int
		word   string
	}{
		"success":                      {mesos.TaskState_TASK_FINISHED, nil, []string{mesos.LabelExitStatus, "0"}, 0, ReasonFinished},
		"output that was lost":         {mesos.TaskState_TASK_FINISHED, nil, []string{mesos.LabelExitStatus, "0", mesos.LabelOutputLostBytes, "7"}, ExitFailed, ReasonOutputLost},
		"an executor without labels":   {mesos.TaskState_TASK_FINISHED, nil, nil, 0, ReasonFinished},
		"a status":                     {mesos.TaskState_TASK_FAILED, nil, []string{mesos.LabelExitStatus, "42", mesos.LabelCause, mesos.CauseExited}, 42, ReasonExited},
		"a signal":                     {mesos.TaskState_TASK_FAILED, nil, []string{mesos.LabelSignal, "11", mesos.LabelCause, mesos.CauseSignal}, 139, ReasonSignaled},
		"not found":                    {mesos.TaskState_TASK_FAILED, mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED.Enum(), []string{mesos.LabelCause, mesos.CauseNotFound}, 127, ReasonNotFound},
		"not executable":               {mesos.TaskState_TASK_FAILED, mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED.Enum(), []string{mesos.LabelCause, mesos.CauseNotExecutable}, 126, ReasonNotExecutable},
		"a container that can't be":    {mesos.TaskState_TASK_FAILED, mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED.Enum(), nil, 125, ReasonLaunchFailed},
		"the same, with a label":       {mesos.TaskState_TASK_FAILED, nil, []string{mesos.LabelCause, mesos.CauseLaunchFailed}, 125, ReasonLaunchFailed},
		"out of processes":             {mesos.TaskState_TASK_FAILED, nil, []string{mesos.LabelExitStatus, "2", mesos.LabelCause, mesos.CausePIDs}, 2, ReasonPIDs},
		"out of memory":                {mesos.TaskState_TASK_FAILED, nil, []string{mesos.LabelCause, mesos.CauseMemory}, 137, ReasonMemory},
		"the same, of a child":         {mesos.TaskState_TASK_FAILED, nil, []string{mesos.LabelExitStatus, "4", mesos.LabelCause, mesos.CauseMemory}, 4, ReasonMemory},
		"out of disk":                  {mesos.TaskState_TASK_FAILED, nil, []string{mesos.LabelCause, mesos.CauseDisk}, 137, ReasonDisk},
		"not fetched":                  {mesos.TaskState_TASK_FAILED, mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED.Enum(), []string{mesos.LabelCause, mesos.CauseFetchFailed}, 125, ReasonFetchFailed},
		"killed by an operator":        {mesos.TaskState_TASK_KILLED, nil, []string{mesos.LabelSignal, "9", mesos.LabelCause, mesos.CauseKilled}, 137, ReasonKilled},
		"killed before it ran":         {mesos.TaskState_TASK_KILLED, nil, nil, 143, ReasonKilled},
		"killed, and it exited with 0": {mesos.TaskState_TASK_KILLED, nil, []string{mesos.LabelExitStatus, "0"}, 143, ReasonKilled},
		"not accepted":                 {mesos.TaskState_TASK_ERROR, nil, nil, 125, ReasonInvalid},
		"the host is lost":             {mesos.TaskState_TASK_FAILED, nil, []string{mesos.LabelCause, mesos.CauseHostLost}, 125, ReasonLost},
		"the executor is lost":         {mesos.TaskState_TASK_FAILED, mesos.TaskStatus_REASON_EXECUTOR_TERMINATED.Enum(), nil, 125, ReasonFailed},
		"the slave is lost":            {mesos.TaskState_TASK_LOST, nil, nil, 125, ReasonLost},
		"the slave is gone":            {mesos.TaskState_TASK_GONE, nil, nil, 125, ReasonLost},
		"dropped":                      {mesos.TaskState_TASK_DROPPED, nil, nil, 125, ReasonLost},
		"unreachable":                  {mesos.TaskState_TASK_UNREACHABLE, nil, nil, 125, ReasonLost},
	} {
		t.Run(name, func(t *testing.T) {
			i := Instance{State: c.state.String()}
			i.outcome(withLabels(&mesos.TaskStatus{State: c.state.Enum(), Reason: c.reason}, c.labels...))
			if i.ExitCode != c.code || i.Reason != c.word {
				t.Errorf("exit code %d, %s; want %d, %s", i.ExitCode, i.Reason, c.code, c.word)
			}
			if want := mesos.LabelMap(mesos.MakeLabels(c.labels...)); !maps.Equal(i.Labels, want) {
				t.Errorf("labels %v, want %v", i.Labels, want)
			}
			if (i.Message == "") != (c.code == 0) {
				t.Errorf("message %q with exit code %d", i.Message, c.code)
			}
		})
	}
}

func TestWhyInstancesWait(t *testing.T) {
	slave := func(host, reason string) *wire.Explanation_Slave {
		return &wire.Explanation_Slave{SlaveId: mesos.NewAgentID("id-" + host), Hostname: host, Reason: reason}
	}
	answer := &wire.Explanation{Waiting: []*wire.Explanation_Waiting{
		{Role: "db", Slaves: []*wire.Explanation_Slave{slave("z", "another role's")}},
		{
			Role: "web", Share: 0.61, FairShare: 0.33, Reasons: []string{"quota: role \"web\" has 4 of its limit of 4 cpus"}, OtherSlaves: 7,
			Slaves: []*wire.Explanation_Slave{slave("a", "in use"), slave("b", "too small"), slave("c", "too small"), slave("d", "too small"), slave("e", "too small")},
		},
	}}
	want := ":\n  quota: role \"web\" has 4 of its limit of 4 cpus\n  role \"web\" has more than others: share 0.61 against fair 0.33" +
		"\n  4 slaves (b, c, d, …): too small\n  a (id-a): in use\n  7 more slaves were not looked at"
	if got := reasonLines(readReasons(answer, []string{"web"}), nil); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := reasonLines(readReasons(&wire.Explanation{}, []string{"web"}), nil), ": the cluster has no slaves"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := reasonLines(reasons{}, errors.New("too late")), " (why is not known: too late)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConstraintsAreWhyInstancesWait(t *testing.T) {
	constraint, err := scheduler.ParseConstraint("hostname:UNLIKE:a")
	if err != nil {
		t.Fatal(err)
	}
	agent := func(host string) *masterpb.Response_GetAgents_Agent {
		return &masterpb.Response_GetAgents_Agent{AgentInfo: &mesos.AgentInfo{Id: mesos.NewAgentID("id-" + host), Hostname: proto.String(host)}}
	}
	r := reasons{slaves: []SlaveReason{{SlaveID: "id-a", Reason: "in use"}, {SlaveID: "id-b", Reason: "in use"}, {SlaveID: "id-new", Reason: "in use"}}}
	agents := []*masterpb.Response_GetAgents_Agent{agent("a"), agent("b")}
	got := r.constrained(scheduler.Task{Constraints: []scheduler.Constraint{constraint}}, nil, agents)
	if got.slaves[0].Reason == "in use" || got.slaves[1].Reason != "in use" || got.slaves[2].Reason != "in use" {
		t.Errorf("got %+v, expected that the constraint rules out the first alone", got.slaves)
	}
}

func TestLinesArePrefixedHoweverTheyAreCut(t *testing.T) {
	long := strings.Repeat("x", maxLineBytes)
	for name, c := range map[string]struct {
		writes []string
		want   string
	}{
		"nothing":                      {nil, ""},
		"a line":                       {[]string{"a\n"}, "[1] a\n"},
		"a line in pieces":             {[]string{"a", "b", "c\n"}, "[1] abc\n"},
		"several at once":              {[]string{"a\nb\nc"}, "[1] a\n[1] b\n[1] c\n"},
		"empty lines":                  {[]string{"\n\n"}, "[1] \n[1] \n"},
		"the last without its newline": {[]string{"a\n", "b"}, "[1] a\n[1] b\n"},
		"too long for one piece":       {[]string{long + "y\n"}, "[1] " + long[4:] + "\n[1] xxxxy\n"},
		"as long as can be":            {[]string{long[4:] + "\n"}, "[1] " + long[4:] + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			l := &lineWriter{w: &b, prefix: []byte("[1] ")}
			for _, w := range c.writes {
				if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatalf("wrote %d of %d: %v", n, len(w), err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if b.String() != c.want {
				t.Errorf("got %.80q (%d bytes), want %.80q (%d)", b.String(), b.Len(), c.want, len(c.want))
			}
		})
	}
}

func TestBadOptionsAreToldWithTheirValues(t *testing.T) {
	for want, o := range map[string]Options{
		"no command":                           {},
		"-1 instances: allowed are 1 to 10000": {Command: []string{"a"}, Instances: -1},
		"wants -1 cpus":                        {Command: []string{"a"}, CPUs: -1},
		"-1 processes":                         {Command: []string{"a"}, PIDs: -1},
		"timeout -1ns":                         {Command: []string{"a"}, Timeout: -1},
		`name "a/b-1"`:                         {Command: []string{"a"}, Name: "a/b"},
		`master address "x": wanted HOST:PORT`: {Command: []string{"a"}, Master: "x"},
	} {
		r, err := Run(t.Context(), o, &bytes.Buffer{}, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), want) || r.ExitCode != ExitFailed {
			t.Errorf("error %v, result %+v; want %q", err, r, want)
		}
	}
}

func TestATaskSaysWhatTheOptionsAskFor(t *testing.T) {
	grace := 10 * time.Second
	uris := []*mesos.CommandInfo_URI{{Value: proto.String("/x")}}
	p, offers := planned(t, Options{PIDs: 7, CFS: true, KillGrace: &grace, URIs: uris})
	p.offers(time.Unix(0, 0), offers())
	task := p.take()[0].(launch).placement.Tasks[0]
	if len(task.GetCommand().GetUris()) != 1 || task.GetLimits()["cpus"].GetValue() != 1 || task.GetKillPolicy().GetGracePeriod().GetNanoseconds() != int64(grace) {
		t.Errorf("got %v", task)
	}
	if l := task.GetLabels().GetLabels(); len(l) != 1 || l[0].GetKey() != mesos.LabelPIDs || l[0].GetValue() != "7" {
		t.Errorf("labels %v", l)
	}
	p.interrupt(time.Unix(0, 0))
	if want := time.Unix(0, 0).Add(InterruptTimeout + grace); !p.giveUpAt.Equal(want) {
		t.Errorf("it gives up at %v, want %v", p.giveUpAt, want)
	}
}

// planned is a plan with so many instances, and an offer for it.
func planned(t *testing.T, o Options) (*plan, func() []*scheduler.Offer) {
	t.Helper()
	o.Command = []string{"cmd"}
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	serial := 0
	return newPlan(o, time.Unix(0, 0)), func() []*scheduler.Offer {
		serial++
		r, err := resource.Parse("cpus:1;mem:128")
		if err != nil {
			t.Fatal(err)
		}
		offer, err := scheduler.NewOffer(&mesos.Offer{Id: mesos.NewOfferID(fmt.Sprint(serial)), Resources: r.ToProto()})
		if err != nil {
			t.Fatal(err)
		}
		return []*scheduler.Offer{offer}
	}
}

func TestThePlacementTimeoutCountsFromTheLastPlacement(t *testing.T) {
	p, offer := planned(t, Options{Instances: 2, PlacementTimeout: time.Minute})
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	if got := p.deadline(); got != at(2) {
		t.Errorf("wants to explain at %s, want after 2 s", got)
	}
	p.tick(at(2))
	p.explainedBy(reasons{}, nil)
	if got := p.deadline(); got != at(60) {
		t.Errorf("deadline %s, want the placement timeout", got)
	}
	p.offers(at(50), offer())
	p.tick(at(60))
	p.explainedBy(reasons{}, nil)
	if p.whole != nil || p.deadline() != at(110) {
		t.Errorf("verdict %v, deadline %s; want to wait a minute after the last placement", p.whole, p.deadline())
	}
	p.take()
	p.tick(at(110))
	if p.whole == nil || p.whole.reason != ReasonNotPlaced {
		t.Errorf("verdict %v", p.whole)
	}
	suppresses := func(o operation) bool { _, ok := o.(suppress); return ok }
	if got := p.take(); slices.ContainsFunc(got, suppresses) {
		t.Errorf("offers are stopped before it is known why there was none: %v", got)
	}
	p.explainedBy(reasons{}, nil)
	if got := p.take(); !slices.ContainsFunc(got, suppresses) {
		t.Errorf("offers go on when the run is over: %v", got)
	}
}

func TestOnlyWhatNeverReachedASlaveIsPlacedAgain(t *testing.T) {
	master, agent := mesos.TaskStatus_SOURCE_MASTER, mesos.TaskStatus_SOURCE_AGENT
	for name, c := range map[string]struct {
		source mesos.TaskStatus_Source
		reason mesos.TaskStatus_Reason
		again  bool
	}{
		"a void offer":         {master, mesos.TaskStatus_REASON_INVALID_OFFERS, true},
		"no master":            {master, mesos.TaskStatus_REASON_MASTER_DISCONNECTED, true},
		"the slave has gone":   {master, mesos.TaskStatus_REASON_AGENT_REMOVED, false},
		"the slave dropped it": {agent, mesos.TaskStatus_REASON_INVALID_OFFERS, false},
		"the slave came back":  {master, mesos.TaskStatus_REASON_AGENT_REREGISTERED, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, offer := planned(t, Options{})
			for attempt := range maxPlacements {
				p.offers(time.Unix(0, 0), offer())
				p.update(time.Unix(0, 0), &mesos.TaskStatus{
					TaskId: mesos.NewTaskID(p.o.taskID(0, attempt)), State: mesos.TaskState_TASK_DROPPED.Enum(), Source: &c.source, Reason: &c.reason,
				})
				again := c.again && attempt+1 < maxPlacements
				if waits := p.instances[0].phase == waiting; waits != again {
					t.Fatalf("after attempt %d: placed again: %v, want %v", attempt, waits, again)
				}
				if !again {
					break
				}
			}
			if r := p.result(); r.ExitCode != ExitFailed || !p.finished {
				t.Errorf("result %+v, finished %v", r, p.finished)
			}
		})
	}
}

// Whoever thinks that his limits hold is told, once for all instances, where they do not.
func TestLimitsThatAreNotEnforcedAreToldOnce(t *testing.T) {
	for limits, want := range map[string][]string{"": nil, "cpus mem pids": {"where it runs, limits are not enforced of cpus, mem, pids"}} {
		p, offer := planned(t, Options{Instances: 3})
		var said []string
		for range 3 {
			p.offers(time.Unix(0, 0), offer())
		}
		for i := range 3 {
			status := &mesos.TaskStatus{TaskId: mesos.NewTaskID(p.o.taskID(i, 0)), State: mesos.TaskState_TASK_RUNNING.Enum()}
			if limits != "" {
				status.Labels = mesos.MakeLabels(mesos.LabelNotEnforced, limits)
			}
			p.update(time.Unix(1, 0), status)
		}
		for _, op := range p.take() {
			if line, ok := op.(say); ok {
				said = append(said, line.line)
			}
		}
		if !slices.Equal(said, want) {
			t.Errorf("with %q: said %q, want %q", limits, said, want)
		}
	}
}

// An offer may be void when it comes to the master, or its slave may lose what was asked of it.
func TestAPersistentVolumeThatCouldNotBeMadeIsMadeElsewhere(t *testing.T) {
	p, _ := planned(t, Options{CPUs: 1, Mem: 32, Roles: []string{"db"}, Volume: &Volume{ID: "data", Path: "data", MB: 10}})
	offers := func(id, slave string) []*scheduler.Offer {
		r, err := resource.Parse("cpus:1;mem:128;disk:100")
		if err != nil {
			t.Fatal(err)
		}
		offer, err := scheduler.NewOffer(&mesos.Offer{
			Id: mesos.NewOfferID(id), AgentId: mesos.NewAgentID(slave), Resources: r.Allocate("db").ToProto(),
			AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String("db")},
		})
		if err != nil {
			t.Fatal(err)
		}
		return []*scheduler.Offer{offer}
	}
	status := func(operation string, state mesos.OperationState) *mesos.OperationStatus {
		return &mesos.OperationStatus{OperationId: mesos.NewOperationID(operation), State: state.Enum()}
	}
	finds := func() (n int) {
		for _, op := range p.take() {
			if _, is := op.(find); is {
				n++
			}
		}
		return n
	}
	now := time.Unix(0, 0)
	p.found(now, nil, nil)
	p.offers(now, offers("O0", "S0"))
	if p.volume.slave != "S0" {
		t.Fatalf("it is made on %q, want S0", p.volume.slave)
	}
	p.take()
	// What does not tell that it is nowhere changes nothing.
	p.operated(status("O0.2", mesos.OperationState_OPERATION_FINISHED))
	p.operated(status("O0.2", mesos.OperationState_OPERATION_UNREACHABLE))
	p.operated(status("O01.2", mesos.OperationState_OPERATION_ERROR))
	if n := finds(); n != 0 || p.volume.slave != "S0" {
		t.Fatalf("it is looked for %d times more, and is on %q", n, p.volume.slave)
	}
	p.operated(status("O0.1", mesos.OperationState_OPERATION_ERROR))
	p.operated(status("O0.2", mesos.OperationState_OPERATION_ERROR))
	if n := finds(); n != 1 {
		t.Fatalf("it is looked for %d times more, want once", n)
	}
	p.update(now, &mesos.TaskStatus{
		TaskId: mesos.NewTaskID(p.instances[0].TaskID), State: mesos.TaskState_TASK_DROPPED.Enum(),
		Source: mesos.TaskStatus_SOURCE_MASTER.Enum(), Reason: mesos.TaskStatus_REASON_INVALID_OFFERS.Enum(),
	})
	p.offers(now, offers("O1", "S1")) // held until it is known
	p.found(now, nil, nil)
	if p.volume.slave != "S1" || p.instances[0].SlaveID != "S1" {
		t.Errorf("it is made on %q, and the instance is on %q, want S1", p.volume.slave, p.instances[0].SlaveID)
	}
}
