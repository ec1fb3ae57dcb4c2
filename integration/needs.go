package integration

import (
	"os"
	"os/exec"
	"testing"
)

// NeedsRoot skips a test for users without root. In CI (the environment has CI=true) nothing may be skipped: there it fails.
func NeedsRoot(t testing.TB) {
	t.Helper()
	needs(t, "root", os.Geteuid() == 0)
}

// NeedsProgram skips a test where a program is not installed, and names the package that has it. In CI it fails.
func NeedsProgram(t testing.TB, program, pkg string) {
	t.Helper()
	_, err := exec.LookPath(program)
	needs(t, "the program "+program+" of the package "+pkg, err == nil)
}

func needs(t testing.TB, what string, there bool) {
	t.Helper()
	switch {
	case there:
	case os.Getenv("CI") == "true":
		t.Fatalf("this test needs %s, and CI must not skip it", what)
	default:
		t.Skipf("needs %s", what)
	}
}
