package main

import (
	"testing"

	"github.com/stoa-project/stoa/proto/mesos"
)

func TestTheListSaysHowATaskEnded(t *testing.T) {
	for want, s := range map[string]taskStatus{
		"hello": {Message: "hello"},
		"killed; the command ended by signal SIGTERM (killed by operator, ran 1.500 s, cpu 0.020 s, memory 4.5 MB)": {
			Message: "killed; the command ended by signal SIGTERM",
			Labels: map[string]string{
				mesos.LabelKilledBy: mesos.KilledByOperator, mesos.LabelWallSeconds: "1.500", mesos.LabelCPUSeconds: "0.020",
				mesos.LabelMemoryPeakBytes: "4718592", mesos.LabelCause: mesos.CauseKilled,
			},
		},
		"(killed by teardown)": {Labels: map[string]string{mesos.LabelKilledBy: mesos.KilledByTeardown}},
	} {
		if got := s.told(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
