package checkpoint

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
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

// A slave or a host may be killed between any two steps of making a sandbox, its exit record, and of removing both.
func TestWhatIsLeftHalfMadeIsRemovedAndNothingElse(t *testing.T) {
	runs := filepath.Dir(run.Path())
	folder := func(parts ...string) func(t *testing.T, workDir string) {
		return func(t *testing.T, workDir string) {
			for _, part := range parts {
				if err := os.MkdirAll(filepath.Join(workDir, part), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	link := func(to, at string) func(t *testing.T, workDir string) {
		return func(t *testing.T, workDir string) {
			folder(filepath.Dir(at))(t, workDir)
			if err := os.Symlink(to, filepath.Join(workDir, at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	steps := map[string][]func(t *testing.T, workDir string){
		"a link that is being made":      {link("c1", runs+"/.latest-c1")},
		"a link to a run that is gone":   {link("c1", runs+"/latest")},
		"an exit record without sandbox": {folder("meta/" + run.Path() + "/exit.new")},
		"volumes that were discarded":    {folder("meta/discarded/1/deep")},
		"an id that the slave had":       {folder("slaves/old", "meta/slaves/old")},
		"all of them":                    {link("c1", runs+"/.latest-c1"), link("c1", runs+"/latest"), folder("meta/"+run.Path()+"/exit", "meta/discarded/7")},
	}
	for path := run.Path(); filepath.Base(path) != run.SlaveID; path = filepath.Dir(path) {
		if path != run.Path() { // a sandbox without anything in it is one
			steps["no more than "+path] = []func(t *testing.T, workDir string){folder(path)}
		}
		steps["no more than meta/"+path] = []func(t *testing.T, workDir string){folder("meta/" + path)}
	}
	other := run
	other.FrameworkID = "K-0001"
	for name, made := range steps {
		t.Run(name, func(t *testing.T) {
			workDir := t.TempDir()
			kept, err := MakeSandbox(workDir, other, "")
			if err != nil {
				t.Fatal(err)
			}
			record := filepath.Join(workDir, "meta", other.Path(), "exit")
			volume := filepath.Join(workDir, "volumes/roles/web/data")
			folder(filepath.Join("meta", other.Path()), "volumes/roles/web/data")(t, workDir)
			if err := os.WriteFile(record, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			before := tree(t, workDir)
			for _, step := range made {
				step(t, workDir)
			}
			if err := RemoveRemains(workDir); err != nil {
				t.Fatal(err)
			}
			after := slices.DeleteFunc(tree(t, workDir), func(path string) bool { return path == "meta/slaves/"+run.SlaveID || path == "slaves/"+run.SlaveID })
			before = slices.DeleteFunc(before, func(path string) bool { return path == "meta/slaves/"+run.SlaveID || path == "slaves/"+run.SlaveID })
			if !slices.Equal(before, after) {
				t.Errorf("there was\n%q\nand is now\n%q", before, after)
			}
			for _, path := range []string{kept, record, volume, filepath.Join(filepath.Dir(kept), Latest)} {
				if _, err := os.Lstat(path); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// tree lists all paths below a folder.
func tree(t *testing.T, folder string) []string {
	t.Helper()
	var paths []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
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

func TestAllSandboxesOfAWorkDirAreFoundWithTheirAge(t *testing.T) {
	workDir := t.TempDir()
	if found, err := FindSandboxes(workDir); err != nil || len(found) != 0 {
		t.Errorf("of a new one: got %v, %v", found, err)
	}
	ended, changed := time.Unix(1_000_000, 0), time.Unix(2_000_000, 0)
	first, err := MakeSandbox(workDir, run, "")
	if err != nil {
		t.Fatal(err)
	}
	second := run
	second.ContainerID = "C2"
	other, err := MakeSandbox(workDir, second, "")
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(workDir, "meta", run.Path(), "exit")
	if err := os.MkdirAll(filepath.Dir(record), 0o700); err != nil {
		t.Fatal(err)
	}
	// What is no sandbox: the link to the last run, a file, and a folder elsewhere.
	for _, path := range []string{record, filepath.Join(filepath.Dir(first), "file")} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, at := range map[string]time.Time{record: ended, first: changed, other: changed} {
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	found, err := FindSandboxes(workDir)
	if err != nil || len(found) != 2 {
		t.Fatalf("got %v, %v", found, err)
	}
	for _, g := range found {
		if want := map[string]time.Time{first: ended, other: changed}[g.Directory]; !g.Since.Equal(want) {
			t.Errorf("%s: got %v, want %v", g.Directory, g.Since, want)
		}
	}
}

// A framework's last sandbox may go at the moment when its next one is made.
func TestASandboxIsMadeWhileThoseBesideItGo(t *testing.T) {
	workDir := t.TempDir()
	const rounds = 1000
	makeOne := func(executor string, i int) string {
		t.Helper()
		path, err := MakeSandbox(workDir, Run{SlaveID: "S", FrameworkID: "F", ExecutorID: executor, ContainerID: fmt.Sprint("C", i)}, "")
		if err != nil {
			t.Error(err)
		}
		return path
	}
	var group sync.WaitGroup
	for _, executor := range []string{"E1", "E2"} {
		group.Go(func() {
			for i := range rounds {
				if err := RemoveSandbox(workDir, makeOne(executor, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}
