//go:build cgo

package libcontainer

import (
	"errors"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/reaper"
)

// Bare prepares a container as Start of containers, which New made, would, and
// returns what makes it, waits for its end and removes it by the library and a
// reaper alone: the same namespaces, mounts, cgroups and limits, and nothing that
// watches, counts or tells. It is the floor of benchmarks.
func Bare(containers containerizer.Containerizer, spec containerizer.Spec) (run func() error, err error) {
	one := &container{spec: spec, host: containers.(*Containerizer)}
	if one.known, err = one.gather(); err != nil {
		return nil, err
	}
	return one.runBare, nil
}

func (c *container) runBare() (err error) {
	c.config = configure(c.known)
	made, err := c.create()
	if err != nil {
		return err
	}
	control, theirs, err := reaper.New()
	if err != nil {
		return errors.Join(err, made.Destroy(), c.cgroup.Destroy())
	}
	defer control.Close()
	err = c.run(made, containerizer.Stdio{}, theirs)
	theirs.Close()
	if err != nil {
		return errors.Join(err, made.Destroy(), c.cgroup.Destroy())
	}
	tasks, err := c.cgroup.open()
	if err == nil {
		err = control.Launch(c.spec, tasks...)
		tasks.close()
	}
	if err == nil {
		_, err = control.Started()
	}
	if err == nil {
		_, err = control.Wait()
	}
	control.Close() // if the command did not run, this ends the reaper
	_, waited := c.init.Wait()
	return errors.Join(err, waited, made.Destroy(), c.cgroup.Destroy())
}
