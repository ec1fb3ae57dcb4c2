package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The words of a folder as the shell counts them: each file on its own, runs of ASCII letters, lower-cased. The first form
// takes a process per file and is beyond doubt; the second is for many files: sed ends each file with a newline.
const (
	countSlowly  = `find . -type f -print0 | while IFS= read -r -d '' f; do tr -cs 'A-Za-z' '\n' < "$f"; echo; done | tr 'A-Z' 'a-z' | grep . | sort | uniq -c`
	countQuickly = `find . -type f -print0 | xargs -0 sed -s '$a\' | tr -cs 'A-Za-z' '\n' | tr 'A-Z' 'a-z' | grep . | sort | uniq -c`
)

// countWords gives "word<tab>count" lines, sorted, as the shell counts.
func countWords(dir, pipeline string) (string, error) {
	text, err := shell(dir, pipeline)
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		lines = append(lines, fields[1]+"\t"+fields[0]+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}

// shell runs a line of the shell, in a folder, and gives its output.
func shell(dir, line string) (string, error) {
	command := exec.Command("bash", "-o", "pipefail", "-c", line)
	command.Dir, command.Env = dir, append(os.Environ(), "LC_ALL=C")
	var complaints strings.Builder
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", line, err, complaints.String())
	}
	return string(out), nil
}

// readParts gives the lines of a job's output, sorted.
func readParts(t *testing.T, dir string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "_SUCCESS")); err != nil {
		t.Errorf("the output has no _SUCCESS: %v", err)
	}
	parts, err := filepath.Glob(filepath.Join(dir, "part-*"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("the output has no parts (%v)", err)
	}
	var lines []string
	for _, part := range parts {
		text, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		lines = slices.AppendSeq(lines, strings.Lines(string(text)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// expectSameWords compares two counts and shows where they begin to differ.
func expectSameWords(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%d words, want %d; word %d is %q, want %q", len(g), len(w), i, g[i], w[i])
		}
	}
	t.Fatalf("%d words, want %d", len(g), len(w))
}

// topWords are the demo's 20 lines: the most frequent words of 4 letters or more, the first by name of those with equal counts.
func topWords(counts string) [][2]string {
	var words [][2]string
	for line := range strings.Lines(counts) {
		word, count, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if len(word) >= 4 {
			words = append(words, [2]string{word, count})
		}
	}
	slices.SortStableFunc(words, func(a, b [2]string) int {
		if len(a[1]) != len(b[1]) {
			return len(b[1]) - len(a[1])
		}
		return strings.Compare(b[1], a[1])
	})
	return words[:min(len(words), 20)]
}

// nastyTree is a folder of files as nobody wants to have them.
func nastyTree(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "in put's \"tree\"")
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	files := map[string]string{
		"empty":                         "",
		"no newline":                    "last words",
		"another/no newline":            "words last",
		".hidden/.file":                 "hidden words\n",
		"_underscore":                   "Hadoop passes over files like this\n",
		"newline\nin name":              "name\n",
		"quote'\"`$(touch oops)\\":      "quoted words\n",
		"-rf":                           "dash\n",
		"ünï\xff":                       "Größe naïve ΑΒΓ x\xffy\n",
		"crlf":                          "one\r\ntwo\r\n\r\nthree",
		"bytes":                         string(all[:]) + string(all[:]),
		"nul":                           "a\x00b\x00\x00c",
		"newlines":                      strings.Repeat("\n", 70_000),
		"one long word":                 strings.Repeat("LongWord", 100_000),
		"one long line":                 strings.Repeat("so many words ", 400_000),
		"tabs\tand spaces ":             "tab\tseparated\tvalues\nkey\tvalue\n",
		"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o": "deep\n",
	}
	for i := range 300 {
		files[fmt.Sprintf("many/%03d", i)] = fmt.Sprintf("file %d of many\nword%dword\n", i, i)
	}
	var lines strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&lines, "%d THE the quick brown fox jumps over %x lazy dogs\n", i, i*i)
	}
	files["many lines"] = lines.String()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(root, filepath.Join(root, "a link to the top")); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{root, filepath.Dir(root), filepath.Dir(filepath.Dir(root))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// goLibrary is the source of Go's library, and its words as the shell counts them.
type goLibrary struct{ dir, counts string }

// theLibrary is counted once.
var theLibrary = sync.OnceValues(func() (goLibrary, error) {
	root, err := shell(".", "go env GOROOT")
	if err != nil {
		return goLibrary{}, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(strings.TrimSpace(root), "src"))
	if err != nil {
		return goLibrary{}, err
	}
	counts, err := countWords(dir, countQuickly)
	return goLibrary{dir, counts}, err
})

func library(t testing.TB) goLibrary {
	t.Helper()
	lib, err := theLibrary()
	if err != nil {
		t.Fatal(err)
	}
	return lib
}

func TestTheDemoCountsNastyFilesAsTheShellDoes(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	in, out := nastyTree(t), filepath.Join(t.TempDir(), "out")
	g.stoa("demo", "--port", "0", "--input", in, "--output", out, "--slaves", "2", "--reduces", "3").expect(0)
	want, err := countWords(in, countSlowly)
	if err != nil {
		t.Fatal(err)
	}
	expectSameWords(t, readParts(t, out), want)
	if quick, err := countWords(in, countQuickly); err != nil || quick != want {
		t.Errorf("the two pipelines do not agree: one of them is wrong (%v)", err)
	}
}

func TestTheDemoShowsTheWordsOfGosLibraryAsTheShellDoes(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	lib := library(t)
	out := filepath.Join(t.TempDir(), "out")
	p := g.stoa("demo", "--port", "0", "--output", out)
	p.expect(0)
	expectSameWords(t, readParts(t, out), lib.counts)
	var shown [][2]string
	for line := range strings.Lines(p.out.String()) {
		if fields := strings.Fields(line); len(fields) == 2 && len(shown) < 20 && fields[0] != "WORD" && fields[0] != "output" {
			shown = append(shown, [2]string(fields))
		}
	}
	if want := topWords(lib.counts); !slices.Equal(shown, want) {
		t.Errorf("it shows %v, want %v", shown, want)
	}
	for _, said := range []string{" maps and 2 reduces in ", "output   " + out, "  stoa hadoop -"} {
		if !strings.Contains(p.out.String(), said) {
			t.Errorf("it said\n%swant %q in it", p.out.String(), said)
		}
	}
}
