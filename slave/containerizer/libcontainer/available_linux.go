//go:build cgo

package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer/reaper"
)

// Available says in one line why commands can't be isolated here, or nil.
func Available() error {
	if euid := os.Geteuid(); euid != 0 {
		return errUnavailable(fmt.Sprintf("they need root, this is user %d", euid))
	}
	permitted, err := capabilitySet()
	if err != nil {
		return errUnavailable(err.Error())
	}
	if permitted&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return errUnavailable("they need the capability CAP_SYS_ADMIN, which root lacks here")
	}
	probe, err := treeOf(DefaultCgroupRoot)
	if err != nil {
		return errUnavailable(err.Error())
	}
	for _, dir := range probe.dirs {
		hierarchy := filepath.Dir(dir)
		if err := unix.Access(hierarchy, unix.W_OK); err != nil {
			return errUnavailable(fmt.Sprintf("cgroups can't be made in %s: %v", hierarchy, err))
		}
	}
	if _, err := os.Stat("/proc/self/ns/pid"); errors.Is(err, fs.ErrNotExist) {
		return errUnavailable("the kernel has no pid namespaces")
	}
	// A kernel that knows filters of system calls finds none at address 0; another has no such mode.
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, 0, 0, 0); !errors.Is(err, unix.EFAULT) {
		return errUnavailable(fmt.Sprintf("the kernel takes no filter of system calls (seccomp): %v", err))
	}
	if !reaper.Available {
		return errUnavailable("built without the reaper")
	}
	return nil
}
