package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestAProcessForgetsItsProgramAndGoesOn(t *testing.T) {
	if len(constantSegments()) == 0 {
		t.Skip("this program does not lie where its file says")
	}
	before := residentProgram(t)
	forgetProgram()
	after := residentProgram(t)
	if after >= before {
		t.Errorf("%d kB of the program are resident, %d kB before", after, before)
	}
	if code, out, _ := runLine(t, "--help"); code != 0 || out == "" { // what is needed comes back
		t.Errorf("afterwards the program ends with %d and says %q", code, out)
	}
}

// residentProgram is how much of this process's own program is resident and constant, in kB.
func residentProgram(t *testing.T) (sum int) {
	t.Helper()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	counts := false
	for line := range bytes.Lines(maps) {
		fields := strings.Fields(string(line))
		switch {
		case len(fields) > 5 && strings.Contains(fields[0], "-"):
			counts = fields[5] == program && !strings.Contains(fields[1], "w")
		case len(fields) == 3 && fields[0] == "Rss:" && counts:
			var kilobytes int
			fmt.Sscan(fields[1], &kilobytes)
			sum += kilobytes
		}
	}
	return sum
}
