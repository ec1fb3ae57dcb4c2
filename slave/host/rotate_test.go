package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rotated opens stdout of a new sandbox.
func rotated(t *testing.T, rotation Rotation) (*logFile, string) {
	t.Helper()
	sandbox := t.TempDir()
	root, err := os.OpenRoot(sandbox)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	l, err := openLog(root, sandbox, "stdout", rotation)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, sandbox
}

func contents(t *testing.T, sandbox string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(sandbox)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(sandbox, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = string(data)
	}
	return all
}

func TestAFullFileIsRotatedBetweenLines(t *testing.T) {
	for name, test := range map[string]struct {
		files  int
		writes []string
		want   map[string]string
	}{
		"what fits stays in one file":             {9, []string{"12345\n", "78\n0"}, map[string]string{"stdout": "12345\n78\n0"}},
		"the line that does not fit begins anew":  {9, []string{"12345\n", "12345\n"}, map[string]string{"stdout": "12345\n", "stdout.1": "12345\n"}},
		"one write may fill several files":        {9, []string{"1\n345\n7\n9\n1234567\n"}, map[string]string{"stdout": "1234567\n", "stdout.1": "1\n345\n7\n9\n"}},
		"a line longer than a file is cut":        {9, []string{"123456789012345"}, map[string]string{"stdout": "12345", "stdout.1": "1234567890"}},
		"a line that grows beyond its file moves": {9, []string{"a\n345", "678901\n"}, map[string]string{"stdout": "678901\n", "stdout.1": "a\n345"}},
		"the oldest goes": {
			2,
			[]string{"aaaaaaaaa\n", "bbbbbbbbb\n", "ccccccccc\n", "ddddddddd\n"},
			map[string]string{"stdout": "ddddddddd\n", "stdout.1": "ccccccccc\n", "stdout.2": "bbbbbbbbb\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, sandbox := rotated(t, Rotation{MaxBytes: 10, MaxFiles: test.files})
			for _, text := range test.writes {
				if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
					t.Fatalf("%q: %d, %v", text, n, err)
				}
			}
			if diff := cmp.Diff(test.want, contents(t, sandbox)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestWithoutALimitNothingIsRotated(t *testing.T) {
	l, sandbox := rotated(t, Rotation{})
	text := strings.Repeat("line\n", 100_000)
	if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatal(n, err)
	}
	if got := contents(t, sandbox); len(got) != 1 || got["stdout"] != text {
		t.Errorf("there are %d files", len(got))
	}
}

func TestNoByteIsLostAndNoneComesTwice(t *testing.T) {
	l, sandbox := rotated(t, Rotation{MaxBytes: 1000, MaxFiles: MaxLogFiles})
	var want bytes.Buffer
	for i := range 5000 {
		line := fmt.Sprintf("%d %s\n", i, strings.Repeat("x", i%97))
		want.WriteString(line)
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	all := contents(t, sandbox)
	var got strings.Builder
	for n := len(all) - 1; n >= 0; n-- {
		part := all[l.numbered(n)]
		if len(part) > 1000 {
			t.Errorf("%s has %d bytes", l.numbered(n), len(part))
		}
		got.WriteString(part)
	}
	if got.String() != want.String() {
		t.Errorf("%d bytes in %d files, want %d", got.Len(), len(all), want.Len())
	}
}

// A command that removes its output does without what was written until the next file begins, and no longer.
func TestAFileThatACommandHasRemovedIsFollowedByTheNext(t *testing.T) {
	l, sandbox := rotated(t, Rotation{MaxBytes: 10, MaxFiles: 9})
	write := func(text string) {
		t.Helper()
		if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	write("aaaaaaaaa\n")
	write("bbbbbbbbb\n")
	if err := os.Remove(filepath.Join(sandbox, "stdout")); err != nil {
		t.Fatal(err)
	}
	write("ccccccccc\n")
	write("ddddddddd\n")
	want := map[string]string{"stdout": "ddddddddd\n", "stdout.1": "ccccccccc\n", "stdout.2": "aaaaaaaaa\n"}
	if diff := cmp.Diff(want, contents(t, sandbox)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Nomad's logs were led elsewhere by a link: CVE-2026-6959. The command owns its sandbox and may put anything there.
func TestCVE_2026_6959_WhatACommandPutsInTheWayOfItsLogsIsNotFollowed(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(outside, []byte("untouched\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, hinder := range map[string]func(sandbox string) error{
		"a link in place of the file": func(sandbox string) error {
			return errors.Join(os.Remove(filepath.Join(sandbox, "stdout")), os.Symlink(outside, filepath.Join(sandbox, "stdout")))
		},
		"a link in place of the next": func(sandbox string) error { return os.Symlink(outside, filepath.Join(sandbox, "stdout.1")) },
		"a folder in place of the next": func(sandbox string) error {
			return errors.Join(os.Mkdir(filepath.Join(sandbox, "stdout.1"), 0o755), os.Mkdir(filepath.Join(sandbox, "stdout.2"), 0o755))
		},
		"nothing in place of the file": func(sandbox string) error { return os.Remove(filepath.Join(sandbox, "stdout")) },
		"a folder in place of the file": func(sandbox string) error {
			return errors.Join(os.Remove(filepath.Join(sandbox, "stdout")), os.Mkdir(filepath.Join(sandbox, "stdout"), 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, sandbox := rotated(t, Rotation{MaxBytes: 10, MaxFiles: 2})
			if err := hinder(sandbox); err != nil {
				t.Fatal(err)
			}
			for range 20 {
				if n, err := l.Write([]byte("123456\n")); n != 7 || err != nil {
					t.Fatal(n, err)
				}
			}
			if got, err := os.ReadFile(outside); err != nil || string(got) != "untouched\n" {
				t.Errorf("outside: %q, %v", got, err)
			}
			if info, err := os.Lstat(outside); err != nil || info.Mode()&fs.ModeType != 0 {
				t.Errorf("outside: %v, %v", info, err)
			}
		})
	}
}
