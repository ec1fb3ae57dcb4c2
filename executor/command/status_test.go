package command

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

func labelsOf(status *mesos.TaskStatus) map[string]string {
	all := map[string]string{}
	for _, label := range status.GetLabels().GetLabels() {
		all[label.GetKey()] = label.GetValue()
	}
	return all
}

func TestTheEndOfAContainerIsTheEndOfItsTask(t *testing.T) {
	exited := func(code int32) *wire.ContainerExit { return &wire.ContainerExit{WaitStatus: code << 8} }
	signaled := func(signal syscall.Signal) *wire.ContainerExit { return &wire.ContainerExit{WaitStatus: int32(signal)} }
	of := func(cause wire.ContainerExit_Cause, message string) *wire.ContainerExit {
		return &wire.ContainerExit{Cause: cause, Message: message}
	}
	outgrown := &wire.ContainerExit{
		Cause: wire.ContainerExit_MEMORY, WaitStatus: int32(syscall.SIGKILL), StartedUnixNanos: 1, MemoryLimitBytes: 64 << 20, MemoryPeakBytes: 63<<20 + 512<<10,
	}
	const noReason = mesos.TaskStatus_Reason(-1)
	launchFailed := mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED
	for _, test := range []struct {
		name    string
		why     intent
		exit    *wire.ContainerExit
		state   string
		reason  mesos.TaskStatus_Reason
		message string
		labels  map[string]string
	}{
		{"success", none, exited(0), "FINISHED", noReason, "exited with status 0", map[string]string{mesos.LabelCause: mesos.CauseExited, mesos.LabelExitStatus: "0"}},
		{"failure", none, exited(7), "FAILED", noReason, "exited with status 7", map[string]string{mesos.LabelCause: mesos.CauseExited, mesos.LabelExitStatus: "7"}},
		{
			"some of its output was lost", none, &wire.ContainerExit{Message: "7 bytes of stdout lost: no space left on device", OutputLostBytes: 7}, "FINISHED", noReason,
			"exited with status 0; 7 bytes of stdout lost: no space left on device",
			map[string]string{mesos.LabelCause: mesos.CauseExited, mesos.LabelExitStatus: "0", mesos.LabelOutputLostBytes: "7"},
		},
		{"a signal", none, signaled(syscall.SIGKILL), "FAILED", noReason, "ended by signal SIGKILL", map[string]string{mesos.LabelCause: mesos.CauseSignal, mesos.LabelSignal: "9"}},
		{"a signal with a core dump", none, &wire.ContainerExit{WaitStatus: int32(syscall.SIGSEGV) | 0x80}, "FAILED", noReason, "ended by signal SIGSEGV", map[string]string{mesos.LabelCause: mesos.CauseSignal, mesos.LabelSignal: "11"}},
		{"not found", none, of(wire.ContainerExit_NOT_FOUND, `command "x" was not found`), "FAILED", launchFailed, `command "x" was not found`, map[string]string{mesos.LabelCause: mesos.CauseNotFound}},
		{"not found, without words", none, of(wire.ContainerExit_NOT_FOUND, ""), "FAILED", launchFailed, `was not found: "work"`, map[string]string{mesos.LabelCause: mesos.CauseNotFound}},
		{"not executable", none, of(wire.ContainerExit_NOT_EXECUTABLE, "no"), "FAILED", launchFailed, "no", map[string]string{mesos.LabelCause: mesos.CauseNotExecutable}},
		{"not launched", none, of(wire.ContainerExit_LAUNCH_FAILED, "no"), "FAILED", launchFailed, "no", map[string]string{mesos.LabelCause: mesos.CauseLaunchFailed}},
		{
			"out of memory", none, outgrown, "FAILED", mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY, "outgrew its memory: limit 64 MiB, peak 63.5 MiB",
			map[string]string{mesos.LabelCause: mesos.CauseMemory, mesos.LabelSignal: "9", mesos.LabelMemoryLimitBytes: "67108864", mesos.LabelMemoryPeakBytes: "66584576"},
		},
		{
			"out of disk", none, &wire.ContainerExit{Cause: wire.ContainerExit_DISK, WaitStatus: int32(syscall.SIGKILL), StartedUnixNanos: 1, DiskLimitBytes: 8 << 20, DiskUsedBytes: 9<<20 + 12345}, "FAILED",
			mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK, "outgrew its disk: limit 8 MiB, its sandbox has 9.01 MiB",
			map[string]string{mesos.LabelCause: mesos.CauseDisk, mesos.LabelSignal: "9", mesos.LabelDiskLimitBytes: "8388608", mesos.LabelDiskUsedBytes: "9449529"},
		},
		{
			"out of the least disk", none, &wire.ContainerExit{Cause: wire.ContainerExit_DISK, WaitStatus: int32(syscall.SIGKILL), StartedUnixNanos: 1, DiskLimitBytes: 1048, DiskUsedBytes: 4096}, "FAILED",
			mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK, "outgrew its disk: limit 1048 bytes, its sandbox has 4096 bytes",
			map[string]string{mesos.LabelCause: mesos.CauseDisk, mesos.LabelSignal: "9", mesos.LabelDiskLimitBytes: "1048", mesos.LabelDiskUsedBytes: "4096"},
		},
		{
			"out of disk without a name", none, &wire.ContainerExit{
				Cause: wire.ContainerExit_DISK, WaitStatus: int32(syscall.SIGKILL), StartedUnixNanos: 1, DiskLimitBytes: 8 << 20, DiskUsedBytes: 9 << 20, DiskUnlinkedBytes: 3 << 20,
			}, "FAILED",
			mesos.TaskStatus_REASON_CONTAINER_LIMITATION_DISK, "outgrew its disk: limit 8 MiB, its sandbox has 9 MiB, 3 MiB of it in files that were removed and still open",
			map[string]string{mesos.LabelCause: mesos.CauseDisk, mesos.LabelSignal: "9", mesos.LabelDiskLimitBytes: "8388608", mesos.LabelDiskUsedBytes: "9437184"},
		},
		{
			"out of processes", none, &wire.ContainerExit{Cause: wire.ContainerExit_PIDS, WaitStatus: 2 << 8, StartedUnixNanos: 1, PidsLimit: 64}, "FAILED",
			mesos.TaskStatus_REASON_CONTAINER_LIMITATION, "exited with status 2, having reached its limit of 64 processes",
			map[string]string{mesos.LabelCause: mesos.CausePIDs, mesos.LabelExitStatus: "2", mesos.LabelPIDsLimit: "64"},
		},
		{"killed by somebody else", none, of(wire.ContainerExit_KILLED, "the host failed"), "FAILED", mesos.TaskStatus_REASON_EXECUTOR_TERMINATED, "the host failed", map[string]string{mesos.LabelCause: mesos.CauseKilled}},
		{"killed", byKill, signaled(syscall.SIGTERM), "KILLED", noReason, "killed; the command ended by signal SIGTERM", map[string]string{mesos.LabelCause: mesos.CauseKilled, mesos.LabelSignal: "15"}},
		{"killed, and ended in order", byKill, exited(0), "KILLED", noReason, "killed; the command exited with status 0", map[string]string{mesos.LabelCause: mesos.CauseKilled, mesos.LabelExitStatus: "0"}},
		{"killed before it ran", byKill, of(wire.ContainerExit_KILLED, ""), "KILLED", noReason, "killed; the command did not run to its end", map[string]string{mesos.LabelCause: mesos.CauseKilled}},
		{"shut down", byShutdown, signaled(syscall.SIGTERM), "KILLED", noReason, "the executor was shut down; the command ended by signal SIGTERM", map[string]string{mesos.LabelCause: mesos.CauseKilled, mesos.LabelSignal: "15"}},
		{"ran too long", byTimeAllowed, signaled(syscall.SIGKILL), "FAILED", mesos.TaskStatus_REASON_MAX_COMPLETION_TIME_REACHED, "ran longer than the allowed 0s", map[string]string{mesos.LabelCause: mesos.CauseMaxCompletionTime, mesos.LabelSignal: "9"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			status := terminal(newTask(nil), test.why, test.exit)
			if got := strings.TrimPrefix(status.GetState().String(), "TASK_"); got != test.state || status.GetMessage() != test.message {
				t.Errorf("%s %q, want %s %q", got, status.GetMessage(), test.state, test.message)
			}
			reason := noReason
			if status.Reason != nil {
				reason = status.GetReason()
			}
			if reason != test.reason {
				t.Errorf("reason %v, want %v", reason, test.reason)
			}
			if diff := cmp.Diff(test.labels, labelsOf(status)); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
	limited := terminal(newTask(nil), none, outgrown).GetLimitation().GetResources()
	if len(limited) != 1 || limited[0].GetName() != "mem" || limited[0].GetScalar().GetValue() != 64 {
		t.Errorf("limitation %v, want mem of 64 MiB", limited)
	}
}

func TestWhatATaskUsedIsInItsLabels(t *testing.T) {
	began := time.Unix(100, 0)
	got := labelsOf(&mesos.TaskStatus{Labels: exitLabels(none, &wire.ContainerExit{
		StartedUnixNanos: began.UnixNano(), FinishedUnixNanos: began.Add(1500 * time.Millisecond).UnixNano(), CpuSeconds: 0.25,
	})})
	want := map[string]string{mesos.LabelCause: mesos.CauseExited, mesos.LabelExitStatus: "0", mesos.LabelWallSeconds: "1.500", mesos.LabelCPUSeconds: "0.250"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if !proto.Equal(exitLabels(none, &wire.ContainerExit{}), mesos.MakeLabels(mesos.LabelCause, mesos.CauseExited, mesos.LabelExitStatus, "0")) {
		t.Error("what is not known must have no label")
	}
}
