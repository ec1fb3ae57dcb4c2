//go:build linux && cgo

package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
)

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
