package hadoop

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// A script is a streaming job and a plain pipeline whose outputs are equal byte for byte. Its lines say, in the words of a
// shell whose working directory holds the script's files:
//
//	setup COMMAND      makes more files
//	job ARGUMENTS      of stoa hadoop, but for -output
//	any order          lines are compared without their order: the job has several parts
//	pipeline COMMAND   what the output equals
type streamingScript struct {
	setup, job, pipeline string
	anyOrder             bool
}

func readScript(t *testing.T, path, dir string) (s streamingScript) {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range archive.Files {
		write(t, filepath.Join(dir, file.Name), string(file.Data))
	}
	for line := range strings.Lines(string(archive.Comment)) {
		line = strings.TrimSuffix(line, "\n")
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case word == "setup":
			s.setup = rest
		case word == "job":
			s.job = rest
		case word == "pipeline":
			s.pipeline = rest
		case line == "any order":
			s.anyOrder = true
		case word != "#":
			t.Fatalf("%s: %q is no line of a script", path, line)
		}
	}
	return s
}

// inShell runs a line in a folder and gives what it prints.
func inShell(t *testing.T, dir, line string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), "LC_ALL=C"), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return string(out)
}

func TestStreamingJobsGiveWhatPipelinesGive(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	scripts, err := filepath.Glob("testdata/streaming/*.txt")
	if err != nil || len(scripts) < 20 {
		t.Fatalf("%d scripts (%v), want at least 20", len(scripts), err)
	}
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			dir := t.TempDir()
			script := readScript(t, path, dir)
			if script.setup != "" {
				inShell(t, dir, script.setup)
			}
			args := strings.Split(strings.TrimSuffix(inShell(t, dir, "set -f; set -- "+script.job+`; printf '%s\0' "$@"`), "\x00"), "\x00")
			options, err := ParseArgs(append(args, "-output", "out"))
			if err != nil {
				t.Fatal(err)
			}
			c := newCluster(t, 3)
			t.Chdir(dir)
			if _, err := c.run(t.Context(), options); err != nil {
				t.Fatal(err)
			}
			want, got := inShell(t, dir, script.pipeline), inShell(t, dir, "cat out/part-*")
			if script.anyOrder {
				want, got = sortedLines(want), sortedLines(got)
			}
			if want != got {
				t.Errorf("%s\n%.2000q, the pipeline gives\n%.2000q", script.job, got, want)
			}
		})
	}
}

func sortedLines(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}
