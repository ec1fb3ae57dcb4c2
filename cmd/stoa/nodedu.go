package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// diskTimeout bounds a slave's look at all its sandboxes.
const diskTimeout = 5 * time.Minute

// nodeDisk is what a slave's sandboxes take, as --json shows it.
type nodeDisk struct {
	ID             string        `json:"id"`
	Hostname       string        `json:"hostname"`
	Error          string        `json:"error,omitempty"` // why there is nothing else
	DiskBytes      uint64        `json:"disk_bytes"`
	DiskAvailable  uint64        `json:"disk_available_bytes"`
	CacheBytes     uint64        `json:"fetcher_cache_bytes"`
	SandboxesBytes uint64        `json:"sandboxes_bytes"`
	Sandboxes      []sandboxDisk `json:"sandboxes"`
}

type sandboxDisk struct {
	FrameworkID string `json:"framework_id"`
	ExecutorID  string `json:"executor_id"`
	ContainerID string `json:"container_id"`
	Bytes       uint64 `json:"bytes"`
	Files       uint64 `json:"files"`
	Running     bool   `json:"running"`
	Unlinked    uint64 `json:"unlinked_bytes,omitempty"` // of bytes: files that were removed and are still open
}

func newNodeDu(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "du [ID]",
		Short: "Show what the sandboxes of slaves take",
		Long: `Asks each slave, or one, what its sandboxes take on the disk: those of tasks that run, and those that wait for
their removal. The slave looks at every file for that, and its host at what tasks have removed and still have open. The executor of a task that has a command has the task's id.`,
		Example: `  stoa node du
  stoa node du --json S0 | jq '.[0].sandboxes[:3]'`,
	}
	return askSlaves(std, command, &flags, flags.nodeDisk, []string{"NODE", "WHAT", "BYTES", "FILES", "STATE"}, nodeDisk.rows)
}

// rows are the largest things first, then the sums.
func (n nodeDisk) rows() [][]string {
	if n.Error != "" {
		return [][]string{{n.ID, n.Error, "-", "-", "-"}}
	}
	var rows [][]string
	for _, s := range n.Sandboxes {
		state := "ended"
		if s.Running {
			state = "running"
		}
		rows = append(rows, []string{n.ID, s.ExecutorID, bytesText(s.Bytes), itoa(int(s.Files)), state})
	}
	return append(rows,
		[]string{n.ID, "(fetcher's cache)", bytesText(n.CacheBytes), "-", "-"},
		[]string{n.ID, "(all sandboxes)", bytesText(n.SandboxesBytes), "-", "-"},
		[]string{n.ID, "(free of the disk)", bytesText(n.DiskAvailable), "-", "of " + bytesText(n.DiskBytes)})
}

func (f *operatorFlags) nodeDisk(ctx context.Context, slave *masterpb.Response_GetAgents_Agent) nodeDisk {
	info := slave.GetAgentInfo()
	view := nodeDisk{ID: info.GetId().GetValue(), Hostname: info.GetHostname(), Sandboxes: []sandboxDisk{}}
	fail := func(err error) nodeDisk { view.Error = err.Error(); return view }
	asked, err := f.slaveClient(slaveAddress(slave))
	if err != nil {
		return fail(err)
	}
	defer asked.Close()
	ctx, cancel := context.WithTimeout(ctx, diskTimeout)
	defer cancel()
	usage, err := asked.DiskUsage(ctx)
	if err != nil {
		return fail(err)
	}
	view.DiskBytes, view.DiskAvailable, view.CacheBytes = usage.GetDiskBytes(), usage.GetDiskAvailableBytes(), usage.GetCacheBytes()
	for _, s := range usage.GetSandboxes() {
		view.SandboxesBytes += s.GetBytes()
		view.Sandboxes = append(view.Sandboxes, sandboxDisk{
			FrameworkID: s.GetFrameworkId().GetValue(), ExecutorID: s.GetExecutorId().GetValue(), ContainerID: s.GetContainerId().GetValue(),
			Bytes: s.GetBytes(), Files: s.GetFiles(), Running: s.GetRunning(), Unlinked: s.GetUnlinkedBytes(),
		})
	}
	return view
}
