package scheduler

import (
	"fmt"
	"os"
	"path/filepath"
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
