package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheRecordingOfTheLifeBeforeIsKept(t *testing.T) {
	name := filepath.Join(t.TempDir(), "master.rec")
	for _, life := range []string{"", "first", "second", "third"} {
		file, err := createRecording(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(life); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{name: "third", name + ".1": "second"} {
		if got, err := os.ReadFile(path); string(got) != want {
			t.Errorf("%s has %q, %v, want %q", path, got, err, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want it to be for its owner alone", path, info.Mode(), err)
		}
	}
	if _, err := createRecording(filepath.Join(name, "below")); err == nil {
		t.Error("a recording is made below a file")
	}
}
