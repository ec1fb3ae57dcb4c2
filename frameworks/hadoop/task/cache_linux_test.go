package task

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatHasBeenReadOnceLeavesTheCache(t *testing.T) {
	content := make([]byte, 4*cachedBytes+12345)
	if _, err := rand.NewChaCha8([32]byte{}).Read(content); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "records")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	writeOut(file, int64(len(content)))
	if err := file.Sync(); err != nil { // until it is there: writeOut only begins
		t.Fatal(err)
	}
	const from = 1000
	got, err := io.ReadAll(readOnce(file, from, int64(len(content)-2*from)))
	if err != nil || !bytes.Equal(got, content[from:len(content)-from]) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	var cached unix.Cachestat_t
	all := unix.CachestatRange{Len: uint64(len(content))}
	if err := unix.Cachestat(uint(file.Fd()), &all, &cached, 0); err != nil {
		t.Skip("this kernel does not tell what it keeps: ", err)
	}
	if kept := int64(cached.Cache) * int64(os.Getpagesize()); kept > 2*cachedBytes {
		t.Errorf("%d bytes of %d are kept", kept, len(content))
	}
}
