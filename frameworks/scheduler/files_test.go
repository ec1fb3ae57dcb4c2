package scheduler

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// sha256 of "content".
const contentSum = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"

func writeFile(t *testing.T, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFileIsOfferedByItsChecksumAndKeepsItsNameAndItsExecutableBit(t *testing.T) {
	var files Files
	for name, mode := range map[string]os.FileMode{"plain": 0o644, "program": 0o755, "with space & #": 0o600} {
		uri, err := files.Add(writeFile(t, name, "content", mode))
		if err != nil {
			t.Fatal(err)
		}
		want := &mesos.CommandInfo_URI{Value: proto.String("stoa-file:///" + name + "#sha256=" + contentSum), Executable: proto.Bool(mode == 0o755), Extract: proto.Bool(false)}
		want.Value = proto.String(strings.NewReplacer(" ", "%20", "& #", "&%20%23").Replace(strings.Split(want.GetValue(), "#sha256")[0]) + "#sha256=" + contentSum)
		if !proto.Equal(uri, want) {
			t.Errorf("%s: got %v, want %v", name, uri, want)
		}
	}
}

func TestWhatCanNotBeSentIsRefusedWithItsPathAndTheReason(t *testing.T) {
	large := writeFile(t, "large", "", 0o644)
	if err := os.Truncate(large, MaxFileBytes+1); err != nil {
		t.Skipf("no file system for so large a file: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{
		filepath.Join(t.TempDir(), "none"): "no such file or directory",
		t.TempDir():                        "it is a folder",
		"/dev/null":                        "it is a device, a pipe or a socket",
		pipe:                               "it is a device, a pipe or a socket",
		large:                              fmt.Sprintf("it has %d bytes: allowed are %d", int64(MaxFileBytes)+1, int64(MaxFileBytes)),
	}
	if runtime.GOOS == "linux" {
		refused["/proc/version"] = "it says that it has 0 bytes"
	}
	for path, reason := range refused {
		_, err := new(Files).Add(path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: got %v, want %q", path, err, reason)
		}
	}
}

func TestPartsOfAnOfferedFileAreReadAndNothingElse(t *testing.T) {
	var files Files
	path := writeFile(t, "f", "content", 0o644)
	if _, err := files.Add(path); err != nil {
		t.Fatal(err)
	}
	ask := func(change func(*wire.ReadFile)) *wire.FileChunk {
		question := &wire.ReadFile{Id: 3, Sha256: contentSum, Length: wire.MaxFileChunk}
		change(question)
		return files.read(question)
	}
	for name, test := range map[string]struct {
		change func(*wire.ReadFile)
		want   *wire.FileChunk
	}{
		"all":            {func(*wire.ReadFile) {}, &wire.FileChunk{Id: 3, Data: []byte("content"), Size: 7}},
		"a part":         {func(q *wire.ReadFile) { q.Offset, q.Length = 2, 3 }, &wire.FileChunk{Id: 3, Data: []byte("nte"), Size: 7}},
		"the end":        {func(q *wire.ReadFile) { q.Offset = 6 }, &wire.FileChunk{Id: 3, Data: []byte("t"), Size: 7}},
		"behind the end": {func(q *wire.ReadFile) { q.Offset = 99 }, &wire.FileChunk{Id: 3, Size: 7}},
		"another file":   {func(q *wire.ReadFile) { q.Sha256 = "0" }, &wire.FileChunk{Id: 3, Failure: "the framework's scheduler offers no such file"}},
		"too much": {func(q *wire.ReadFile) { q.Length++ }, &wire.FileChunk{
			Id: 3, Failure: fmt.Sprintf("%d bytes at 0: at most %d can be read at a time", wire.MaxFileChunk+1, wire.MaxFileChunk),
		}},
		"a negative offset": {func(q *wire.ReadFile) { q.Offset = -1 }, &wire.FileChunk{
			Id: 3, Failure: fmt.Sprintf("%d bytes at -1: at most %d can be read at a time", wire.MaxFileChunk, wire.MaxFileChunk),
		}},
	} {
		if got := ask(test.change); !proto.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if got := ask(func(*wire.ReadFile) {}); got.GetFailure() != path+" on the scheduler's machine has changed since it was offered" {
		t.Errorf("of a file that has changed: %v", got)
	}
	if got := (*Files)(nil).read(&wire.ReadFile{Sha256: contentSum}); got.GetFailure() == "" {
		t.Errorf("of a scheduler without files: %v", got)
	}
}

func TestAFileThatIsRemovedIsOfferedNoMoreUnlessItIsElsewhereToo(t *testing.T) {
	var files Files
	one, other := writeFile(t, "one", "content", 0o644), writeFile(t, "other", "content", 0o644)
	for _, path := range []string{other, one, one} {
		if _, err := files.Add(path); err != nil {
			t.Fatal(err)
		}
	}
	read := func() *wire.FileChunk {
		return files.read(&wire.ReadFile{Sha256: contentSum, Length: wire.MaxFileChunk})
	}
	for _, path := range []string{one, other} {
		if got := read(); string(got.GetData()) != "content" {
			t.Fatalf("before %s is removed: %v", path, got)
		}
		if err := errors.Join(os.Remove(path), files.Remove(path)); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(); !strings.Contains(got.GetFailure(), "offers no such file") {
		t.Errorf("after all were removed: %v", got)
	}
}
