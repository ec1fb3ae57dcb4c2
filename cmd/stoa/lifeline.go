package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/disk"
)

// inherited are the descriptors that a parent of ours (local, demo, a slave) gives a daemon. The flags are hidden:
// nobody types them.
type inherited struct {
	listener  int  // a listening socket, so that a restarted daemon is where its predecessor was
	lifeline  int  // a pipe's read end: its end of file says that the parent is gone
	ephemeral bool // the work_dir goes with the daemon, and the cluster's directory with the last of them
}

func (i *inherited) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&i.listener, "listener_fd", -1, "descriptor of the listening socket")
	flags.IntVar(&i.lifeline, "lifeline_fd", -1, "descriptor whose end of file ends this process")
	flags.BoolVar(&i.ephemeral, "ephemeral", false, "remove the work_dir at the end")
	for _, name := range []string{"listener_fd", "lifeline_fd", "ephemeral"} {
		_ = flags.MarkHidden(name)
	}
}

// listen takes the inherited socket or opens ip:port.
func (i *inherited) listen(ip string, port int) (net.Listener, error) {
	if i.listener >= 0 {
		file := os.NewFile(uintptr(i.listener), "listener")
		defer file.Close()
		listener, err := net.FileListener(file)
		if err != nil {
			return nil, fmt.Errorf("--listener_fd %d: %w", i.listener, err)
		}
		return listener, nil
	}
	return listen(ip, port)
}

// listen opens ip:port; its error names the address and the cure.
func listen(ip string, port int) (net.Listener, error) {
	if net.ParseIP(ip) == nil {
		return nil, usageError("--ip %q is not an IP address; for example 127.0.0.1 or ::1", ip)
	}
	if port < 0 || port > 65535 {
		return nil, usageError("--port %d is not a port; allowed are 1 to 65535, and 0 for any that is free", port)
	}
	address := net.JoinHostPort(ip, fmt.Sprint(port))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		if isInUse(err) {
			return nil, fmt.Errorf("address %s is in use by another program; choose another with --port, or --port 0 for any that is free", address)
		}
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener, nil
}

// watch returns a context that also ends when the parent's end of the lifeline closes, however the parent ended.
func (i *inherited) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if i.lifeline < 0 {
		return ctx, cancel
	}
	file := os.NewFile(uintptr(i.lifeline), "lifeline")
	unix.CloseOnExec(i.lifeline)
	go func() {
		_, _ = io.Copy(io.Discard, file)
		cancel()
	}()
	return ctx, cancel
}

// remove deletes an ephemeral daemon's directory, and with the last one the cluster's.
func (i *inherited) remove(workDir string) {
	if !i.ephemeral || workDir == "" {
		return
	}
	_ = disk.RemovePath(workDir)
	removeClusterDir(filepath.Dir(workDir))
}
