package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stoa-project/stoa/slave/core"
)

func TestAPersistentVolumeStaysUntilItIsDiscarded(t *testing.T) {
	work := t.TempDir()
	v := core.Volume{Role: "eng/web", ID: "data"}
	path := filepath.Join(work, "volumes", "roles", "eng web", "data")
	make := func() {
		t.Helper()
		if err := MakeVolume(work, v, ""); err != nil {
			t.Fatal(err)
		}
	}
	make()
	if err := os.WriteFile(filepath.Join(path, "log"), []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	make() // Nothing of it is lost.
	if got, err := os.ReadFile(filepath.Join(path, "log")); string(got) != "kept" {
		t.Fatalf("in the volume is %q (%v)", got, err)
	}
	remove, err := DiscardVolume(work, v, 1)
	if err != nil {
		t.Fatal(err)
	}
	// It is out of the way before its content is deleted, so that another can be made in its place.
	make()
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 0 {
		t.Errorf("a volume of the same name has %v (%v), want nothing", entries, err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(work, "meta", "discarded")); err != nil || len(left) != 0 {
		t.Errorf("of what was discarded there is %v (%v)", left, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the second volume went with the first: %v", err)
	}
	for range 2 { // The second time there is nothing to discard.
		if remove, err = DiscardVolume(work, v, 2); err != nil {
			t.Fatal(err)
		}
		if err := remove(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAPersistentVolumeStaysInItsPlace(t *testing.T) {
	outside := t.TempDir()
	for _, test := range []struct {
		name string
		v    core.Volume
		want string
	}{
		{"an id with a slash", core.Volume{Role: "web", ID: "../../x"}, "not allowed"},
		{"an id of dots", core.Volume{Role: "web", ID: ".."}, "folder"},
		{"a role of dots", core.Volume{Role: "..", ID: "x"}, `".."`},
		{"no role", core.Volume{ID: "x"}, "role is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := MakeVolume(t.TempDir(), test.v, ""); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("made, or not, with %v", err)
			}
			if _, err := DiscardVolume(t.TempDir(), test.v, 1); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("discarded, or not, with %v", err)
			}
		})
	}
	// Nor does a link that somebody has put there lead out of the work_dir.
	work := t.TempDir()
	if err := os.MkdirAll(filepath.Join(work, "volumes", "roles"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(work, "volumes", "roles", "web")); err != nil {
		t.Fatal(err)
	}
	if err := MakeVolume(work, core.Volume{Role: "web", ID: "x"}, ""); err == nil {
		t.Error("a volume was made beyond a link")
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("outside there is %v", entries)
	}
	if err := MakeVolume(t.TempDir(), core.Volume{Role: "web", ID: "x"}, "nobody-of-this-name"); err == nil || !strings.Contains(err.Error(), "no user") {
		t.Errorf("a volume for somebody who does not exist: %v", err)
	}
}
