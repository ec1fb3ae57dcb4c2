package hadoop

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
)

// A large file of several splits that changes while maps are in the middle of it: the job gives what the file was when it was
// listed, or ends and says what has happened.
func TestAJobWhoseLargeInputChanges(t *testing.T) {
	const lines, line = 5 << 20, "sixteen bytes a\n" // 80 MB
	for name, test := range map[string]struct {
		change func(path string) error
		want   string // of the error; "": the right result
	}{
		"grows": {func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("later\n")
				_ = f.Close()
			}
			return err
		}, ""},
		"shrinks":    {func(path string) error { return os.Truncate(path, 10<<20) }, "has changed: it ends after "},
		"is emptied": {func(path string) error { return os.Truncate(path, 0) }, "has changed: it ends after "},
		"vanishes":   {os.Remove, "no such file or directory"}, // of the maps that have not begun
		"is replaced by a shorter one": {func(path string) error {
			return os.WriteFile(path+".new", []byte("short\n"), 0o600)
		}, "has changed: it ends after "},
		"is overwritten by as many bytes": {func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.Write(bytes.Repeat([]byte("sixteen bytes b\n"), lines))
				_ = f.Close()
			}
			return err
		}, "has changed: it was written to while it was read"},
		"is replaced by one as long": {func(path string) error {
			return os.WriteFile(path+".new", bytes.Repeat([]byte("sixteen bytes b\n"), lines), 0o600)
		}, "it was not the same for "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			in, begun, goOn := filepath.Join(dir, "in"), filepath.Join(dir, "begun"), filepath.Join(dir, "go on")
			if err := os.WriteFile(in, bytes.Repeat([]byte(line), lines), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(begun, 0o755); err != nil {
				t.Fatal(err)
			}
			changed := make(chan error, 1)
			go func() {
				for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
					if entries, _ := os.ReadDir(begun); len(entries) == 3 {
						break
					}
				}
				err := test.change(in)
				if _, there := os.Stat(in + ".new"); there == nil {
					err = os.Rename(in+".new", in)
				}
				if err == nil {
					err = os.WriteFile(goOn, nil, 0o600)
				}
				changed <- err
			}()
			c := newCluster(t, 3)
			launched := 0
			c.launching = func(*testSlave, *mesos.TaskInfo) { // one at a time
				if launched++; launched <= 3 {
					return
				}
				for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
					if _, err := os.Stat(goOn); err == nil {
						return
					}
				}
			}
			out := filepath.Join(dir, "out")
			mapper := fmt.Sprintf(`head -c 16 > /dev/null; : > '%s'/$mapreduce_task_id; until [ -e '%s' ]; do sleep 0.02; done; { echo; cat; } | wc -l`, begun, goOn)
			_, err := c.run(t.Context(), Options{
				Input: []string{in}, Output: out, Mapper: mapper, Reducer: "awk '{ n += $1 } END { print n }'", MaxSplit: 16 << 20, MaxMapAttempts: 1,
			})
			if err := <-changed; err != nil {
				t.Fatal(err)
			}
			if test.want != "" {
				if _, left := os.Stat(out); err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), in) || left == nil {
					t.Errorf("it ends with %v, want %q", err, test.want)
				}
				return
			}
			if got, _ := os.ReadFile(filepath.Join(out, "part-00000")); err != nil || string(got) != fmt.Sprintln(lines) {
				t.Errorf("it counts %s lines (%v), want %d", got, err, lines)
			}
		})
	}
}
