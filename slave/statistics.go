package slave

import (
	"cmp"
	"context"
	"os"
	"slices"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/core"
)

// statisticsTimeout bounds a host's answer to how much its containers use.
const statisticsTimeout = 5 * time.Second

// unlinkedTimeout bounds a host's answer to what of files without a name its containers have: longer than a host looks
// (host.UnlinkedTimeout).
const unlinkedTimeout = 25 * time.Second

// statistics asks the host what its containers use, for an operator who has asked the slave.
func (s *shell) statistics(ctx actor.Context) {
	asked, view := ctx.Asked(), s.core.View()
	containers := containersOf(view)
	host := s.hostAt(s.core.Host())
	if host.IsZero() || len(containers) == 0 {
		s.measured(ctx, asked, containers, nil)
		return
	}
	question := &wire.GetStatistics{}
	for _, one := range containers {
		question.ContainerIds = append(question.ContainerIds, one.GetContainerId())
	}
	s.asking[ctx.Ask(host, question, statisticsTimeout)] = func(ctx actor.Context, answer actor.Answer) {
		measured, _ := answer.Message.(*wire.ContainerStatistics)
		s.measured(ctx, asked, containers, measured.GetContainers())
	}
}

// measured completes the answer by what the machine itself has, which is looked up elsewhere.
func (s *shell) measured(ctx actor.Context, asked actor.Asked, containers, measured []*wire.ContainerStatistics_Container) {
	statistics := map[string]*mesos.ResourceStatistics{}
	for _, one := range measured {
		statistics[one.GetContainerId().GetValue()] = one.GetStatistics()
	}
	answer := &wire.ContainerStatistics{}
	for _, one := range containers {
		if one.Statistics = statistics[one.GetContainerId().GetValue()]; one.Statistics != nil {
			answer.Containers = append(answer.Containers, one)
		}
	}
	workDir := s.WorkDir
	ctx.Async(func(context.Context) any {
		answer.Machine = busyness(workDir, time.Now())
		return answered{asked, answer}
	})
}

// answered is the answer to a question that took its time.
type answered struct {
	asked  actor.Asked
	answer any
}

// containersOf lists the containers that run, with what the slave knows of them, by framework and executor.
func containersOf(v *core.View) []*wire.ContainerStatistics_Container {
	var all []*wire.ContainerStatistics_Container
	for _, f := range v.Frameworks {
		for _, ex := range f.Executors {
			one := &wire.ContainerStatistics_Container{
				ContainerId: mesos.NewContainerID(ex.ContainerID), FrameworkId: f.Info.GetId(), ExecutorId: ex.Info.GetExecutorId(),
			}
			if !ex.Command {
				one.Resources = slices.Clone(ex.Info.GetResources())
			}
			for _, t := range f.Tasks {
				if t.ExecutorID == ex.Info.GetExecutorId().GetValue() && !mesos.IsTerminal(t.Task.GetState()) {
					one.TaskIds = append(one.TaskIds, t.Task.GetTaskId())
					one.Resources = append(one.Resources, t.Task.GetResources()...)
				}
			}
			all = append(all, one)
		}
	}
	return all
}

// diskUsage looks what the sandboxes take, for an operator.
func (s *shell) diskUsage(ctx actor.Context) {
	if s.measuring {
		ctx.Reply(&wire.Refused{Reason: "the slave's sandboxes are being measured already: ask again later"})
		return
	}
	s.measuring = true
	asked, workDir := ctx.Asked(), s.WorkDir
	running, question := map[string]bool{}, &wire.GetStatistics{Unlinked: true}
	for _, one := range containersOf(s.core.View()) {
		running[one.GetContainerId().GetValue()] = true
		question.ContainerIds = append(question.ContainerIds, one.GetContainerId())
	}
	measure := func(ctx actor.Context, unlinked []*wire.ContainerStatistics_Container) {
		ctx.Async(func(life context.Context) any {
			return diskMeasured{asked, measureDisk(life, workDir, running, unlinked)}
		})
	}
	// What has no name any more only the host can find: it knows the processes. First, so that nothing counts twice.
	host := s.hostAt(s.core.Host())
	if host.IsZero() || len(running) == 0 {
		measure(ctx, nil)
		return
	}
	s.asking[ctx.Ask(host, question, unlinkedTimeout)] = func(ctx actor.Context, answer actor.Answer) {
		found, _ := answer.Message.(*wire.ContainerStatistics)
		measure(ctx, found.GetContainers())
	}
}

// diskMeasured is the end of a look at the disk.
type diskMeasured struct {
	asked  actor.Asked
	answer any
}

// measureDisk says what lies in a work_dir, with the files without a name that containers have.
func measureDisk(ctx context.Context, workDir string, running map[string]bool, unlinked []*wire.ContainerStatistics_Container) any {
	sandboxes, err := checkpoint.Sandboxes(ctx, workDir)
	if err != nil {
		return &wire.Refused{Reason: "measure the sandboxes: " + err.Error()}
	}
	nameless := map[string]uint64{}
	for _, one := range unlinked {
		nameless[one.GetContainerId().GetValue()] = one.GetUnlinkedBytes()
	}
	usage := &wire.DiskUsage{}
	for _, one := range sandboxes {
		bytes := nameless[one.Run.ContainerID]
		usage.Sandboxes = append(usage.Sandboxes, &wire.DiskUsage_Sandbox{
			FrameworkId: mesos.NewFrameworkID(one.Run.FrameworkID), ExecutorId: mesos.NewExecutorID(one.Run.ExecutorID),
			ContainerId: mesos.NewContainerID(one.Run.ContainerID), Bytes: one.Bytes + bytes, Files: one.Files, Running: running[one.Run.ContainerID],
			UnlinkedBytes: bytes,
		})
	}
	slices.SortFunc(usage.Sandboxes, byBytes)
	if root, err := os.OpenRoot(workDir); err == nil {
		defer root.Close()
		cache, err := checkpoint.Measure(ctx, root, fetcherFolder)
		if err == nil {
			usage.CacheBytes = cache.Bytes
		}
	}
	usage.DiskBytes, usage.DiskAvailableBytes = diskOf(workDir)
	return usage
}

// byBytes orders sandboxes, the largest first.
func byBytes(a, b *wire.DiskUsage_Sandbox) int {
	return cmp.Or(cmp.Compare(b.GetBytes(), a.GetBytes()), cmp.Compare(a.GetContainerId().GetValue(), b.GetContainerId().GetValue()))
}
