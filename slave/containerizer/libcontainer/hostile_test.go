//go:build linux && cgo

package libcontainer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
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
	case "neighbour":
		fmt.Println(beNeighbour())
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
func TestCVE_2025_31133_AndCVE_2019_19921_MaskedPathsStayMasked(t *testing.T) {
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

// A volume shows nothing of what the slave keeps from commands, whichever link leads there and however far above it begins.
func TestCVE_2026_14896_NoVolumeLeadsToWhatIsTheSlavesOwn(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	work, secrets, elsewhere := outside(t, "/var"), outside(t, "/var"), outside(t, "/tmp")
	key := filepath.Join(secrets, "key")
	write(t, key, "secret")
	write(t, filepath.Join(secrets, "public"), "fine\n")
	write(t, filepath.Join(work, "slave.db"), "secret")
	for name, target := range map[string]string{"file": key, "work": work, "hop": filepath.Join(elsewhere, "file")} {
		if err := os.Symlink(target, filepath.Join(elsewhere, name)); err != nil {
			t.Fatal(err)
		}
	}
	containers, err := New(Options{
		StateDir: w.State, HostID: "host", CgroupParent: w.Cgroup + "/host", WorkDir: work, Hide: []string{key},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := containers.Close(); err != nil {
			t.Error(err)
		}
	}()
	spec := w.Spec("c", "true")
	spec.Sandbox = filepath.Join(work, "s")
	if err := os.Mkdir(spec.Sandbox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{
		key, work, filepath.Join(work, "slave.db"), spec.Sandbox, w.State, filepath.Join(elsewhere, "file"), filepath.Join(elsewhere, "hop"),
		filepath.Join(elsewhere, "work"), filepath.Join(elsewhere, "work", "slave.db"), secrets + "/../" + filepath.Base(secrets) + "/key",
	} {
		spec.Volumes = []containerizer.Volume{{HostPath: source, ContainerPath: "/data"}}
		container, err := containers.Start(t.Context(), spec, containerizer.Stdio{})
		if err == nil {
			containertest.Await(t, container)
		}
		var refused *containerizer.SpecError
		if !errors.As(err, &refused) || refused.Value != source {
			t.Errorf("volume %s: %v", source, err)
		}
	}
	spec.Volumes = []containerizer.Volume{
		{HostPath: secrets, ContainerPath: "/data"}, {HostPath: "/var", ContainerPath: "var"}, {HostPath: "/", ContainerPath: "all", ReadOnly: true},
	}
	spec.Args = []string{"sh", "-c", `cat /data/key /data/public; for r in var all/var; do cat "$r/$0/key" "$r/$0/public"; ls -A "$r/$1" | wc -l; touch "$r/$1/x" || echo closed; done`, filepath.Base(secrets), filepath.Base(work)}
	says(t, w, containers, spec, "fine\nfine\n0\nclosed\nfine\n0\nclosed\n")
}

// Through the machine's /proc, wherever it is seen, the links of a process of the same user lead into its container. So no
// volume shows it, and nor do the folders of other systems that have it.
func TestCVE_2026_14896_NoVolumeShowsTheMachinesProcesses(t *testing.T) {
	w, c := inside(t)
	other := outside(t, "/var")
	if err := unix.Mount("proc", other, "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(other, 0); err != nil {
			t.Error(err)
		}
	}()
	neighbour := w.Spec("neighbour", "sleep 1000")
	neighbour.User = "nobody"
	running := containertest.Start(t, c, neighbour)
	look := fmt.Sprintf(`for at in $*; do [ -e "$at/%d" ] && cat "$at/%d/environ"; ls -A "$at"; done`, running.PID(), running.PID())
	spec := w.Spec("curious", "")
	spec.User = "nobody"
	spec.Args = []string{"sh", "-c", look, "sh", other, "/machine/proc", "/machine" + other, "/var2/" + filepath.Base(other)}
	spec.Volumes = []containerizer.Volume{{HostPath: "/", ContainerPath: "/machine", ReadOnly: true}, {HostPath: "/var", ContainerPath: "/var2"}}
	says(t, w, c, spec, "")
	for _, source := range []string{"/proc", fmt.Sprintf("/proc/%d", running.PID()), other} {
		spec.Volumes = []containerizer.Volume{{HostPath: source, ContainerPath: "/data"}}
		container, err := c.Start(t.Context(), spec, containerizer.Stdio{})
		if err == nil {
			containertest.Await(t, container)
		}
		var refused *containerizer.SpecError
		if !errors.As(err, &refused) || refused.Value != source {
			t.Errorf("volume %s: %v", source, err)
		}
	}
	if err := running.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Await(t, running)
}

// swappedVolume is a volume, and what exchanges it for a link to the work directory, or back.
func swappedVolume(t *testing.T, w *containertest.Watch) (volume containerizer.Volume, swap func() error) {
	t.Helper()
	shared := outside(t, "/var")
	at, other := filepath.Join(shared, "at"), filepath.Join(shared, "other")
	if err := errors.Join(os.Mkdir(at, 0o755), os.Symlink(w.Work, other)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(at, "key"), "fine\n")
	write(t, filepath.Join(w.Work, "key"), "secret\n")
	return containerizer.Volume{HostPath: at, ContainerPath: "/data"}, func() error {
		return unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
	}
}

// Where a volume comes from is looked at, and mounted a moment later. Whoever may write above it puts a link there in between:
// then there is no container.
func TestCVE_2026_14896_AVolumeThatIsSwappedBeforeItIsMountedIsRefused(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("victim", "cat /data/key > seen")
	volume, swap := swappedVolume(t, w)
	spec.Volumes = []containerizer.Volume{volume}
	c.options.Passed = func(point Point) {
		if point == Gathered {
			if err := swap(); err != nil {
				t.Error(err)
			}
		}
	}
	container, err := c.Start(t.Context(), spec, containerizer.Stdio{})
	if err == nil {
		containertest.Await(t, container)
		seen, _ := os.ReadFile(filepath.Join(spec.Sandbox, "seen"))
		t.Fatalf("it is started, and sees %q", seen)
	}
	var failed *containerizer.StartError
	if !errors.As(err, &failed) || failed.Step != "volume /data" || !strings.Contains(err.Error(), volume.HostPath+": something else was put there") {
		t.Errorf("got %v", err)
	}
}

// The same by somebody who never stops: what a container sees, if there is one, is what was looked at.
func TestCVE_2026_14896_AVolumeThatIsSwappedAgainAndAgainShowsNothingOfTheSlaves(t *testing.T) {
	w, c := inside(t)
	volume, swap := swappedVolume(t, w)
	var stop atomic.Bool
	stopped := make(chan error, 1)
	go func() {
		var err error
		for err == nil && !stop.Load() {
			err = swap()
		}
		stopped <- err
	}()
	const tries = 60
	links, swapped := 0, 0
	for i := range tries {
		spec := w.Spec(fmt.Sprint("victim-", i), "cat /data/key > seen")
		spec.Volumes = []containerizer.Volume{volume}
		container, err := c.Start(t.Context(), spec, containerizer.Stdio{})
		var own *containerizer.SpecError
		switch {
		case errors.As(err, &own):
			links++
		case err != nil:
			swapped++
		default:
			containertest.Await(t, container)
			if seen, err := os.ReadFile(filepath.Join(spec.Sandbox, "seen")); err != nil || string(seen) != "fine\n" {
				t.Errorf("a container sees %q, %v", seen, err)
			}
		}
	}
	stop.Store(true)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	t.Logf("of %d volumes %d were links when they were looked at, and %d had been swapped when they were mounted", tries, links, swapped)
}

// What a command has executed inherits no capability, whoever it is, and neither does a further command beside it.
func TestCVE_2022_29162_NoCapabilityIsInherited(t *testing.T) {
	w, c := inside(t)
	for _, user := range []string{"", "nobody"} {
		spec := w.Spec("main"+user, "exec sleep 1000")
		spec.User = user
		container := containertest.Start(t, c, spec)
		out, _ := containertest.Beside(t, container, containerizer.Exec{Args: []string{"sh", "-c", "grep -h -e CapInh -e CapAmb /proc/self/status /proc/[0-9]*/status | sort -u"}})
		if want := "CapAmb:\t0000000000000000\nCapInh:\t0000000000000000\n"; out != want {
			t.Errorf("user %q: got %q", user, out)
		}
		if err := container.Kill(); err != nil {
			t.Fatal(err)
		}
		containertest.Await(t, container)
	}
}

// While a container is made, a neighbour that shares a volume with it swaps the mount points in it for links. No mount must
// land where they lead, on the machine or over what is the kernel's.
func TestCVE_2025_52565_AndCVE_2025_52881_ANeighbourThatSwapsLinksLeadsNoMountElsewhere(t *testing.T) {
	w, c := inside(t)
	shared, target := outside(t, "/var"), outside(t, "/var")
	write(t, filepath.Join(target, "kept"), "kept")
	swap := w.Spec("swapper", `while :; do rm -rf /shared/at; mkdir /shared/at; rmdir /shared/at; ln -s "$0" /shared/at; : > turned; rm /shared/at; ln -s /proc/sys /shared/at; done 2>/dev/null`)
	swap.Args = append(swap.Args, target)
	swap.Volumes = []containerizer.Volume{{HostPath: shared, ContainerPath: "/shared"}}
	swapper := containertest.Start(t, c, swap)
	containertest.Poll(t, "the links turn", containertest.Deadline, func() bool {
		_, err := os.Stat(filepath.Join(swap.Sandbox, "turned"))
		return err == nil
	})
	mounts := machinesMounts(t)
	source := outside(t, "/tmp")
	write(t, filepath.Join(source, "foreign"), "foreign")
	started := 0
	for i := range 30 {
		spec := w.Spec(fmt.Sprint("victim-", i), "cat /proc/sys/kernel/ostype; ls "+target+"; touch /proc/sys/foreign 2>/dev/null && echo writable")
		spec.Volumes = []containerizer.Volume{
			{HostPath: shared, ContainerPath: "/shared"}, {HostPath: source, ContainerPath: "/shared/at"},
		}
		container, err := c.Start(t.Context(), spec, containerizer.Stdio{})
		if err != nil {
			continue // it was refused, which is fine
		}
		started++
		containertest.Await(t, container)
	}
	t.Logf("%d of 30 containers were started", started)
	if err := swapper.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Await(t, swapper)
	if entries, err := os.ReadDir(target); err != nil || len(entries) != 1 || entries[0].Name() != "kept" {
		t.Errorf("where the links led there is %v now, %v", entries, err)
	}
	if after := machinesMounts(t); after != mounts {
		t.Errorf("the machine's mounts were\n%s\nand are\n%s", mounts, after)
	}
}

func machinesMounts(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(mounts)
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
