//go:build linux && cgo

package libcontainer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
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

// hostileKey is a key of the machine's root.
const hostileKey = "stoa-test"

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
	case "keyring": // of its user, who is the machine's as well
		_, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "user", hostileKey, 0)
		succeeded = err == nil
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
	case "sockets":
		fmt.Println(fillSockets())
	case "catch":
		catchFurtherCommands()
	case "massacre", "standstill": // of whatever enters
		if err := os.WriteFile("ready", nil, 0o600); err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		signal := map[string]unix.Signal{"massacre": unix.SIGKILL, "standstill": unix.SIGSTOP}[what]
		for {
			_ = unix.Kill(-1, signal)
		}
	case "neighbour":
		fmt.Println(beNeighbour())
	default:
		fmt.Println("no such harm:", what)
		os.Exit(2)
	}
	if succeeded || what == "catch" {
		fmt.Println(what, "succeeded")
		os.Exit(1)
	}
	os.Exit(0)
}

// catchFurtherCommands tries to trace each process that appears, before anything holds it, and returns if it has got one that
// has no filter of system calls, and so no cgroup either.
func catchFurtherCommands() {
	runtime.LockOSThread()
	const ahead = 64 // of its own process id
	if err := os.WriteFile("ready", nil, 0o600); err != nil {
		fmt.Println(err)
		os.Exit(2)
	}
	for {
		for pid := os.Getpid() + 1; pid < os.Getpid()+ahead; pid++ {
			if unix.PtraceSeize(pid) != nil {
				continue
			}
			_ = unix.PtraceInterrupt(pid)
			var status unix.WaitStatus
			_, _ = unix.Wait4(pid, &status, unix.WALL, nil)
			told, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if strings.Contains(string(told), "Seccomp:\t0") {
				cgroup, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
				fmt.Printf("%s%s", told, cgroup)
				return
			}
			_ = unix.PtraceDetach(pid)
		}
	}
}

// fillSockets sends as much as the kernel takes over connections of its own, that nobody reads, and returns how many bytes.
func fillSockets() (total int) {
	const connections = 600
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return -1
	}
	part := make([]byte, 64<<10)
	for range connections {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			break
		}
		if _, err := listener.Accept(); err != nil {
			break
		}
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			break
		}
		_ = raw.Write(func(fd uintptr) bool {
			for {
				n, err := unix.Write(int(fd), part)
				if err != nil {
					return true
				}
				total += n
			}
		})
	}
	return total
}

// neighbourTurns is how often a neighbour looks how late it is, and neighbourPause how long it sleeps in between.
const (
	neighbourTurns = 400
	neighbourPause = time.Millisecond
)

// beNeighbour is a small periodic task: it sleeps, hashes 16 KB, and so on. It returns the median of what a turn takes
// beyond its sleep, in nanoseconds: the time until it is woken and has had its moment of a processor.
func beNeighbour() int64 {
	var work [16 << 10]byte
	latencies := make([]time.Duration, neighbourTurns)
	for i := range latencies {
		begun := time.Now()
		time.Sleep(neighbourPause) // this is what is measured
		sum := sha256.Sum256(work[:])
		work[0] = sum[0]
		latencies[i] = time.Since(begun) - neighbourPause
	}
	slices.Sort(latencies)
	return latencies[neighbourTurns/2].Nanoseconds()
}

// neighbour runs such a task in a container of its own.
func neighbour(t *testing.T, w *containertest.Watch, c containerizer.Containerizer, id string) time.Duration {
	t.Helper()
	spec := w.Spec(id, "")
	spec.Args, spec.Executable = []string{"neighbour"}, BinaryPath
	spec.Env = append(spec.Env, hostileVariable+"=neighbour")
	spec.MilliCPUs = 1000
	got := containertest.Run(t, c, spec)
	nanoseconds, err := strconv.ParseInt(strings.TrimSpace(got.Stdout), 10, 64)
	if err != nil || got.Exit.Status != 0 {
		t.Fatalf("the neighbour said %q, %+v", got.Stdout, got.Exit)
	}
	return time.Duration(nanoseconds)
}

func TestACommandCantReachOutByTheKernelsDoors(t *testing.T) {
	w, c := inside(t)
	key, err := unix.AddKey("user", hostileKey, []byte("secret"), unix.KEY_SPEC_USER_KEYRING)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.KeyctlInt(unix.KEYCTL_UNLINK, key, unix.KEY_SPEC_USER_KEYRING, 0, 0)
	for _, user := range []string{"", "nobody"} {
		for _, what := range []string{"ptrace", "memory", "unshare", "join", "keyring", "descriptors"} {
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

// hostileBeside starts a container that does harm to further commands.
func hostileBeside(t *testing.T, w *containertest.Watch, c *Containerizer, user, what string) containerizer.Container {
	t.Helper()
	spec := w.Spec(what, "")
	spec.Args, spec.Executable, spec.User = []string{"hostile"}, BinaryPath, user
	spec.Env = append(spec.Env, hostileVariable+"="+what)
	if err := os.Chmod(spec.Sandbox, 0o777); err != nil {
		t.Fatal(err)
	}
	container := containertest.Start(t, c, spec)
	containertest.Poll(t, "it waits for its victims", containertest.Deadline, func() bool {
		_, err := os.Stat(filepath.Join(spec.Sandbox, "ready"))
		return err == nil
	})
	return container
}

// The reaper of a further command starts without cgroup and filter, as the user of those who wait for it.
func TestAFurtherCommandCantBeCaughtBeforeItIsHeld(t *testing.T) {
	for _, user := range []string{"", "nobody"} {
		t.Run("user "+user, func(t *testing.T) {
			w, c := inside(t)
			container := hostileBeside(t, w, c, user, "catch")
			for range 20 {
				further, err := container.Exec(containerizer.Exec{Args: []string{"true"}}, containerizer.Stdio{})
				if err == nil {
					_, err = further.Wait()
				}
				if err != nil {
					break // it has been caught, or is held up
				}
			}
			if err := container.Kill(); err != nil {
				t.Fatal(err)
			}
			if exit := containertest.Await(t, container); !exit.Killed {
				t.Errorf("one was caught: %+v", exit)
			}
		})
	}
}

// libcontainer starts a further command by several processes, and forgets some of them if one is killed. Their remains would keep
// the container from ending, for ever.
func TestAContainerEndsThatKillsWhateverEntersIt(t *testing.T) {
	w, c := inside(t)
	container := hostileBeside(t, w, c, "", "massacre")
	for range 20 {
		if further, err := container.Exec(containerizer.Exec{Args: []string{"sleep", "1000"}}, containerizer.Stdio{}); err == nil {
			_, _ = further.Wait()
		}
	}
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit := containertest.Await(t, container); !exit.Killed {
		t.Errorf("got %+v", exit)
	}
	if left := reapStrays(nil); len(left) > 0 {
		t.Errorf("children of the host are left: %v", left)
	}
}

// What is stopped while it enters, or before it executes a further command, is given up some time.
func TestAContainerThatStopsWhateverEntersItHoldsNobodyUp(t *testing.T) {
	for _, user := range []string{"", "nobody"} {
		t.Run("user "+user, func(t *testing.T) {
			w, c := inside(t)
			c.execTimeout = 200 * time.Millisecond
			container := hostileBeside(t, w, c, user, "standstill")
			for range 5 {
				begun := time.Now()
				further, err := container.Exec(containerizer.Exec{Args: []string{"sleep", "1000"}}, containerizer.Stdio{})
				if err == nil {
					if err := further.Kill(); err != nil {
						t.Error(err)
					}
					_, _ = further.Wait()
				}
				if took := time.Since(begun); took > containertest.Deadline {
					t.Errorf("it took %v", took)
				}
			}
			if err := container.Kill(); err != nil {
				t.Fatal(err)
			}
			containertest.Await(t, container)
		})
	}
}

// Who owns a cgroup namespace may mount cgroups, and root may write there: its own limits, and that it is frozen, which
// no signal ends.
func TestACommandCantLiftItsOwnLimits(t *testing.T) {
	w, c := inside(t)
	const mount = "mkdir own && mount -t cgroup -o memory none own || mount -t cgroup2 none own"
	refuses(t, w, c, "unshare --cgroup true", "unshare --user --map-root-user --cgroup true", "unshare --user --map-root-user --mount --cgroup sh -c '"+mount+"'",
		"unshare --user --map-root-user --mount sh -c '"+mount+"'")
	says(t, w, c, w.Spec("user", "unshare --user --map-root-user --mount --pid --ipc --uts --net --fork id -u"), "0\n")

	spec := w.Spec("other", "")
	program := filepath.Join(spec.Sandbox, "program")
	if err := os.WriteFile(program, unshareOf32Bits(unix.CLONE_NEWUSER|unix.CLONE_NEWCGROUP), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(program).Run(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this kernel executes no programs of 32 bits")
	} else if err != nil {
		t.Fatalf("on the machine: %v", err)
	}
	spec.Args = []string{program}
	if got := containertest.Run(t, c, spec).Exit.Status.ExitStatus(); got != int(syscall.EPERM) {
		t.Errorf("a program of 32 bits got the error %d, want %d", got, syscall.EPERM)
	}
}

// unshareOf32Bits is an i386 program that makes namespaces, and ends with the error's number.
func unshareOf32Bits(flags uint32) []byte {
	const at, headers = 0x10000, 52 + 32
	code := []byte{0xb8, 0x36, 1, 0, 0, 0xbb} // mov eax, 310 (unshare); mov ebx,
	code = binary.LittleEndian.AppendUint32(code, flags)
	code = append(code, 0xcd, 0x80, 0x89, 0xc3, 0xf7, 0xdb, 0xb8, 1, 0, 0, 0, 0xcd, 0x80) // int 0x80; mov ebx, eax; neg ebx; mov eax, 1 (exit); int 0x80
	size := uint32(headers + len(code))
	elf := []byte("\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x03\x00")
	for _, word := range []uint32{1, at + headers, 52, 0, 0, 52 | 32<<16, 1, 0, 1, 0, at, at, size, size, 5, 0x1000} {
		elf = binary.LittleEndian.AppendUint32(elf, word)
	}
	return append(elf, code...)
}

func TestHostileCommandsLeaveNothing(t *testing.T) {
	const forever = "; : > ready; sleep 1000" // without a process of its own, which a limit may refuse
	for _, one := range []struct {
		name, script string
		limit        func(*containerizer.Spec)
		ends         bool // by itself
		outOfPIDs    bool
	}{
		// In the background: a shell tries for half a minute to have a process that it is refused.
		{name: "a fork bomb", script: "bomb() { bomb | bomb & }; bomb & :" + forever, limit: func(s *containerizer.Spec) { s.PIDs = 64 }, outOfPIDs: true},
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
		{name: "one with folders 500 deep", script: "mkdir -p $(printf 'deep/%.0s' $(seq 500))" + forever},
		{name: "one with a hundred thousand files", script: "mkdir many; seq -f many/%.0f 100000 | xargs touch" + forever},
		{name: "one that fills its disk", script: "head -c 256m /dev/zero > large" + forever, limit: func(s *containerizer.Spec) { s.MemoryBytes = 64 << 20 }},
		{name: "one that writes as fast as it can", script: ": > ready; exec yes"},
		{name: "a setuid binary", script: "cp /bin/sleep s; chmod u+s,g+s s; : > ready; exec ./s 1000"},
		{name: "one that traces", script: "for p in /proc/[0-9]*; do true < $p/mem; true > $p/oom_score_adj; done" + forever},
		{name: "links that lead out of the sandbox", script: "ln -s / root; ln -s ../../../.. up; ln -sf /etc/passwd stdout; ln -s $PWD loop" + forever},
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
			spec.MilliCPUs = 1000
			before := neighbour(t, w, c, "before")
			container := containertest.Start(t, c, spec)
			containertest.Poll(t, "it has done its worst", 6*containertest.Deadline, func() bool {
				_, err := os.Stat(filepath.Join(spec.Sandbox, "ready"))
				return err == nil
			})
			beside := neighbour(t, w, c, "beside")
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
			if exit.Killed == one.ends || exit.OutOfPIDs != one.outOfPIDs {
				t.Errorf("got %+v", exit)
			}
			after := neighbour(t, w, c, "after")
			t.Logf("a neighbour's latency: median %v beside it, %v before and %v after: %+.0f %%", beside, before, after, 100*(2*beside.Seconds()/(before+after).Seconds()-1))
			// As the slave's collector of old sandboxes would.
			if err := os.RemoveAll(spec.Sandbox); err != nil {
				t.Error(err)
			}
		})
	}
}

// What nobody reads is held by the kernel, for whoever sent it.
func TestBuffersOfSocketsAreBoundedAsMemoryIs(t *testing.T) {
	w, c := inside(t)
	const limit = 64 << 20
	spec := w.Spec("sockets", "")
	spec.Args, spec.Executable, spec.MemoryBytes = []string{"hostile"}, BinaryPath, limit
	spec.Env = append(spec.Env, hostileVariable+"=sockets")
	got := containertest.Run(t, c, spec)
	if got.Exit.OutOfMemory {
		return // where they are counted as memory
	}
	// The kernel lets each socket have a little, whatever the limit.
	total, err := strconv.Atoi(strings.TrimSpace(got.Stdout))
	if err != nil || total < 1<<20 || total > 2*limit {
		t.Errorf("with a limit of %d bytes it holds %q; %+v", limit, got.Stdout, got.Exit)
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

// A container's start takes more threads than a small limit allows, and is no business of the command's.
func TestASmallLimitOfProcessesIsExactAndFailsNoStart(t *testing.T) {
	const starts, largest, beside = 300, 4, 3
	w, c := inside(t)
	for side := range beside { // a host starts several at a time
		t.Run(fmt.Sprint("side ", side), func(t *testing.T) {
			t.Parallel()
			for turn := side; turn < starts; turn += beside {
				limit := turn%largest + 1
				// The shell is the first of them; one more than the limit is refused.
				spec := w.Spec(fmt.Sprint("few-", turn), strings.Repeat("sleep 1000 & ", limit-1)+"echo full; sleep 1000 & echo more")
				spec.PIDs = int64(limit)
				got := containertest.Run(t, c, spec)
				if got.Stdout != "full\n" || !got.Exit.OutOfPIDs || got.Exit.PIDsLimit != spec.PIDs {
					t.Errorf("a limit of %d: it said %q and %q, %+v", limit, got.Stdout, got.Stderr, got.Exit)
				}
			}
		})
	}
}

// The kernel counts periods, and refills a ceiling in each: what is used between two moments at which it was used up is so many
// ceilings, however late this test gets to look.
func TestACeilingOfProcessorTimeHolds(t *testing.T) {
	w, c := inside(t)
	// Several, and with a large share, so that it is used up on a busy machine, too.
	spec := w.Spec("busy", "for i in 1 2 3; do while :; do :; done & done; wait")
	spec.MilliCPUs, spec.MilliCPULimit = 64_000, 250
	running := containertest.Start(t, c, spec)
	first := usedUp(t, running.(*container), 0)
	const measured = 40 // periods: 4 s
	last := usedUp(t, running.(*container), first.periods+measured)
	periods := last.periods - first.periods
	of := time.Duration(periods) * containerizer.CPUPeriod
	share := (last.used - first.used).Seconds() / of.Seconds()
	starved := periods - (last.throttled - first.throttled)
	t.Logf("a ceiling of 0.250 cpus gave %.4f in %d periods (%v, by the clock %v), in %d of which it was not used up",
		share, periods, of, last.at.Sub(first.at).Round(time.Millisecond), starved)
	// What others take from a machine that is not free makes it less.
	if share > 0.25*1.03 || starved == 0 && share < 0.25*0.97 {
		t.Errorf("it had %.4f cpus, want 0.25 within 3 %%", share)
	}
	if err := running.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Await(t, running)
}

// ceiling is what the kernel has counted of a container with a ceiling.
type ceiling struct {
	at                 time.Time
	used               time.Duration
	periods, throttled int64
}

// usedUp waits until a container's ceiling is used up in a period, not before the one of a number.
func usedUp(t *testing.T, one *container, notBefore int64) ceiling {
	t.Helper()
	cgroup := one.cgroup.Path("cpu")
	look := func() (now ceiling) {
		stats, err := one.Stats()
		now.at, now.used = time.Now(), time.Duration(stats.CPUSeconds*float64(time.Second))
		var failed [2]error
		now.periods, failed[0] = readKey(cgroup, "cpu.stat", "nr_periods")
		now.throttled, failed[1] = readKey(cgroup, "cpu.stat", "nr_throttled")
		if err := errors.Join(err, failed[0], failed[1]); err != nil {
			t.Fatal(err)
		}
		return now
	}
	before, now := look(), ceiling{}
	containertest.Poll(t, "its ceiling is used up", 6*containertest.Deadline, func() bool {
		now = look()
		same := now.used == before.used && now.throttled == before.throttled && now.periods == before.periods
		before = now
		return same && now.throttled > 0 && now.periods >= notBefore
	})
	return now
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
