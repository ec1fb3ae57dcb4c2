package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

// statsInterval is between two looks at what is used: processors in use are a difference.
const statsInterval = time.Second

// containerStats are what a container uses, as --json shows it.
type containerStats struct {
	TaskIDs       []string `json:"task_ids"`
	FrameworkID   string   `json:"framework_id"`
	ExecutorID    string   `json:"executor_id"`
	ContainerID   string   `json:"container_id"`
	SlaveID       string   `json:"slave_id"`
	CPUs          float64  `json:"cpus"` // in use, over the last interval
	CPUSeconds    float64  `json:"cpu_seconds"`
	MemoryBytes   uint64   `json:"memory_bytes"`
	MemoryLimit   uint64   `json:"memory_limit_bytes,omitempty"`
	Processes     uint32   `json:"processes"`
	Resources     amounts  `json:"resources"`
	TimestampSecs float64  `json:"timestamp"`
	IntervalSecs  float64  `json:"interval_seconds"`
}

func newContainerStats(slaveID string, now, before *wire.ContainerStatistics_Container) containerStats {
	s := now.GetStatistics()
	view := containerStats{
		TaskIDs: []string{}, FrameworkID: now.GetFrameworkId().GetValue(), ExecutorID: now.GetExecutorId().GetValue(),
		ContainerID: now.GetContainerId().GetValue(), SlaveID: slaveID, CPUSeconds: cpuSeconds(s),
		MemoryBytes: s.GetMemTotalBytes(), MemoryLimit: s.GetMemLimitBytes(), Processes: s.GetProcesses(),
		Resources: newAmounts(now.GetResources()), TimestampSecs: s.GetTimestamp(),
	}
	for _, id := range now.GetTaskIds() {
		view.TaskIDs = append(view.TaskIDs, id.GetValue())
	}
	view.IntervalSecs = s.GetTimestamp() - before.GetStatistics().GetTimestamp()
	if before.GetStatistics() != nil && view.IntervalSecs > 0 {
		view.CPUs = max(0, cpuSeconds(s)-cpuSeconds(before.GetStatistics())) / view.IntervalSecs
	}
	return view
}

func cpuSeconds(s *mesos.ResourceStatistics) float64 {
	return s.GetCpusUserTimeSecs() + s.GetCpusSystemTimeSecs()
}

func containerIn(s *wire.ContainerStatistics, id string) *wire.ContainerStatistics_Container {
	for _, one := range s.GetContainers() {
		if one.GetContainerId().GetValue() == id {
			return one
		}
	}
	return nil
}

var statsHeader = []string{"TASK", "CPUS USED/OF", "CPU TIME", "MEM USED/LIMIT", "PROCESSES"}

func (s containerStats) row(task string) []string {
	limit := "-"
	if s.MemoryLimit > 0 {
		limit = bytesText(s.MemoryLimit)
	}
	return []string{
		task, fmt.Sprintf("%.2f/%s", s.CPUs, s.Resources.number("cpus")), time.Duration(s.CPUSeconds * float64(time.Second)).Round(10 * time.Millisecond).String(),
		bytesText(s.MemoryBytes) + "/" + limit, itoa(int(s.Processes)),
	}
}

// bytesText is an amount of bytes as people write it: 12 KB, 1.5 GB, in powers of 1024.
func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return strconv.FormatUint(n, 10) + " B"
	}
	value, at := float64(n)/unit, 0
	for value >= unit && at < len("KMGTPE")-1 {
		value, at = value/unit, at+1
	}
	precision := 0
	if value < 10 {
		precision = 1
	}
	return strconv.FormatFloat(value, 'f', precision, 64) + " " + "KMGTPE"[at:at+1] + "B"
}

func newTaskStats(std stdio) *cobra.Command {
	var flags taskFlags
	var watch bool
	command := &cobra.Command{
		Use:   "stats ID",
		Short: "Show what a task uses: processors, memory, processes",
		Long: `Shows what the container of a task that runs uses; tasks of a framework's own executor share one. Processors
in use are those of the last second. With --watch there is a new line each second (with --json an object), until the task ends.`,
		Example: `  stoa task stats sleep-0
  stoa task stats -w --json sleep-0 | jq .memory_bytes`,
		Args:              oneArg("task's id"),
		ValidArgsFunction: flags.completeRunning,
		RunE: func(command *cobra.Command, args []string) error {
			return flags.stats(command.Context(), std, args[0], watch)
		},
	}
	flags.addTask(command.Flags())
	flags.addJSON(command.Flags())
	command.Flags().BoolVarP(&watch, "watch", "w", false, "go on until the task ends")
	return withSettings(command)
}

func (f *taskFlags) stats(ctx context.Context, std stdio, id string, watch bool) error {
	found, err := f.find(ctx, id, false)
	if err != nil {
		return err
	}
	found.master.Close()
	slave, err := f.slaveClient(slaveAddress(found.slave))
	if err != nil {
		return err
	}
	defer slave.Close()
	task, container := found.task.GetTaskId().GetValue(), containerOf(found.task)
	slaveID := found.task.GetAgentId().GetValue()
	var before *wire.ContainerStatistics_Container
	for shown := 0; ; {
		statistics, err := askStatistics(ctx, slave)
		if err != nil {
			return interruptedOr(ctx, err)
		}
		now := containerIn(statistics, container)
		switch {
		case now == nil && shown > 0:
			return nil // the end
		case now == nil:
			return fmt.Errorf("task %s has no container that runs", task)
		case before != nil:
			if err := f.showStats(std.out, newContainerStats(slaveID, now, before), task, watch, shown == 0); err != nil {
				return err
			}
			shown++
		}
		before = now
		if shown > 0 && !watch {
			return nil
		}
		select {
		case <-time.After(statsInterval):
		case <-ctx.Done():
			return &exitError{code: exitInterrupted}
		}
	}
}

func (f *taskFlags) showStats(out io.Writer, s containerStats, task string, watch, first bool) error {
	switch {
	case f.json && watch:
		return json.NewEncoder(out).Encode(s)
	case f.json:
		return printJSON(out, []containerStats{s})
	}
	var text strings.Builder
	if err := table(&text, statsHeader, [][]string{s.row(task)}); err != nil {
		return err
	}
	shown := text.String()
	if !first {
		_, shown, _ = strings.Cut(shown, "\n") // below the header, in its columns
	}
	_, err := io.WriteString(out, shown)
	return err
}

func askStatistics(ctx context.Context, slave *client.Client) (*wire.ContainerStatistics, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return slave.Statistics(ctx)
}

func interruptedOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &exitError{code: exitInterrupted}
	}
	return err
}

// nodeStats are how busy a slave is, as --json shows it.
type nodeStats struct {
	ID              string           `json:"id"`
	Hostname        string           `json:"hostname"`
	Error           string           `json:"error,omitempty"` // why there is nothing else
	CPUs            float64          `json:"cpus"`
	CPUsUsed        float64          `json:"cpus_used"` // by everything on the machine, over the last interval
	Load            float64          `json:"load_1min"`
	MemoryBytes     uint64           `json:"memory_bytes"`
	MemoryAvailable uint64           `json:"memory_available_bytes"`
	DiskBytes       uint64           `json:"disk_bytes"`
	DiskAvailable   uint64           `json:"disk_available_bytes"`
	Containers      []containerStats `json:"containers"`
}

func newNodeStats(std stdio) *cobra.Command {
	var flags operatorFlags
	command := &cobra.Command{
		Use:   "stats [ID]",
		Short: "Show how busy the slaves are",
		Long: `Asks each slave, or one, how busy its machine is, Stoa's tasks and all else together, and how many containers
run there. With --json each container's figures are there too.`,
		Example: `  stoa node stats
  stoa node stats --json S0 | jq '.[0].containers'`,
	}
	return askSlaves(std, command, &flags, flags.nodeStats, []string{"ID", "HOSTNAME", "CPUS", "LOAD", "MEM", "DISK", "CONTAINERS", "ERROR"},
		func(n nodeStats) [][]string { return [][]string{n.row()} })
}

// askSlaves completes a command that asks every slave, or the one that is named, and prints the answers.
func askSlaves[T any](std stdio, command *cobra.Command, flags *operatorFlags, ask func(context.Context, *masterpb.Response_GetAgents_Agent) T,
	header []string, rowsOf func(T) [][]string,
) *cobra.Command {
	command.Args = atMostOneArg("slave's id, the end of it as in S0, or its hostname")
	command.ValidArgsFunction = flags.completeNodes
	command.RunE = func(command *cobra.Command, args []string) error {
		slaves, err := flags.slaves(command.Context(), args)
		if err != nil {
			return err
		}
		all := onEachSlave(slaves, func(slave *masterpb.Response_GetAgents_Agent) T { return ask(command.Context(), slave) })
		if flags.json {
			return printJSON(std.out, all)
		}
		var rows [][]string
		for _, answer := range all {
			rows = append(rows, rowsOf(answer)...)
		}
		return table(std.out, header, rows)
	}
	flags.add(command.Flags())
	return withSettings(command)
}

func (n nodeStats) row() []string {
	if n.Error != "" {
		return []string{n.ID, n.Hostname, "-", "-", "-", "-", "-", n.Error}
	}
	return []string{
		n.ID, n.Hostname, fmt.Sprintf("%.2f/%g", n.CPUsUsed, n.CPUs), fmt.Sprintf("%.2f", n.Load),
		bytesText(n.MemoryBytes-n.MemoryAvailable) + "/" + bytesText(n.MemoryBytes), bytesText(n.DiskBytes-n.DiskAvailable) + "/" + bytesText(n.DiskBytes),
		itoa(len(n.Containers)), "-",
	}
}

// nodeStats looks twice at a slave.
func (f *operatorFlags) nodeStats(ctx context.Context, slave *masterpb.Response_GetAgents_Agent) nodeStats {
	info := slave.GetAgentInfo()
	view := nodeStats{ID: info.GetId().GetValue(), Hostname: info.GetHostname(), Containers: []containerStats{}}
	before, now, err := f.twice(ctx, slaveAddress(slave))
	if err != nil {
		view.Error = err.Error()
		return view
	}
	m := now.GetMachine()
	view.CPUs, view.Load = m.GetCpus(), m.GetLoad_1Min()
	view.MemoryBytes, view.MemoryAvailable = m.GetMemoryBytes(), m.GetMemoryAvailableBytes()
	view.DiskBytes, view.DiskAvailable = m.GetDiskBytes(), m.GetDiskAvailableBytes()
	if passed := m.GetTimestamp() - before.GetMachine().GetTimestamp(); passed > 0 {
		view.CPUsUsed = max(0, m.GetCpuSeconds()-before.GetMachine().GetCpuSeconds()) / passed
	}
	for _, one := range now.GetContainers() {
		view.Containers = append(view.Containers, newContainerStats(view.ID, one, containerIn(before, one.GetContainerId().GetValue())))
	}
	return view
}

func (f *operatorFlags) twice(ctx context.Context, address string) (before, now *wire.ContainerStatistics, err error) {
	slave, err := f.slaveClient(address)
	if err != nil {
		return nil, nil, err
	}
	defer slave.Close()
	if before, err = askStatistics(ctx, slave); err != nil {
		return nil, nil, err
	}
	select {
	case <-time.After(statsInterval):
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	now, err = askStatistics(ctx, slave)
	return before, now, err
}

// maxAsked is how many slaves are asked at the same time.
const maxAsked = 64

// onEachSlave asks slaves, some at a time, and gives the answers in their order.
func onEachSlave[T any](slaves []*masterpb.Response_GetAgents_Agent, ask func(*masterpb.Response_GetAgents_Agent) T) []T {
	answers := make([]T, len(slaves))
	places := make(chan struct{}, maxAsked)
	var all sync.WaitGroup
	for i, slave := range slaves {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			answers[i] = ask(slave)
		})
	}
	all.Wait()
	return answers
}

// slaves are those that are connected, or the one that is named.
func (f *operatorFlags) slaves(ctx context.Context, args []string) ([]*masterpb.Response_GetAgents_Agent, error) {
	if len(args) == 1 {
		slave, err := f.findNode(ctx, args[0])
		return []*masterpb.Response_GetAgents_Agent{slave}, err
	}
	answers, err := f.ask(ctx, masterpb.Call_GET_AGENTS)
	if err != nil {
		return nil, err
	}
	all := answers[0].GetGetAgents().GetAgents()
	return slices.DeleteFunc(all, func(s *masterpb.Response_GetAgents_Agent) bool { return !s.GetActive() && !s.GetDeactivated() }), nil
}

func atMostOneArg(what string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError("%s takes at most one argument, the %s; %d were given", command.CommandPath(), what, len(args))
		}
		return nil
	}
}
