package scheduler

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func openStore(t *testing.T, dir string) *FileStore {
	t.Helper()
	s, err := OpenFileStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func loaded(t *testing.T, s Store, name string) []string {
	t.Helper()
	records, err := s.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, r := range records {
		texts = append(texts, string(r))
	}
	return texts
}

func appendAll(t *testing.T, s Store, name string, records ...string) {
	t.Helper()
	for _, r := range records {
		if err := s.Append(name, []byte(r), false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAStoreGivesBackWhatWasAppended(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s := openStore(t, dir)
	appendAll(t, s, "b", "one", "", "three")
	appendAll(t, s, "a", "x")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	appendAll(t, s, "b", "four")
	names, err := s.Names()
	if err != nil || !cmp.Equal(names, []string{"a", "b"}) {
		t.Errorf("names %q, %v", names, err)
	}
	if diff := cmp.Diff([]string{"one", "", "three", "four"}, loaded(t, s, "b")); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if err := s.Remove("b"); err != nil {
		t.Fatal(err)
	}
	if got := loaded(t, s, "b"); got != nil {
		t.Errorf("a removed log has %q", got)
	}
	appendAll(t, s, "b", "anew")
	if got := loaded(t, s, "b"); len(got) != 1 {
		t.Errorf("a log that was removed and begun anew has %q", got)
	}
}

// Wherever a write was torn, what was appended before is there, and what is appended later too.
func TestATornRecordIsDroppedWhereverItWasTorn(t *testing.T) {
	whole := t.TempDir()
	s := openStore(t, whole)
	appendAll(t, s, "log", "first", "second")
	first := int64(recordHeader + len("first"))
	content, err := os.ReadFile(filepath.Join(whole, "log.log"))
	if err != nil {
		t.Fatal(err)
	}
	for size := first; size < int64(len(content)); size++ {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "log.log"), content[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		s := openStore(t, dir)
		if got := loaded(t, s, "log"); !cmp.Equal(got, []string{"first"}) {
			t.Fatalf("torn at %d: %q", size, got)
		}
		appendAll(t, s, "log", "third")
		if got := loaded(t, s, "log"); !cmp.Equal(got, []string{"first", "third"}) {
			t.Fatalf("torn at %d, then appended to: %q", size, got)
		}
	}
}

func TestADamagedLogIsRefusedByName(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	appendAll(t, s, "log", "first", "second")
	path := filepath.Join(dir, "log.log")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[recordHeader] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("log"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("damage is told as %v", err)
	}
}

func TestAStoreHasOneUserAndSaneNames(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	if _, err := OpenFileStore(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second user is told %v", err)
	}
	for _, name := range []string{"", ".", "../x", "a/b", "a\x00b"} {
		if err := s.Append(name, nil, false); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestALogIsReplacedAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	appendAll(t, s, "log", "one", "two", "three")
	for _, log := range []string{"log", "new"} {
		if err := s.Replace(log, [][]byte{[]byte("sum"), nil}); err != nil {
			t.Fatal(err)
		}
		appendAll(t, s, log, "four")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	for _, log := range []string{"log", "new"} {
		if diff := cmp.Diff([]string{"sum", "", "four"}, loaded(t, s, log)); diff != "" {
			t.Errorf("records of %s (-want +got):\n%s", log, diff)
		}
	}
	for name, err := range map[string]error{
		"a name that can not be": s.Replace("a/b", nil), "a record that is too long": s.Replace("log", [][]byte{make([]byte, MaxRecordBytes+1)}),
	} {
		if err == nil {
			t.Errorf("%s was not refused", name)
		}
	}
	if diff := cmp.Diff([]string{"sum", "", "four"}, loaded(t, s, "log")); diff != "" {
		t.Errorf("after what was refused (-want +got):\n%s", diff)
	}
}

// What is prepared to replace a log changes nothing before it does, and what was appended meanwhile is not lost.
func TestALogIsAppendedToWhileWhatReplacesItIsPrepared(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	appendAll(t, s, "log", "one", "two")
	replace, err := s.Prepare("log", [][]byte{[]byte("sum")})
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, "log", "three")
	if diff := cmp.Diff([]string{"one", "two", "three"}, loaded(t, s, "log")); diff != "" {
		t.Errorf("records before (-want +got):\n%s", diff)
	}
	if err := replace([][]byte{[]byte("three")}); err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, "log", "four")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir)
	if diff := cmp.Diff([]string{"sum", "three", "four"}, loaded(t, s, "log")); diff != "" {
		t.Errorf("records after (-want +got):\n%s", diff)
	}
	replace, err = s.Prepare("log", [][]byte{[]byte("another sum")})
	if err != nil {
		t.Fatal(err)
	}
	if err := replace([][]byte{make([]byte, MaxRecordBytes+1)}); err == nil {
		t.Error("a record that is too long was not refused")
	}
	appendAll(t, s, "log", "five")
	if diff := cmp.Diff([]string{"sum", "three", "four", "five"}, loaded(t, s, "log")); diff != "" {
		t.Errorf("records after what was refused (-want +got):\n%s", diff)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 1 { // the lock alone
		t.Errorf("left are %q", left)
	}
}

// Wherever the process died while it replaced a log, the log has what it had; nothing of the attempt stays.
func TestALogThatWasToBeReplacedIsWhatItWasWhereverThatEnded(t *testing.T) {
	whole := t.TempDir()
	s := openStore(t, whole)
	if err := s.Replace("log", [][]byte{[]byte("sum"), []byte("more")}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(whole, "log.log"))
	if err != nil {
		t.Fatal(err)
	}
	for size := range len(content) + 1 {
		dir := t.TempDir()
		s := openStore(t, dir)
		appendAll(t, s, "log", "first", "second")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ".log.new"), content[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, dir)
		if got := loaded(t, s, "log"); !cmp.Equal(got, []string{"first", "second"}) {
			t.Fatalf("ended at byte %d: %q", size, got)
		}
		if names, err := s.Names(); err != nil || !cmp.Equal(names, []string{"log"}) {
			t.Fatalf("ended at byte %d: names %q, %v", size, names, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, ".log.new")); err == nil {
			t.Fatalf("ended at byte %d: what was unfinished is still there", size)
		}
	}
}

// killedEnv makes the test binary a process that appends to and replaces the log of the store there, and says of each
// record that it is kept.
const killedEnv = "STORE_TEST_KILLED"

// count keeps 0, 1, 2, ...; every third replaces the log by one record, the sum of what it has.
func count(dir string) {
	s, err := OpenFileStore(dir)
	for i := 0; err == nil; i++ {
		if i%3 == 2 {
			err = s.Replace("log", [][]byte{fmt.Appendf(nil, "0-%d", i)})
		} else {
			err = s.Append("log", fmt.Append(nil, i), i%2 == 0)
		}
		fmt.Println(i)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Whenever a process is killed that appends to a log and replaces it, all that it had been told was kept is there.
func TestWhatWasKeptIsThereWheneverItsProcessIsKilled(t *testing.T) {
	for told := range 40 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env, cmd.Stderr = append(os.Environ(), killedEnv+"="+dir), os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		last := -1
		for lines := bufio.NewScanner(out); lines.Scan(); {
			last++
			if lines.Text() != fmt.Sprint(last) {
				t.Fatalf("it says %q", lines.Text())
			}
			if last == told {
				_ = cmd.Process.Kill() // what it has said until then is read too
			}
		}
		_ = cmd.Wait()
		s := openStore(t, dir)
		has := -1
		for _, record := range loaded(t, s, "log") {
			first, end, summed := strings.Cut(record, "-")
			if summed && first == "0" && has == -1 {
				first = end
			} else if first != fmt.Sprint(has+1) {
				t.Fatalf("killed after %d: %q comes after %d", last, record, has)
			}
			if has, err = strconv.Atoi(first); err != nil {
				t.Fatal(err)
			}
		}
		if has < last {
			t.Errorf("it was told that %d is kept, and %d is the last that is there", last, has)
		}
	}
}
