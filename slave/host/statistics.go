package host

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer"
)

// statistics answers what containers use now, those of them that run.
func (h *host) statistics(ctx actor.Context, m *wire.GetStatistics) {
	if !h.isSlaves(ctx.Sender()) {
		ctx.Log().Warn().Stringer("sender", ctx.Sender()).Msg("dropped GetStatistics: only this host's slave may send it")
		return
	}
	lives := map[string]*life{}
	for _, id := range m.GetContainerIds() {
		if e := h.executors[id.GetValue()]; e != nil && e.life != nil && e.exit == nil {
			lives[id.GetValue()] = e.life
		}
	}
	asked, unlinked := ctx.Asked(), m.GetUnlinked()
	ctx.Async(func(alive context.Context) any {
		answer := &wire.ContainerStatistics{}
		if unlinked {
			answer.Containers = unlinkedOf(alive, lives)
			return measured{asked, answer}
		}
		for id, life := range lives {
			if s, ok := life.statistics(); ok {
				answer.Containers = append(answer.Containers, &wire.ContainerStatistics_Container{ContainerId: containerID(id), Statistics: s})
			}
		}
		return measured{asked, answer}
	})
}

// UnlinkedTimeout bounds the looks at what the processes of all containers have open, for one question.
const UnlinkedTimeout = 20 * time.Second

// unlinkedOf says what files without a name take that containers have, where it is anything.
func unlinkedOf(ctx context.Context, lives map[string]*life) (all []*wire.ContainerStatistics_Container) {
	ctx, cancel := context.WithTimeout(ctx, UnlinkedTimeout)
	defer cancel()
	for id, life := range lives {
		folder, found, err := life.unlinked(ctx)
		if err != nil {
			continue // it is gone, or there is no time left
		}
		folder.Close()
		if bytes := found.Usage.Bytes; bytes > 0 {
			all = append(all, &wire.ContainerStatistics_Container{ContainerId: containerID(id), UnlinkedBytes: bytes})
		}
	}
	return all
}

// measured is the answer to a question for statistics.
type measured struct {
	asked  actor.Asked
	answer *wire.ContainerStatistics
}

// statistics are what the container uses now, in Mesos's form.
func (l *life) statistics() (*mesos.ResourceStatistics, bool) {
	l.mu.Lock()
	container := l.container
	l.mu.Unlock()
	if container == nil {
		return nil, false
	}
	stats, err := container.Stats()
	if err != nil {
		return nil, false
	}
	return statisticsOf(stats, time.Now()), true
}

// statisticsOf writes statistics as Mesos does: processor time is told as the user's as a whole, for the kernel's accounts do not
// split it.
func statisticsOf(stats containerizer.Stats, now time.Time) *mesos.ResourceStatistics {
	s := &mesos.ResourceStatistics{
		Timestamp:        proto.Float64(float64(now.UnixNano()) / 1e9),
		CpusUserTimeSecs: proto.Float64(stats.CPUSeconds), CpusSystemTimeSecs: proto.Float64(0),
		MemTotalBytes: proto.Uint64(uint64(stats.MemoryBytes)),
		Processes:     proto.Uint32(uint32(stats.Processes)),
	}
	if stats.MemoryLimitBytes > 0 {
		s.MemLimitBytes = proto.Uint64(uint64(stats.MemoryLimitBytes))
	}
	return s
}
