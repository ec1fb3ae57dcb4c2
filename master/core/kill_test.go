package core

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stoa-project/stoa/proto/mesos"
)

// killRow is a situation of a task, and what exactly comes of each kill in it.
type killRow struct {
	name string
	// states are those in which the master has the task; none if it has it no more, or not yet.
	states []mesos.TaskState
	given  string
	// want is what comes of a plain KILL. One with a kill policy leads to the same, with the policy, and a second KILL to
	// the same again.
	want []string
	// other is what another framework hears that kills a task of this id on this slave.
	other []string
	// then happens after a KILL with a policy, and leads to reached.
	then    string
	reached []string
}

// killBegin is a framework with a task on a slave, and another framework. What is left of the slave nobody wants.
const killBegin = `
register s1 cpus:4;mem:4096
subscribe f1 can=partition checkpoint failover=1h
accept f1 O0 refuse=1h launch t1 cpus:1;mem:64
subscribe f2 role=other can=partition checkpoint failover=1h
decline f2 O1 refuse=1h
`

// Answers to those who kill what is not there.
const (
	killUnknown     = `f1 <- UPDATE t1 UNKNOWN RECONCILIATION (Reconciliation: neither the task nor slave "" is known)`
	killUnreachable = "UPDATE t1 UNREACHABLE on M-S0 RECONCILIATION (Reconciliation: slave M-S0 is unreachable) since 1772366475"
	killGone        = "UPDATE t1 GONE on M-S0 RECONCILIATION (Reconciliation: slave M-S0 does not have the task)"
)

// TestKill goes through kill × state of the task. A state of tasks without a row fails it.
func TestKill(t *testing.T) {
	covered := map[mesos.TaskState]bool{}
	for _, row := range killRows {
		for _, state := range row.states {
			covered[state] = true
		}
		t.Run(row.name, func(t *testing.T) {
			row.try(t, "a plain one", row.want, "kill f1 t1")
			row.try(t, "with a policy", within5s(row.want), "kill f1 t1 grace=5s")
			row.try(t, "twice", append(within5s(row.want), row.want...), "kill f1 t1 grace=5s", "kill f1 t1")
			row.try(t, "by another framework", row.other, "kill f2 t1 on=s1")
			row.try(t, "in another's name", row.inAnothersName(), "kill f2 t1 as=f1")
			if row.then != "" {
				lines := append([]string{"kill f1 t1 grace=5s"}, strings.Split(row.then, "\n")...)
				row.try(t, "and then", append(within5s(row.want), row.reached...), lines...)
			}
		})
	}
	for number, name := range mesos.TaskState_name {
		if !covered[mesos.TaskState(number)] {
			t.Errorf("no row has a task that is %s", name)
		}
	}
}

// try carries out lines of a script in a world of their own.
func (row killRow) try(t *testing.T, name string, want []string, lines ...string) {
	t.Helper()
	s := newScript(t)
	for line := range strings.Lines(row.given) {
		s.runLine(line)
	}
	if states := killStates(s.core); !slices.Equal(states, row.states) {
		t.Fatalf("the task is %v, the row is about %v", states, row.states)
	}
	var got []string
	for _, line := range lines {
		got = append(got, s.runLine(line)...)
	}
	if diff := cmp.Diff(append([]string{}, want...), append([]string{}, got...)); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

func (s *script) runLine(line string) []string {
	if line = strings.TrimSpace(line); line == "" {
		return nil
	}
	s.line = line
	return s.run(strings.Fields(line))
}

// killStates are the states of the tasks that the master has.
func killStates(c *Core) []mesos.TaskState {
	var states []mesos.TaskState
	for _, f := range c.frameworks {
		for _, t := range f.tasks {
			states = append(states, t.state())
		}
		for _, seen := range f.unreachable {
			states = append(states, seen.GetState())
		}
	}
	return states
}

func within5s(lines []string) []string {
	var all []string
	for _, line := range lines {
		if strings.Contains(line, " <- KillTask ") {
			line += " within 5s"
		}
		all = append(all, line)
	}
	return all
}

// inAnothersName is what a session hears that kills in the name of a framework which it is not.
func (row killRow) inAnothersName() []string {
	session := "f2"
	if strings.Contains(row.given, "restart") {
		session = "f2#2"
	}
	const why = `KILL of framework "M-0000": this session is that of framework M-0001`
	return []string{"warning: error to scheduler at a peer: " + why, session + " <- ERROR " + why, session + " closed: " + why}
}

var killRows = []killRow{
	{
		name:  "nobody knows the task",
		given: "register s1 cpus:4;mem:4096\nsubscribe f1 can=partition\nsubscribe f2 role=other can=partition",
		want:  []string{killUnknown},
		other: []string{"f2 <- " + killGone},
	},
	{
		name:   "the slave was told to run it, and has not answered",
		states: []mesos.TaskState{mesos.TaskState_TASK_STAGING},
		given:  killBegin,
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "the slave says STARTING",
		states: []mesos.TaskState{mesos.TaskState_TASK_STARTING},
		given:  killBegin + "update s1 f1/t1 STARTING",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "the slave says RUNNING",
		states: []mesos.TaskState{mesos.TaskState_TASK_RUNNING},
		given:  killBegin + "update s1 f1/t1 RUNNING",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "the slave says KILLING",
		states: []mesos.TaskState{mesos.TaskState_TASK_KILLING},
		given:  killBegin + "update s1 f1/t1 KILLING",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "the slave says UNREACHABLE, which none should",
		states: []mesos.TaskState{mesos.TaskState_TASK_UNREACHABLE},
		given:  killBegin + "update s1 f1/t1 UNREACHABLE",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "the slave says UNKNOWN, which none should",
		states: []mesos.TaskState{mesos.TaskState_TASK_UNKNOWN},
		given:  killBegin + "update s1 f1/t1 UNKNOWN",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "it is FINISHED, which is not acknowledged: the slave knows better",
		states: []mesos.TaskState{mesos.TaskState_TASK_FINISHED},
		given:  killBegin + "update s1 f1/t1 FINISHED",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "it is FAILED, which is not acknowledged: the slave knows better",
		states: []mesos.TaskState{mesos.TaskState_TASK_FAILED},
		given:  killBegin + "update s1 f1/t1 FAILED",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "it is KILLED, which is not acknowledged: the slave knows better",
		states: []mesos.TaskState{mesos.TaskState_TASK_KILLED},
		given:  killBegin + "update s1 f1/t1 KILLED",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "it is ERROR, which is not acknowledged: the slave knows better",
		states: []mesos.TaskState{mesos.TaskState_TASK_ERROR},
		given:  killBegin + "update s1 f1/t1 ERROR",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "it is LOST, which is not acknowledged: the slave knows better",
		states: []mesos.TaskState{mesos.TaskState_TASK_LOST},
		given:  killBegin + "update s1 f1/t1 LOST",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "it is DROPPED, which is not acknowledged: the slave knows better",
		states: []mesos.TaskState{mesos.TaskState_TASK_DROPPED},
		given:  killBegin + "update s1 f1/t1 DROPPED",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "it is GONE, which is not acknowledged: the slave knows better",
		states: []mesos.TaskState{mesos.TaskState_TASK_GONE},
		given:  killBegin + "update s1 f1/t1 GONE",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "it is GONE_BY_OPERATOR, which is not acknowledged: the slave knows better",
		states: []mesos.TaskState{mesos.TaskState_TASK_GONE_BY_OPERATOR},
		given:  killBegin + "update s1 f1/t1 GONE_BY_OPERATOR",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "it is FINISHED, which its scheduler has not heard yet",
		states: []mesos.TaskState{mesos.TaskState_TASK_FINISHED},
		given:  killBegin + "update s1 f1/t1 RUNNING latest=FINISHED",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:  "it has ended, and that is acknowledged",
		given: killBegin + "update s1 f1/t1 FINISHED\nack f1 t1 u1 on=s1",
		want:  []string{killUnknown},
		other: []string{"f2 <- " + killGone},
	},
	{
		name:   "it has ended, and its id is used again",
		states: []mesos.TaskState{mesos.TaskState_TASK_STAGING},
		given:  killBegin + "update s1 f1/t1 FINISHED\nack f1 t1 u1 on=s1\nrevive f1\naccept f1 O2 refuse=1h launch t1 cpus:1;mem:64",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "the slave went before it answered, and comes back with it",
		states: []mesos.TaskState{mesos.TaskState_TASK_STAGING},
		given:  killBegin + "disconnect s1",
		other:  []string{"f2 <- " + killGone},
		then:   "reregister s1 f1/t1=STAGING",
		reached: []string{
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"s1#2 <- KillTask M-0000/t1 within 5s",
		},
	},
	{
		name:   "the slave went before it answered, and comes back without it",
		states: []mesos.TaskState{mesos.TaskState_TASK_STAGING},
		given:  killBegin + "disconnect s1",
		other:  []string{"f2 <- " + killGone},
		then:   "reregister s1",
		reached: []string{
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"f1 <- UPDATE t1 DROPPED on M-S0 RECONCILIATION (slave M-S0 came back without the task)",
			"f1 <- OFFERS M-O2 of M-S0: cpus:4;mem:4096 (older form)",
		},
	},
	{
		name:   "the slave went with it, and comes back with it",
		states: []mesos.TaskState{mesos.TaskState_TASK_RUNNING},
		given:  killBegin + "update s1 f1/t1 RUNNING\ndisconnect s1",
		other:  []string{"f2 <- " + killGone},
		then:   "reregister s1 f1/t1=RUNNING",
		reached: []string{
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"s1#2 <- KillTask M-0000/t1 within 5s",
		},
	},
	{
		name:   "the slave went with it, and it has ended there",
		states: []mesos.TaskState{mesos.TaskState_TASK_RUNNING},
		given:  killBegin + "update s1 f1/t1 RUNNING\ndisconnect s1",
		other:  []string{"f2 <- " + killGone},
		then:   "reregister s1 f1/t1=FINISHED",
		reached: []string{
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"f1 <- OFFERS M-O2 of M-S0: cpus:4;mem:4096 (older form)",
		},
	},
	{
		name:   "it has ended, which is not acknowledged, and the slave went",
		states: []mesos.TaskState{mesos.TaskState_TASK_FINISHED},
		given:  killBegin + "update s1 f1/t1 FINISHED\ndisconnect s1",
		other:  []string{"f2 <- " + killGone},
		then:   "reregister s1 f1/t1=FINISHED",
		reached: []string{
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"f2 <- OFFERS M-O3 of M-S0: cpus:4;mem:4096 (older form)",
		},
	},
	{
		name:   "the slave is just being marked unreachable",
		states: []mesos.TaskState{mesos.TaskState_TASK_RUNNING},
		given:  killBegin + "update s1 f1/t1 RUNNING\ndisconnect s1\npersist hold\ntick 75s",
		then:   "persist ok\nreregister s1 f1/t1=RUNNING",
		reached: []string{
			"warning: slave M-S0 at s1:5051 is unreachable: not heard of for 1m15s",
			"f1 <- UPDATE t1 UNREACHABLE on M-S0 AGENT_REMOVED (slave M-S0 at s1:5051 has been unreachable since 2026-03-01T12:01:15Z) since 1772366475",
			"f1 <- FAILURE of slave M-S0",
			"f2 <- FAILURE of slave M-S0",
			"persist mark slave M-S0 reachable",
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"s1#2 <- KillTask M-0000/t1 within 5s",
			"f2 <- OFFERS M-O2 of M-S0: cpus:3;mem:4032 (older form)",
		},
	},
	{
		name:   "it is UNREACHABLE, and the slave comes back with it",
		states: []mesos.TaskState{mesos.TaskState_TASK_UNREACHABLE},
		given:  killBegin + "update s1 f1/t1 RUNNING\ndisconnect s1\ntick 75s",
		want:   []string{"f1 <- " + killUnreachable},
		other:  []string{"f2 <- " + killUnreachable},
		then:   "reregister s1 f1/t1=RUNNING",
		reached: []string{
			"persist mark slave M-S0 reachable",
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"s1#2 <- KillTask M-0000/t1 within 5s",
			"f2 <- OFFERS M-O2 of M-S0: cpus:3;mem:4032 (older form)",
		},
	},
	{
		name:   "it is UNREACHABLE, and has ended there",
		states: []mesos.TaskState{mesos.TaskState_TASK_UNREACHABLE},
		given:  killBegin + "update s1 f1/t1 RUNNING\ndisconnect s1\ntick 75s",
		want:   []string{"f1 <- " + killUnreachable},
		other:  []string{"f2 <- " + killUnreachable},
		then:   "reregister s1 f1/t1=FINISHED",
		reached: []string{
			"persist mark slave M-S0 reachable",
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"f1 <- OFFERS M-O2 of M-S0: cpus:4;mem:4096 (older form)",
		},
	},
	{
		name:  "the slave was given up",
		given: killBegin + "update s1 f1/t1 RUNNING\noperator gone s1",
		want:  []string{killUnknown},
		other: []string{"f2 <- UPDATE t1 GONE_BY_OPERATOR on M-S0 RECONCILIATION (Reconciliation: slave M-S0 was given up by an operator)"},
	},
	{
		name:  "the slave has unregistered",
		given: killBegin + "update s1 f1/t1 RUNNING\nunregister s1",
		want:  []string{killUnknown},
		other: []string{`f2 <- UPDATE t1 UNKNOWN on M-S0 RECONCILIATION (Reconciliation: neither the task nor slave "M-S0" is known)`},
	},
	{
		name:   "the slave is drained, which has killed it",
		states: []mesos.TaskState{mesos.TaskState_TASK_RUNNING},
		given:  killBegin + "update s1 f1/t1 RUNNING\noperator drain s1 grace=1h",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "the slave is deactivated",
		states: []mesos.TaskState{mesos.TaskState_TASK_RUNNING},
		given:  killBegin + "update s1 f1/t1 RUNNING\noperator deactivate s1",
		want:   []string{"s1 <- KillTask M-0000/t1"},
		other:  []string{"f2 <- " + killGone},
	},
	{
		name:   "the master is another, and the slave has brought it",
		states: []mesos.TaskState{mesos.TaskState_TASK_RUNNING},
		given:  killBegin + "update s1 f1/t1 RUNNING\nrestart\nreregister s1 f1/t1=RUNNING\nsubscribe f1\nsubscribe f2",
		want:   []string{"s1#2 <- KillTask M-0000/t1"},
		other:  []string{"f2#2 <- " + killGone},
	},
	{
		name:  "the master is another that forgets, and the slave may bring it",
		given: killBegin + "update s1 f1/t1 RUNNING\nrestart\nsubscribe f1\nsubscribe f2",
		then:  "reregister s1 f1/t1=RUNNING",
		reached: []string{
			"persist set cluster id M",
			"persist admit slave M-S0 at s1:5051",
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"s1#2 <- KillTask M-0000/t1 within 5s",
			"f2#2 <- OFFERS N-O0 of M-S0: cpus:3;mem:4032 (older form)",
		},
	},
	{
		name:  "the master is another that remembers the slave, which may bring it",
		given: killBegin + "update s1 f1/t1 RUNNING\nrestart durable\nsubscribe f1\nsubscribe f2",
		then:  "reregister s1 f1/t1=RUNNING",
		reached: []string{
			"persist update slave M-S0",
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"s1#2 <- KillTask M-0000/t1 within 5s",
			"f2#2 <- OFFERS N-O0 of M-S0: cpus:3;mem:4032 (older form)",
		},
	},
	{
		name:  "it is LOST with the slave, as its framework does not checkpoint",
		given: strings.ReplaceAll(killBegin, "can=partition checkpoint", "") + "update s1 f1/t1 RUNNING\ndisconnect s1",
		want:  []string{`f1 <- UPDATE t1 LOST RECONCILIATION (Reconciliation: neither the task nor slave "" is known)`},
		other: []string{`f2 <- UPDATE t1 LOST on M-S0 RECONCILIATION (Reconciliation: slave M-S0 does not have the task)`},
		then:  "reregister s1 f1/t1=RUNNING",
		reached: []string{
			"s1#2 <- SlaveReregistered M-S0 in cluster M",
			"s1#2 <- KillTask M-0000/t1 by master",
		},
	},
}
