package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/stoa-project/stoa/frameworks/scheduler/schedulertest"
	"github.com/stoa-project/stoa/proto/mesos"
)

func TestHelloRunsThreeTasksWhereverThereIsRoomAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := schedulertest.New(t)
		m.RunTasks(func(*mesos.TaskInfo) []mesos.TaskState {
			return []mesos.TaskState{mesos.TaskState_TASK_RUNNING, mesos.TaskState_TASK_FINISHED}
		})
		var out bytes.Buffer
		ended := make(chan error, 1)
		go func() { ended <- run(t.Context(), m.Options("hello"), &out) }()
		m.Subscription()
		small, large := m.Slave("small"), m.Slave("large")
		m.Offer(small, "cpus:0.2;mem:16")
		m.Offer(small, "cpus:1;mem:64")
		m.Offer(large, "cpus:1;mem:1024")
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		want := []string{
			"small too small: has 16 of 32 mem",
			"small too small: has 0 of 32 mem",
			"hello.offer-3.1 TASK_RUNNING", "hello.offer-3.1 TASK_FINISHED",
			"hello.offer-3.2 TASK_RUNNING", "hello.offer-3.2 TASK_FINISHED",
			"hello.offer-4.1 TASK_RUNNING", "hello.offer-4.1 TASK_FINISHED",
		}
		if diff := cmp.Diff(want, lines(out.String())); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

func TestHelloFitsAScreen(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), "\n"); n > 60 {
		t.Errorf("main.go has %d lines: it is to show a whole framework in 60", n)
	}
}

func lines(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		all = append(all, strings.TrimSpace(line))
	}
	return all
}
