package checkpoint

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var run = Run{SlaveID: "K-S0", FrameworkID: "K-0000", ExecutorID: "e1", ContainerID: "c1"}

func TestSandboxIsMadeAsMesosDoes(t *testing.T) {
	workDir := t.TempDir()
	path, err := MakeSandbox(workDir, run, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := workDir + "/slaves/K-S0/frameworks/K-0000/executors/e1/runs/c1"; path != want {
		t.Errorf("sandbox is %s, want %s", path, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o750 {
		t.Errorf("its mode is %o, want 750", info.Mode().Perm())
	}
	if to, err := os.Readlink(filepath.Dir(path) + "/latest"); err != nil || to != "c1" {
		t.Errorf("latest is %q, %v, want c1", to, err)
	}

	second := run
	second.ContainerID = "c2"
	if _, err := MakeSandbox(workDir, second, ""); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(filepath.Dir(path) + "/latest"); err != nil || to != "c2" {
		t.Errorf("after a second run latest is %q, %v, want c2", to, err)
	}
	if _, err := MakeSandbox(workDir, second, ""); err != nil {
		t.Errorf("made twice: %v", err)
	}
}

func TestSandboxBelongsToItsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives a folder to another user")
	}
	path, err := MakeSandbox(t.TempDir(), run, "nobody")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	uid, _, err := lookUp("nobody")
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Uid; int(got) != uid {
		t.Errorf("owned by %d, want %d", got, uid)
	}
}

func TestSandboxOfAnUnknownUserIsRefused(t *testing.T) {
	_, err := MakeSandbox(t.TempDir(), run, "no-such-user-here")
	if err == nil || !strings.Contains(err.Error(), `no user "no-such-user-here"`) {
		t.Errorf("got %v, want an error that names the user", err)
	}
}

func TestIDsThatLeadElsewhereAreRefused(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "../../x", "a/b", "/etc", "a\x00b", "a\nb", strings.Repeat("x", 256)} {
		for _, set := range []func(*Run){
			func(r *Run) { r.SlaveID = bad }, func(r *Run) { r.FrameworkID = bad },
			func(r *Run) { r.ExecutorID = bad }, func(r *Run) { r.ContainerID = bad },
		} {
			workDir := t.TempDir()
			r := run
			set(&r)
			if path, err := MakeSandbox(workDir, r, ""); err == nil {
				t.Errorf("%+v: made %s", r, path)
			}
			if entries, err := os.ReadDir(workDir); err != nil || len(entries) > 0 {
				t.Errorf("%+v: left %v, %v", r, entries, err)
			}
		}
	}
}

func TestSandboxIsNotMadeThroughALinkThatPointsOut(t *testing.T) {
	workDir, outside := t.TempDir(), t.TempDir()
	executors := filepath.Join(workDir, "slaves/K-S0/frameworks/K-0000/executors")
	if err := os.MkdirAll(executors, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, executors+"/e1"); err != nil {
		t.Fatal(err)
	}
	if path, err := MakeSandbox(workDir, run, ""); err == nil {
		t.Errorf("made %s", path)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("made outside of the work_dir: %v, %v", entries, err)
	}
}

func TestSandboxIsRemovedWithAllThatIsEmptyThen(t *testing.T) {
	workDir, outside := t.TempDir(), t.TempDir()
	path, err := MakeSandbox(workDir, run, "")
	if err != nil {
		t.Fatal(err)
	}
	other := run
	other.ExecutorID = "e2"
	otherPath, err := MakeSandbox(workDir, other, "")
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(workDir, "meta", run.Path(), "exit")
	if err := os.MkdirAll(filepath.Dir(record), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// What a task may leave: a link out, a folder nobody may enter.
	if err := os.Symlink(outside, path+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside+"/precious", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+"/closed", 0); err != nil {
		t.Fatal(err)
	}
	if err := RemoveSandbox(workDir, path); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{path, record, filepath.Dir(filepath.Dir(path))} {
		if _, err := os.Lstat(gone); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
	for _, there := range []string{otherPath, outside + "/precious"} {
		if _, err := os.Stat(there); err != nil {
			t.Errorf("%s should be there: %v", there, err)
		}
	}
	if err := RemoveSandbox(workDir, path); err != nil {
		t.Errorf("removed twice: %v", err)
	}
}

func TestOnlySandboxesAreRemoved(t *testing.T) {
	workDir := t.TempDir()
	path, err := MakeSandbox(workDir, run, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		workDir, filepath.Dir(path), path + "/x", path + "/..", "/etc", "/", "", "slaves", workDir + "/../x",
		workDir + "/slaves/../../frameworks/F/executors/E/runs/C",
	} {
		if err := RemoveSandbox(workDir, bad); err == nil {
			t.Errorf("removed %q", bad)
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestHostSecretIsForItsOwnerAlone(t *testing.T) {
	workDir := t.TempDir()
	path, err := WriteHostSecret(workDir, "H1", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]fs.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want mode %o", file, info.Mode(), err, want)
		}
	}
	if err := RemoveHostSecret(workDir, "H1"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("the secret is still there: %v", err)
	}
	if _, err := WriteHostSecret(workDir, "../x", nil); err == nil {
		t.Error("a host id leads elsewhere")
	}
}
