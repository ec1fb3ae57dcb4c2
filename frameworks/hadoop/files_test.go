package hadoop

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestInputsAreAllFilesBelow(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"in/b/x", "in/a", "in/.hidden", "in/_asm/y", "in/b.txt", "in/\xff", "outside", "in/empty"} {
		write(t, filepath.Join(dir, name), strings.Repeat("x", len(name)))
	}
	if err := os.Symlink(filepath.Join(dir, "outside"), filepath.Join(dir, "in/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "in"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "in/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := listInputs(context.Background(), []string{filepath.Join(dir, "link"), filepath.Join(dir, "outside")}, remoteFiles{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		root, _ := filepath.Rel(dir, f.root)
		path, _ := filepath.Rel(dir, f.path)
		got = append(got, root+": "+path)
		if f.size != int64(len(path)) {
			t.Errorf("%s has %d bytes", path, f.size)
		}
	}
	want := []string{"in: in/.hidden", "in: in/_asm/y", "in: in/a", "in: in/b/x", "in: in/b.txt", "in: in/empty", "in: in/\xff", "outside: outside"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInputsThatCanNotBe(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		paths []string
		want  string
	}{
		{"none", nil, "no input: give at least one file or folder by -input"},
		{"missing", []string{dir, dir + "/none"}, "input " + dir + "/none does not exist"},
		{"a pipe", []string{fifo}, "input " + fifo + " is neither a file nor a folder"},
		{"everything", []string{"/"}, "input / is the whole machine: wanted is a file or a folder below /"},
		{"nothing", []string{""}, `input "" is empty: wanted is a file or a folder`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := listInputs(context.Background(), test.paths, remoteFiles{}); err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// tree lists what is below a folder.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); rel != "." {
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTheOutputIsThereWhollyOrNotAtAll(t *testing.T) {
	t.Run("a commit leaves the parts of the chosen attempts and the mark", func(t *testing.T) {
		dir := t.TempDir()
		out, err := createOutput(filepath.Join(dir, "a/b/out"))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"reduce-00000-0", "reduce-00000-1", "reduce-00001-0"} {
			write(t, out.temporary(id), id)
		}
		if err := out.commit([]string{"reduce-00000-1", "reduce-00001-0"}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"_SUCCESS", "part-00000", "part-00001"}, tree(t, out.dir)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if b, _ := os.ReadFile(filepath.Join(out.dir, "part-00000")); string(b) != "reduce-00000-1" {
			t.Errorf("part 0 is %s", b)
		}
	})
	t.Run("a discard leaves what was there before", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a/other"), "x")
		out, err := createOutput(filepath.Join(dir, "a/b/c/out"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, out.temporary("reduce-00000-0"), "x")
		if err := out.discard(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"a", "a/other"}, tree(t, dir)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("an output that exists is refused and not touched", func(t *testing.T) {
		dir := t.TempDir()
		if _, err := createOutput(dir); err == nil || err.Error() != "output directory "+dir+" already exists: remove it or choose another" {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	})
	t.Run("an output below a file is refused", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "file"), "x")
		if _, err := createOutput(filepath.Join(dir, "file/out")); err == nil || !strings.Contains(err.Error(), "not a directory") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTopWords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out[1]")
	write(t, filepath.Join(dir, "part-00000"), "the\t9\nword\t3\nalso\t3\n")
	write(t, filepath.Join(dir, "part-00001"), "longer\t4\nrare\t1\n")
	if _, err := TopWords(dir, 3, 4); err == nil || !strings.Contains(err.Error(), "is not the output of a job that has finished") {
		t.Errorf("without _SUCCESS: %v", err)
	}
	write(t, filepath.Join(dir, SuccessFile), "")
	got, err := TopWords(dir, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Word{{"longer", 4}, {"also", 3}, {"word", 3}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := TopWords(dir, 100, 1); err != nil || len(got) != 5 || got[0].Text != "the" {
		t.Errorf("got %v, %v", got, err)
	}
	write(t, filepath.Join(dir, "part-00002"), "a\t1\nnonsense\n")
	if _, err := TopWords(dir, 3, 4); err == nil || !strings.Contains(err.Error(), `part-00002, line 2: "nonsense\n" is no word and count`) {
		t.Errorf("got %v", err)
	}
}
