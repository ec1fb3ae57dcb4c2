//go:build linux && cgo

package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
)

// Commands that mean harm, or behave as if they did: each runs in a real container, is killed if it does not end by
// itself, and must leave nothing: no process, cgroup, mount or state, which the watch checks, and no file outside of
// its sandbox.

// hostileVariable makes the test binary, which commands see at BinaryPath, do what it names.
const hostileVariable = "STOA_TEST_HOSTILE"

// beHostile tries what no shell can. Exit status 0 means that it was refused.
func beHostile(what string) {
	succeeded := false
	switch what {
	case "ptrace": // the reaper is of the same user
		succeeded = unix.PtraceAttach(1) == nil
	case "memory": // the reaper's, past the kernel's permissions for tracing
		file, err := os.OpenFile("/proc/1/mem", os.O_RDWR, 0)
		if succeeded = err == nil; succeeded {
			file.Close()
		}
	case "unshare":
		succeeded = unix.Unshare(unix.CLONE_NEWNS) == nil || unix.Unshare(unix.CLONE_NEWPID) == nil
	case "join":
		file, err := os.Open("/proc/1/ns/mnt")
		if err == nil {
			succeeded = unix.Setns(int(file.Fd()), unix.CLONE_NEWNS) == nil
			file.Close()
		}
	case "descriptors": // none of the host's is open, and none that the container's making needed
		entries, err := os.ReadDir("/proc/self/fd")
		for _, entry := range entries {
			target, err := os.Readlink("/proc/self/fd/" + entry.Name())
			kernel := strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "pipe:") || target == "/dev/null"
			if err == nil && !kernel && !strings.HasPrefix(target, "/proc/") {
				fmt.Println(entry.Name(), target)
				succeeded = true
			}
		}
		succeeded = succeeded || err != nil
	default:
		fmt.Println("no such harm:", what)
		os.Exit(2)
	}
	if succeeded {
		fmt.Println(what, "succeeded")
		os.Exit(1)
	}
	os.Exit(0)
}

func TestACommandCantReachOutByTheKernelsDoors(t *testing.T) {
	w, c := inside(t)
	for _, user := range []string{"", "nobody"} {
		for _, what := range []string{"ptrace", "memory", "unshare", "join", "descriptors"} {
			t.Run(what+" as "+user, func(t *testing.T) {
				spec := w.Spec(what+user, "")
				spec.Args = []string{"hostile"}
				spec.Executable, spec.User = BinaryPath, user
				spec.Env = append(spec.Env, hostileVariable+"="+what)
				if got := containertest.Run(t, c, spec); got.Exit.Status != 0 {
					t.Errorf("status %d: %s%s", got.Exit.Status.ExitStatus(), got.Stdout, got.Stderr)
				}
			})
		}
	}
}

func TestHostileCommandsLeaveNothing(t *testing.T) {
	const forever = "; touch ready; sleep 1000"
	for _, one := range []struct {
		name, script string
		limit        func(*containerizer.Spec)
		ends         bool // by itself
	}{
		{name: "a fork bomb", script: "bomb() { bomb | bomb & }; bomb" + forever, limit: func(s *containerizer.Spec) { s.PIDs = 64 }},
		{name: "a memory hog", script: "touch ready; exec tail /dev/zero", limit: func(s *containerizer.Spec) { s.MemoryBytes = 40 << 20 }, ends: true},
		{name: "a hog in shared memory", script: "touch ready; head -c 60m /dev/zero > /dev/shm/x", limit: func(s *containerizer.Spec) { s.MemoryBytes = 40 << 20 }, ends: true},
		{name: "a command deaf to every signal", script: "trap '' TERM INT HUP QUIT USR1 USR2" + forever},
		{name: "one that double-forks away", script: "( setsid sh -c 'setsid sleep 1000 & setsid sleep 1000 &' & )" + forever},
		{name: "one that closes its streams", script: "exec <&- >&- 2>&-" + forever},
		{name: "a grandchild that holds stdout", script: "( sleep 1000 & ); touch ready; exit 0", ends: true},
		{name: "one that stops itself", script: "touch ready; kill -STOP $$"},
		{name: "one that kills everybody", script: "touch ready; kill -9 -1; exit 0", ends: true},
		{name: "one that changes its cgroup", script: "for f in $(find /sys/fs/cgroup -name cgroup.procs 2>/dev/null | head -50); do echo $$ > $f; done" + forever},
		{name: "one that mounts", script: "mount -t tmpfs x /tmp; mount --bind /etc /tmp; mount -t proc proc /tmp; umount -l /proc" + forever},
		{name: "one that makes devices", script: "mknod sda b 8 0; mknod /dev/sda b 8 0; mknod kmsg c 1 11" + forever},
		{name: "one that writes into the kernel", script: "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/panic /proc/sysrq-trigger /sys/kernel/uevent_helper /sys/power/state; do echo x > $f; done" + forever},
		{name: "one with files of every name", script: `i=1; while [ $i -lt 256 ]; do f="$(printf "x\\$(printf %03o $i)x")"; [ $i = 47 ] || : > "./$f"; i=$((i+1)); done` + forever},
		{name: "one with folders 500 deep", script: "i=0; while [ $i -lt 500 ]; do mkdir deep; cd deep; i=$((i+1)); done; cd \"$SANDBOX\"" + forever},
		{name: "one that makes its sandbox unreadable", script: "mkdir a; touch a/b; chmod 0 a ." + "; chmod 755 ." + forever},
	} {
		t.Run(one.name, func(t *testing.T) {
			w, c := inside(t)
			spec := w.Spec("hostile", one.script)
			spec.Executable = "/bin/bash"
			spec.Env = append(spec.Env, "SANDBOX="+spec.Sandbox)
			spec.PIDs = 128
			if one.limit != nil {
				one.limit(&spec)
			}
			container := containertest.Start(t, c, spec)
			containertest.Poll(t, "it has done its worst", containertest.Deadline, func() bool {
				_, err := os.Stat(filepath.Join(spec.Sandbox, "ready"))
				return err == nil
			})
			if !one.ends {
				if err := container.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			begun := time.Now()
			exit := containertest.Await(t, container)
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("its end took %v", took)
			}
			if exit.Killed == one.ends {
				t.Errorf("got %+v", exit)
			}
			// As the slave's collector of old sandboxes would.
			if err := os.RemoveAll(spec.Sandbox); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFullLimitOfProcessesIsAnOutcomeOfItsOwn(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("pids", "sleep 10 & sleep 10 & sleep 10 & sleep 10 & sleep 10 & exit 5")
	spec.PIDs = 4
	if got := containertest.Run(t, c, spec).Exit; !got.OutOfPIDs || got.PIDsLimit != 4 || got.Status.ExitStatus() == 0 {
		t.Errorf("got %+v", got)
	}
	spec.ID, spec.PIDs = "enough", 10
	if got := containertest.Run(t, c, spec).Exit; got.OutOfPIDs || got.Status != 5<<8 {
		t.Errorf("with enough of them: %+v", got)
	}
}

func TestACeilingOfProcessorTimeHolds(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("busy", "touch ready; while :; do :; done")
	spec.MilliCPUs, spec.MilliCPULimit = 1000, 250
	container := containertest.Start(t, c, spec)
	const measured = 2 * time.Second
	begun := time.Now()
	containertest.Poll(t, "it has run for a while", containertest.Deadline, func() bool { return time.Since(begun) >= measured })
	stats, err := container.Stats()
	used := stats.CPUSeconds / time.Since(begun).Seconds()
	t.Logf("a ceiling of 0.250 cpus gave %.3f", used)
	if err != nil || used > 0.25*1.1 {
		t.Errorf("it had %.3f cpus, %v", used, err)
	}
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Await(t, container)
}

// A root user's program of a container must not find a way to write the host's own binary, which runs it.
func TestCVE_2019_5736_TheHostsBinaryCantBeWritten(t *testing.T) {
	w, c := inside(t)
	before, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	refuses(t, w, c, "echo x > /proc/1/exe", ": >> "+BinaryPath, "cp /bin/true "+BinaryPath, "mv "+BinaryPath+" /tmp/x", "rm "+BinaryPath,
		"mount -o remount,rw "+BinaryPath, "chmod 777 "+BinaryPath)
	after, err := os.ReadFile("/proc/self/exe")
	if err != nil || string(before) != string(after) {
		t.Errorf("the binary has changed, %v", err)
	}
}

// Mesos let a container's root overwrite the command executor: here it is an actor of the host, and no file.
func TestCVE_2019_0204_WhatRunsACommandIsOutOfItsReach(t *testing.T) {
	w, c := inside(t)
	refuses(t, w, c, "ls /proc/*/exe -l 2>/dev/null | grep -v ' /proc/self' | grep -q memfd && : > /proc/1/exe", "kill -9 1 && sleep 0.1 && ! kill -0 1",
		"cat /proc/1/maps | grep -q .", "cat /proc/1/environ | grep -q .")
}

// A descriptor of the host's that leaks into a container is a way out of it.
func TestCVE_2024_21626_NoDescriptorOfTheHostIsLeft(t *testing.T) {
	w, c := inside(t)
	var commands []string
	for fd := 3; fd <= 20; fd++ {
		commands = append(commands, fmt.Sprintf("cd /proc/self/fd/%d", fd), fmt.Sprintf("cd /proc/1/fd/%d", fd))
	}
	refuses(t, w, c, commands...)
}

// A masked path stays masked although the container has a /dev/null that it may write.
func TestCVE_2025_31133_MaskedPathsStayMasked(t *testing.T) {
	w, c := inside(t)
	says(t, w, c, w.Spec("swapped", "rm -f /dev/null && ln -s /proc/sys/kernel/core_pattern /dev/null; "+
		"head -c1 /proc/kcore 2>/dev/null | wc -c; ls /sys/firmware | wc -l"), "0\n0\n")
	before, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		t.Fatal(err)
	}
	says(t, w, c, w.Spec("next", "echo x > /dev/null; [ -c /dev/null ] && echo device"), "device\n")
	if after, err := os.ReadFile("/proc/sys/kernel/core_pattern"); err != nil || string(after) != string(before) {
		t.Errorf("core_pattern is %q now, %v", after, err)
	}
}

// Each container has processes and IPC of its own, and nobody may forge packets.
func TestCVE_2021_3283_AndCVE_2021_32575_NoProcessesOfOthersAndNoRawSockets(t *testing.T) {
	w, c := inside(t)
	neighbour := containertest.Start(t, c, w.Spec("neighbour", "exec sleep 1000"))
	refuses(t, w, c, "pgrep -x sleep", fmt.Sprintf("[ -d /proc/%d ]", neighbour.PID()), fmt.Sprintf("kill -0 %d", neighbour.PID()))
	says(t, w, c, w.Spec("raw", `printf '%d\n' $(( 0x$(sed -n 's/^CapEff:\t//p' /proc/self/status) >> 13 & 1 ))`), "0\n") // CAP_NET_RAW is 13
	if err := neighbour.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Await(t, neighbour)
}

// A program with the setuid bit gives nobody more than he has.
func TestCVE_2019_14803_SetuidBitsAreWithoutEffect(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("setuid", "./id -u; grep -h CapEff /proc/self/status | tr -s '\\t' ' '")
	spec.User = "nobody"
	program, err := os.ReadFile("/usr/bin/id")
	if err != nil {
		t.Skip("this machine has no /usr/bin/id")
	}
	path := filepath.Join(spec.Sandbox, "id")
	if err := errors.Join(os.WriteFile(path, program, 0o755), os.Chmod(path, 0o755|fs.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	says(t, w, c, spec, "65534\nCapEff: 0000000000000000\n")
}

// What a task puts where its host will look must not lead the host elsewhere.
func TestCVE_2026_41579_LinksInPlaceOfMountPointsAreNotFollowed(t *testing.T) {
	w, c := inside(t)
	target := outside(t, "/var")
	spec := w.Spec("links", "true")
	if err := os.Symlink(target, filepath.Join(spec.Sandbox, "volume")); err != nil {
		t.Fatal(err)
	}
	spec.Volumes = []containerizer.Volume{{HostPath: "/etc", ContainerPath: "volume/deeper", ReadOnly: true}}
	container, err := c.Start(t.Context(), spec, containerizer.Stdio{})
	if err == nil {
		containertest.Await(t, container)
	}
	if entries, err := os.ReadDir(target); err != nil || len(entries) != 0 {
		t.Errorf("on the machine there is %v now, %v", entries, err)
	}
}

func TestASignalThatNoCommandSurvivesIsTold(t *testing.T) {
	w, c := inside(t)
	for signal, script := range map[syscall.Signal]string{
		syscall.SIGSEGV: "kill -SEGV $$", syscall.SIGXFSZ: "kill -XFSZ $$",
	} {
		if got := containertest.Run(t, c, w.Spec(fmt.Sprint("signal-", int(signal)), script)).Exit; !got.Status.Signaled() || got.Status.Signal() != signal {
			t.Errorf("%v: got %+v", signal, got)
		}
	}
}
