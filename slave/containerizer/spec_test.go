package containerizer

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

func good() Spec {
	return Spec{
		ID: "a.b_c+d-9", Args: []string{"true"}, Env: []string{"A=b", "EMPTY="}, Sandbox: "/work/a b:c",
		Volumes: []Volume{{HostPath: "/data", ContainerPath: "in/data"}, {HostPath: "/etc/hosts", ContainerPath: "/x"}},
	}
}

func TestAGoodSpecPasses(t *testing.T) {
	if err := good().Check(); err != nil {
		t.Error(err)
	}
}

func TestABadSpecIsRefusedWithFieldAndValue(t *testing.T) {
	for _, one := range []struct {
		field, value string
		spoil        func(*Spec)
	}{
		{"ID", "", func(s *Spec) { s.ID = "" }},
		{"ID", "..", func(s *Spec) { s.ID = ".." }},
		{"ID", "a/b", func(s *Spec) { s.ID = "a/b" }},
		{"ID", "a b", func(s *Spec) { s.ID = "a b" }},
		{"ID", strings.Repeat("x", MaxIDLength+1), func(s *Spec) { s.ID = strings.Repeat("x", MaxIDLength+1) }},
		{"Sandbox", "relative", func(s *Spec) { s.Sandbox = "relative" }},
		{"Sandbox", "/", func(s *Spec) { s.Sandbox = "/" }},
		{"Sandbox", "/a\x00b", func(s *Spec) { s.Sandbox = "/a\x00b" }},
		{"Args", "0", func(s *Spec) { s.Args = nil }},
		{"Args[0]", "", func(s *Spec) { s.Args = []string{""} }},
		{"Args[1]", "a\x00b", func(s *Spec) { s.Args = []string{"true", "a\x00b"} }},
		{"Env[0]", "NOVALUE", func(s *Spec) { s.Env = []string{"NOVALUE"} }},
		{"Env[1]", "=x", func(s *Spec) { s.Env = []string{"A=", "=x"} }},
		{"MilliCPUs", "-1", func(s *Spec) { s.MilliCPUs = -1 }},
		{"Executable", "a\x00b", func(s *Spec) { s.Executable = "a\x00b" }},
		{"MilliCPULimit", "-1", func(s *Spec) { s.MilliCPULimit = -1 }},
		{"Rlimits[0].Resource", "16", func(s *Spec) { s.Rlimits = []Rlimit{{Resource: 16}} }},
		{"Rlimits[1].Soft", "2", func(s *Spec) { s.Rlimits = []Rlimit{{}, {Resource: 1, Soft: 2, Hard: 1}} }},
		{"Rlimits", "17", func(s *Spec) { s.Rlimits = make([]Rlimit, MaxRlimits+1) }},
		{"MemoryBytes", "-1", func(s *Spec) { s.MemoryBytes = -1 }},
		{"PIDs", "-1", func(s *Spec) { s.PIDs = -1 }},
		{"Volumes[0].HostPath", "data", func(s *Spec) { s.Volumes[0].HostPath = "data" }},
		{"Volumes[1].ContainerPath", "", func(s *Spec) { s.Volumes[1].ContainerPath = "" }},
		{"Volumes[1].ContainerPath", "/..", func(s *Spec) { s.Volumes[1].ContainerPath = "/.." }},
		{"Volumes", "257", func(s *Spec) { s.Volumes = make([]Volume, MaxVolumes+1) }},
	} {
		spec := good()
		one.spoil(&spec)
		err := spec.Check()
		var wrong *SpecError
		if !errors.As(err, &wrong) || wrong.Field != one.field || (one.value != "257" && wrong.Value != one.value) || wrong.Allowed == "" {
			t.Errorf("%s %q: got %v", one.field, one.value, err)
		}
	}
}

func TestARelativeContainerPathLiesInTheSandbox(t *testing.T) {
	spec := good()
	for given, want := range map[string]string{"data": "/work/a b:c/data", "./a/../b": "/work/a b:c/b", "/data//x/": "/data/x"} {
		if got := spec.At(Volume{ContainerPath: given}); got != want {
			t.Errorf("%q is seen at %q, want %q", given, got, want)
		}
	}
}

func TestSharesAndLimitsHaveTheirLeast(t *testing.T) {
	for milli, want := range map[int64]uint64{0: 2, 1: 2, 2: 2, 100: 102, 1000: 1024, 1500: 1536, 64000: 65536} {
		if got := Shares(milli); got != want {
			t.Errorf("Shares(%d) = %d, want %d", milli, got, want)
		}
	}
	for bytes, want := range map[int64]int64{0: 0, 1: MinMemoryBytes, MinMemoryBytes + 1: MinMemoryBytes + 1} {
		if got := MemoryLimit(bytes); got != want {
			t.Errorf("MemoryLimit(%d) = %d, want %d", bytes, got, want)
		}
	}
}

func TestNotFoundIsToldFromNotExecutable(t *testing.T) {
	for errno, want := range map[syscall.Errno]bool{
		syscall.ENOENT: true, syscall.ENOTDIR: true, syscall.EACCES: false, syscall.ENOEXEC: false, syscall.E2BIG: false, NoInterpreter: false,
	} {
		err := &ExecError{Path: "x", Err: errno}
		if err.NotFound() != want {
			t.Errorf("%v: NotFound is %v", errno, !want)
		}
	}
	if err := error(&ExecError{Path: "x", Err: syscall.EACCES}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v is not fs.ErrPermission", err)
	}
}
