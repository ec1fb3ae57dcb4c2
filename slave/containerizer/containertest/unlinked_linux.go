package containertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/disk"
)

// unlinked has files of half a MiB each that only a descriptor has, of the command, a child, a daemon that ran away or a further
// command; and others, that don't count.
func unlinked(t *testing.T, w *Watch, c containerizer.Containerizer) {
	const each, slack = 512 << 10, 64 << 10
	const function = `make() { head -c 524288 /dev/zero >"$1"; }; `
	for i, one := range []struct {
		name, script string
		further      string // of a command beside it
		files        uint64
	}{
		{name: "of the command", script: `make a; exec 3<a; rm a`, files: 1},
		{name: "of a child", script: `make a; exec 3<a; sleep 1000 & exec 3<&-; rm a`, files: 1},
		{name: "of a daemon that ran away", script: `make a; exec 3<a; (setsid setsid sleep 1000 &); exec 3<&-; rm a`, files: 1},
		{name: "of several processes, and twice of one", script: `make a; exec 3<a 4<a; sleep 1000 & rm a`, files: 1},
		{name: "several", script: `make a; make b; exec 3<a 4<b; rm a b`, files: 2},
		{name: "in a folder that was removed too", script: `mkdir d; make d/a; exec 3<d/a; rm -r d`, files: 1},
		{name: "of a further command", script: `make a; touch made`, further: `exec 3<a; rm a; touch ready; sleep 1000`, files: 1},
		{name: "with a name like theirs", script: `make 'a (deleted)'; exec 3<'a (deleted)'`},
		{name: "with another name", script: `make a; ln a b; exec 3<a; rm a`},
		{name: "in memory", script: `make /dev/shm/$$; exec 3</dev/shm/$$; rm /dev/shm/$$`},
	} {
		t.Run(one.name, func(t *testing.T) {
			script := function + one.script + "; "
			if one.further == "" {
				script += "touch ready; "
			}
			spec := w.Spec(fmt.Sprint("unlinked-", i), script+"sleep 1000 & wait")
			is := func(name string) func() bool {
				return func() bool { _, err := os.Stat(filepath.Join(spec.Sandbox, name)); return err == nil }
			}
			container := Start(t, c, spec)
			if one.further != "" {
				Poll(t, "the file is made", Deadline, is("made"))
				process, err := container.Exec(containerizer.Exec{Args: []string{"sh", "-c", one.further}}, containerizer.Stdio{})
				if err != nil {
					t.Fatal(err)
				}
				taken := make(chan struct{}) // with the container
				go func() {
					_, _ = process.Wait()
					close(taken)
				}()
				defer func() { <-taken }()
			}
			Poll(t, "the files are removed", Deadline, is("ready"))
			folder, err := os.Open(spec.Sandbox)
			if err != nil {
				t.Fatal(err)
			}
			defer folder.Close()
			var found *disk.Unlinked
			// A process whose parent ends while others are listed may be missed once.
			Poll(t, fmt.Sprintf("%d files of %d bytes count", one.files, each), Deadline, func() bool {
				if found, err = disk.NewUnlinked(folder); err == nil {
					err = container.Unlinked(t.Context(), found)
				}
				if err != nil {
					t.Fatal(err)
				}
				got := found.Usage
				return got.Files == one.files && got.Bytes >= one.files*each && got.Bytes <= one.files*(each+slack)
			})
			if err := container.Kill(); err != nil {
				t.Fatal(err)
			}
			Await(t, container)
			if err := container.Unlinked(t.Context(), found); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("after the end: got %v", err)
			}
		})
	}
}
