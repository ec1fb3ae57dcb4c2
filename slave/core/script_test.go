package core

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata now give into them")

// TestScripts plays the stories in testdata. A line at the margin is an event; the indented lines below it are what
// the slave does about it. They are explained in testdata/README.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(data))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.Split(string(data), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("%s (-want +got, -rewrite accepts it):\n%s", file, diff)
			}
		})
	}
}

// play runs a script and returns it with the outputs that the slave really gives.
func play(t *testing.T, script string) string {
	t.Helper()
	var out strings.Builder
	b := newBench(t)
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, " \n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, " "):
			// What it gave when the script was written.
		default:
			out.WriteString(line + "\n")
			for _, output := range b.command(line) {
				out.WriteString("    " + output + "\n")
			}
		}
	}
	return out.String()
}
