package slave

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/core"
	"github.com/stoa-project/stoa/slave/fetcher"
)

// workDirMode is that of a work_dir that the slave makes: tasks run as other users and must get through.
const workDirMode = 0o755

// load makes the work_dir, reads the checkpoint, and finds what earlier lives left.
func (s *shell) load(ctx actor.Context) {
	log := ctx.Log()
	ctx.Async(func(context.Context) any {
		if err := os.MkdirAll(s.WorkDir, workDirMode); err != nil {
			return failed{fmt.Errorf("work_dir %s: %w: name a folder that can be written to with --work_dir", s.WorkDir, err)}
		}
		content, err := s.Store.Load()
		if err != nil {
			return failed{fmt.Errorf("recover from %s: %w", s.WorkDir, err)}
		}
		if err := checkpoint.RemoveHostSecrets(s.WorkDir); err != nil {
			log.Warn().Err(err).Msg("secrets of hosts that have ended stay")
		}
		if err := checkpoint.RemoveRemains(s.WorkDir); err != nil {
			log.Warn().Err(err).Msg("some remains of earlier lives stay")
		}
		sandboxes, err := checkpoint.FindSandboxes(s.WorkDir)
		if err != nil {
			log.Warn().Err(err).Msg("sandboxes of earlier lives stay")
		}
		return loaded{content, sandboxes}
	})
}

// maybeWrite writes all that waits at once, if no other write is under way: the more there is to write, the fewer
// writes it takes.
func (s *shell) maybeWrite(ctx actor.Context) {
	if s.writing || len(s.toWrite) == 0 {
		return
	}
	var done written
	var changes []core.Change
	for _, p := range s.toWrite {
		done.ids = append(done.ids, p.ID)
		changes = append(changes, p.Changes...)
	}
	s.writing, s.toWrite = true, nil
	ctx.Async(func(context.Context) any {
		if err := s.Store.Write(changes); err != nil {
			return failed{fmt.Errorf("write the checkpoint of %s: %w", s.WorkDir, err)}
		}
		s.wrote(changes)
		return done
	})
}

func (s *shell) written(ctx actor.Context, ids []uint64) {
	s.writing = false
	for _, id := range ids {
		s.step(ctx, core.Persisted{ID: id})
	}
	s.maybeWrite(ctx)
}

func (s *shell) prepareSandbox(ctx actor.Context, o core.PrepareSandbox) {
	abandoned, abandon := context.WithCancel(context.Background())
	s.fetching[o.ContainerID] = abandon
	courier := s.slave.courier
	ctx.Async(func(life context.Context) any {
		defer abandon()
		defer context.AfterFunc(life, abandon)()
		run := checkpoint.Run{
			SlaveID: o.SlaveID, FrameworkID: o.FrameworkID, ExecutorID: o.ExecutorID, ContainerID: o.ContainerID,
		}
		if os.Geteuid() != 0 { // root that does not switch users was told not to
			if err := checkpoint.IsOwn(o.Asked); err != nil {
				return core.SandboxReady{ContainerID: o.ContainerID, Err: err.Error()}
			}
		}
		directory, err := checkpoint.MakeSandbox(s.WorkDir, run, o.User)
		if err != nil {
			return core.SandboxReady{ContainerID: o.ContainerID, Err: err.Error()}
		}
		s.pass("made a sandbox")
		ready := core.SandboxReady{ContainerID: o.ContainerID, Directory: directory}
		request := fetcher.Request{Sandbox: directory, User: o.User, Principal: o.Principal, URIs: o.URIs, DiskBytes: o.DiskBytes}
		request.Files = func(ctx context.Context, sum string, most int64, to io.WriterAt, expect func(int64)) error {
			return courier.fetch(ctx, o.FrameworkID, sum, most, to, expect)
		}
		if err := s.Fetcher.Fetch(abandoned, request); err != nil {
			ready.Err = err.Error()
			var failed *fetcher.Error
			if errors.As(err, &failed) {
				ready.FetchURL = failed.URI
			}
		}
		return ready
	})
}

// fetcherFolder is the part of a work_dir where downloads are kept.
const fetcherFolder = "meta/fetcher"

// FetcherOptions are those of the fetcher of a slave at workDir, where nothing else is said: it keeps its downloads
// there, and no task gets by it what it can't see itself.
func FetcherOptions(workDir string, hide []string) fetcher.Options {
	return fetcher.Options{Directory: filepath.Join(workDir, fetcherFolder), Forbidden: append([]string{workDir}, hide...)}
}

// maybeRemove removes the sandbox that has waited longest, if none is being removed: there is no hurry, and the disk is
// the tasks'.
func (s *shell) maybeRemove(ctx actor.Context) {
	if s.removing || len(s.toRemove) == 0 {
		return
	}
	directory, log := s.toRemove[0], ctx.Log()
	s.removing, s.toRemove = true, s.toRemove[1:]
	ctx.Async(func(context.Context) any {
		if err := checkpoint.RemoveSandbox(s.WorkDir, directory); err != nil {
			log.Warn().Err(err).Msg("a sandbox stays")
			return removed{stays: directory}
		}
		s.pass("removed a sandbox")
		return removed{}
	})
}

// lookAtDisk looks how full the disk is that the sandboxes are on. What the fetcher has kept can be had again: it goes before any of
// them goes for want of room.
func (s *shell) lookAtDisk(ctx actor.Context) {
	ctx.Async(func(context.Context) any {
		use, err := diskUse(s.WorkDir)
		if err == nil && use >= 1-s.GCDiskHeadroom {
			s.Fetcher.DropCache()
			use, err = diskUse(s.WorkDir)
		}
		return diskLookedAt{use, err}
	})
}

func (s *shell) diskLookedAt(ctx actor.Context, m diskLookedAt) {
	if m.err != nil {
		ctx.Log().Warn().Err(m.err).Msg("how full the disk is can't be told")
	} else {
		s.step(ctx, core.DiskMeasured{Use: m.use})
	}
	ctx.After(s.DiskWatchInterval, lookAtDisk{})
}

// makeVolume is done at once, as is the beginning of removeVolume: they are a few calls of the file system each, and what
// follows must find them done.
func (s *shell) makeVolume(ctx actor.Context, o core.MakeVolume) {
	if err := checkpoint.MakeVolume(s.WorkDir, o.Volume, o.User); err != nil {
		ctx.Log().Warn().Err(err).Msg("a persistent volume is not as it should be")
	}
	s.pass("made a volume")
}

func (s *shell) removeVolume(ctx actor.Context, o core.RemoveVolume) {
	s.discarded++
	remove, err := checkpoint.DiscardVolume(s.WorkDir, o.Volume, s.discarded)
	if err != nil {
		ctx.Log().Warn().Err(err).Msg("a persistent volume stays")
		return
	}
	log := ctx.Log()
	ctx.Async(func(context.Context) any {
		if err := remove(); err != nil {
			log.Warn().Err(err).Msg("a part of a persistent volume stays")
		}
		s.pass("removed a volume")
		return nil
	})
}

// startHost starts a host process and watches it to its end. A host whose slave has died sees that by its link and
// cleans up after itself; it is given a moment for that.
func (s *shell) startHost(ctx actor.Context, id string) {
	secret := s.Secrets.issue(core.Proof{HostID: id})
	system, self := ctx.System(), ctx.Self()
	s.hosts[id] = nil
	ctx.Async(func(life context.Context) any {
		process, err := s.newHost(id, secret)
		if err != nil {
			return core.HostEnded{HostID: id, Reason: err.Error()}
		}
		system.Send(self, hostStarted{id, process})
		select {
		case err := <-process.Done():
			return core.HostEnded{HostID: id, Reason: ending(err)}
		case <-life.Done():
		}
		patience := time.NewTimer(core.HostGoodbye)
		defer patience.Stop()
		select {
		case <-process.Done():
		case <-patience.C:
			process.Kill()
		}
		return nil
	})
}

// killHost kills a host's process, now or as soon as it is there.
func (s *shell) killHost(id string) {
	process, known := s.hosts[id]
	switch {
	case process != nil:
		process.Kill()
	case known:
		s.condemned[id] = true
	}
}

func (s *shell) newHost(id string, secret []byte) (Process, error) {
	workDir, err := filepath.Abs(s.WorkDir)
	if err != nil {
		return nil, err
	}
	file, err := checkpoint.WriteHostSecret(workDir, id, secret)
	if err != nil {
		return nil, err
	}
	s.pass("wrote a host's secret")
	return s.StartHost(HostSpec{
		ID:           id,
		SlaveAddress: s.near(),
		SecretFile:   file,
		Secret:       secret,
		WorkDir:      workDir,
		Isolation:    s.Isolation,
		Hide:         s.Hide,
		CFS:          s.CFS,
		LogMaxBytes:  s.LogMaxBytes,
		LogMaxFiles:  s.LogMaxFiles,
	})
}

// ending says how a process ended.
func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

func (s *shell) hostEnded(ctx actor.Context, m core.HostEnded) {
	delete(s.hosts, m.HostID)
	delete(s.condemned, m.HostID)
	s.Secrets.forget(core.Proof{HostID: m.HostID})
	log := ctx.Log()
	ctx.Async(func(context.Context) any {
		if err := checkpoint.RemoveHostSecret(s.WorkDir, m.HostID); err != nil {
			log.Warn().Err(err).Msg("the secret of a host that has ended stays")
		}
		return nil
	})
	s.step(ctx, m)
}
