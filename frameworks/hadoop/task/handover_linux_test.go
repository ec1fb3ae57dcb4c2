package task

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFilesAreHandedOverToWhoKnowsTheSecret(t *testing.T) {
	const secret, body = "the-secret-of-this-test", "the bytes that were announced"
	folder := t.TempDir()
	for name, text := range map[string]string{"good": body, "damaged": strings.ToUpper(body), "longer": body + "!"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outside := writeFile(t, "outside", []byte(body))
	if err := os.Symlink(outside, filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(folder, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	handOver, err := HandOver(secret, func(path string) (*os.File, error) {
		return root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // else nobody could give the pipe
	})
	if err != nil {
		t.Fatal(err)
	}
	defer handOver.Close()
	// By HTTP nothing is to be had.
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + nobody.Addr().String() + "/"
	nobody.Close()
	for path, want := range map[string]string{
		secret + "/good":    "",
		secret + "/damaged": "checksum is",
		secret + "/longer":  "longer than the 29 bytes",
		secret + "/link":    "connection refused",
		secret + "/pipe":    "connection refused",
		secret + "/none":    "connection refused",
		secret + "/../" + filepath.Base(folder) + "/good": "connection refused",
		"another/good": "connection refused",
		"good":         "connection refused",
	} {
		fetcher := testFetcher(t)
		fetcher.Tries = 1
		into, file := make([]byte, len(body)), filepath.Join(t.TempDir(), "file")
		inMemory := fetcher.ToMemory(context.Background(), base+path, part(body), into)
		inFile := fetcher.ToFile(context.Background(), base+path, part(body), file)
		for _, err := range []error{inMemory, inFile} {
			if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", path, err, want)
			}
		}
		if got, _ := os.ReadFile(file); want == "" && (string(into) != body || string(got) != body) {
			t.Errorf("%s: got %q and %q", path, into, got)
		}
	}
	// The socket's name can be read by all in /proc/net/unix: it is not the secret.
	for _, line := range []string{"good", "/good", "another/good", secret + "good", handOverAddress(secret).Name + "/good"} {
		c, err := net.DialUnix("unix", nil, handOverAddress(secret))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(line + "\n")); err != nil {
			t.Error(err)
		}
		if file := receiveFile(c); file != nil {
			file.Close()
			t.Errorf("who says %q and not the secret is given a file", line)
		}
		c.Close()
	}
}
