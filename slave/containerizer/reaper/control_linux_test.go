//go:build cgo

package reaper

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// start makes this binary a reaper.
func start(t *testing.T) *Control {
	t.Helper()
	control, theirs, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	command := exec.Command("/proc/self/exe")
	command.Env = []string{fmt.Sprint(Variable, "=", ControlFD)}
	command.ExtraFiles = []*os.File{theirs}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		control.Close()
		_ = command.Wait()
	})
	return control
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// What stands here for a cgroup's file "tasks" is a plain file: in it is then what the kernel would have been told.
func TestAReaperEntersItsCgroupsBeforeTheCommandRuns(t *testing.T) {
	for _, present := range []bool{false, true} {
		control := start(t)
		if present {
			if err := control.Present(); err != nil {
				t.Fatal(err)
			}
		}
		var cgroups []*os.File
		for i := range MaxCgroups {
			cgroups = append(cgroups, open(t, filepath.Join(t.TempDir(), fmt.Sprint(i))))
		}
		list := filepath.Join(t.TempDir(), "descriptors")
		spec := containerizer.Spec{Args: []string{"sh", "-c", "ls /proc/self/fd > " + list}, Env: []string{"PATH=/usr/bin:/bin"}}
		if err := control.Launch(spec, cgroups...); err != nil {
			t.Fatal(err)
		}
		if _, err := control.Started(); err != nil {
			t.Fatal(err)
		}
		if end, err := control.Wait(); err != nil || end.Status != 0 {
			t.Fatalf("%+v, %v", end, err)
		}
		for _, file := range cgroups {
			if told, err := os.ReadFile(file.Name()); err != nil || string(told) != "0" {
				t.Errorf("a cgroup was told %q, %v, want 0: whoever writes it", told, err)
			}
		}
		if seen, err := os.ReadFile(list); err != nil || string(seen) != "0\n1\n2\n3\n" {
			t.Errorf("the command has the descriptors %q, %v, want the usual ones and that of the list", seen, err)
		}
	}
}

func TestWhatCannotBeEnteredIsNotTheCommandsFault(t *testing.T) {
	control := start(t)
	ran := filepath.Join(t.TempDir(), "ran")
	spec := containerizer.Spec{Args: []string{"touch", ran}, Env: []string{"PATH=/usr/bin:/bin"}}
	if err := control.Launch(spec, open(t, "/dev/full")); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Started(); !errors.Is(err, ErrNotEntered) {
		t.Errorf("got %v", err)
	}
	if _, err := control.Wait(); !errors.Is(err, ErrGone) {
		t.Errorf("it goes on: %v", err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the command ran")
	}
	if err := control.Launch(spec, make([]*os.File, MaxCgroups+1)...); err == nil {
		t.Error("too many are no error")
	}
}

func TestALargeLaunchArrivesWhole(t *testing.T) {
	control := start(t)
	text := make([]byte, 100_000) // one argument may have 128 KiB
	for i := range text {
		text[i] = 'x'
	}
	spec := containerizer.Spec{Args: []string{"sh", "-c", "exit $(($# == 10 && ${#1} == 100000))", "sh"}, Env: []string{"PATH=/usr/bin:/bin"}}
	for range 10 {
		spec.Args = append(spec.Args, string(text))
	}
	if err := control.Launch(spec, open(t, filepath.Join(t.TempDir(), "tasks"))); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Started(); err != nil {
		t.Fatal(err)
	}
	if end, err := control.Wait(); err != nil || end.Status.ExitStatus() != 1 {
		t.Errorf("%+v, %v: an argument is not as it was", end, err)
	}
}
