package main

import (
	"strconv"
	"strings"

	"github.com/stoa-project/stoa/proto/mesos"
)

// told is the message of a status and, where it has ended a task, by whom, how long the task ran and what it used.
func (s taskStatus) told() string {
	var more []string
	if by := s.Labels[mesos.LabelKilledBy]; by != "" {
		more = append(more, "killed by "+by)
	}
	if ran := s.Labels[mesos.LabelWallSeconds]; ran != "" {
		more = append(more, "ran "+ran+" s")
	}
	if cpu := s.Labels[mesos.LabelCPUSeconds]; cpu != "" {
		more = append(more, "cpu "+cpu+" s")
	}
	if peak, err := strconv.ParseUint(s.Labels[mesos.LabelMemoryPeakBytes], 10, 64); err == nil {
		more = append(more, "memory "+strconv.FormatFloat(float64(peak)/(1<<20), 'f', 1, 64)+" MB")
	}
	if len(more) == 0 {
		return s.Message
	}
	return strings.TrimSpace(s.Message + " (" + strings.Join(more, ", ") + ")")
}
