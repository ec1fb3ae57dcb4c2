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
//	apache no REASON   Apache Hadoop can not run it
//	apache setup COMMAND      what Apache Hadoop's input needs first
//	apache pipeline COMMAND   what Apache Hadoop gives, whose reducers see the tab that it appends
//	apache any order   Apache Hadoop gives lines in another order
type streamingScript struct {
	setup, job, pipeline string
	anyOrder             bool

	apacheSetup    string // before Apache Hadoop runs it
	apachePipeline string // what Apache Hadoop gives; "": the same
	notApache      string // why Apache Hadoop can not run it
	apacheAnyOrder bool   // Apache Hadoop keeps no order where pipelines do
}

// args are the job's arguments.
func (s streamingScript) args(t *testing.T, dir string) []string {
	t.Helper()
	return strings.Split(strings.TrimSuffix(inShell(t, dir, "set -f; set -- "+s.job+`; printf '%s\0' "$@"`), "\x00"), "\x00")
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
		case strings.HasPrefix(line, "apache pipeline "):
			s.apachePipeline = strings.TrimPrefix(line, "apache pipeline ")
		case strings.HasPrefix(line, "apache setup "):
			s.apacheSetup = strings.TrimPrefix(line, "apache setup ")
		case line == "apache any order":
			s.apacheAnyOrder = true
		case strings.HasPrefix(line, "apache no "):
			s.notApache = strings.TrimPrefix(line, "apache no ")
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
			options, err := ParseArgs(append(script.args(t, dir), "-output", "out"))
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
