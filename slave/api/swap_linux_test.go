package api

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// A task that exchanges a folder for a link while it is read is as fast as the slave; it must not get anything by it.
func TestALinkThatIsPutInPlaceWhileItIsReadLeadsNowhere(t *testing.T) {
	w := newWorld(t)
	for _, folder := range []string{"/good", "/good/sub"} {
		if err := os.Mkdir(w.sandbox+folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.write(w.sandbox+"/good/sub/secret", "harmless")
	outside := filepath.Join(w.workDir, "sub")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	w.write(outside+"/secret", secret)
	if err := os.Symlink(w.workDir, w.sandbox+"/bad"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.sandbox+"/good", w.sandbox+"/now"); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	var swaps atomic.Int64
	go func() {
		defer close(stopped)
		for at, other := w.sandbox+"/now", w.sandbox+"/bad"; ; swaps.Add(1) {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
			}
		}
	}()
	harmless := 0
	for i := 0; i < 3000 || swaps.Load() < 1000 && i < 100_000; i++ {
		endpoint := []string{"/files/download", "/files/read", "/files/browse"}[i%3]
		path := virtual + "/now/sub/secret"
		if endpoint == "/files/browse" {
			path = virtual + "/now/sub"
		}
		r, body := w.get(endpoint, query(path, "offset", "0"))
		if strings.Contains(body, secret) || r.StatusCode == 200 && endpoint == "/files/browse" && !strings.Contains(body, `"size":8`) {
			t.Fatalf("%s: %s: %s", endpoint, r.Status, body)
		}
		if strings.Contains(body, "harmless") {
			harmless++
		}
	}
	close(stop)
	<-stopped
	if harmless == 0 || swaps.Load() == 0 {
		t.Errorf("the file was read %d times, and exchanged %d times: nothing is proven", harmless, swaps.Load())
	}
}
