//go:build cgo

package libcontainer

import (
	"os"

	runc "github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // its C constructor enters the namespaces before Go starts
	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer/reaper"
)

// init is the second half of every container's start. libcontainer executes the
// host's own binary again, as `init`, inside the new namespaces; what runs there
// must be this and nothing else, before main and whatever main does.
func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		if os.Getenv("_LIBCONTAINER_INITTYPE") == "standard" {
			go endWithHost(reaper.ControlFD)
		}
		runc.Init()
	}
}

// endWithHost ends this process when the host's end of the control socket is
// closed: libcontainer alone would wait for ever for the word of a host that died.
// (PR_SET_PDEATHSIG is no help: it goes by the thread that forked.) It is over
// when the reaper is executed, which has the same lifeline.
func endWithHost(control int) {
	for {
		ready := []unix.PollFd{{Fd: int32(control), Events: unix.POLLRDHUP}}
		if _, err := unix.Poll(ready, -1); err == unix.EINTR {
			continue
		}
		if ready[0].Revents&unix.POLLRDHUP != 0 {
			os.Exit(1)
		}
		return // no socket: this is no container of ours
	}
}
