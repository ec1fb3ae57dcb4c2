package hdfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/apache"
	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
)

func TestPathsAreTakenApart(t *testing.T) {
	for text, want := range map[string]hdfs.Location{
		"hdfs://node:9000/a/b":     {NameNode: "node:9000", Path: "/a/b"},
		"hdfs://node/a%20b//c/../": {NameNode: "node:8020", Path: "/a%20b"},
		"hdfs://[::1]/x":           {NameNode: "[::1]:8020", Path: "/x"},
		"hdfs://[::1]:1/":          {NameNode: "[::1]:1", Path: "/"},
	} {
		if got, err := hdfs.Parse(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "/a", "hdfs://", "hdfs://node", "hdfs:///path", "hdfs:/node/path"} {
		if _, err := hdfs.Parse(bad); err == nil || err.Error()[0] != '"' {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

const blockBytes = 1 << 20

func TestARealHDFS(t *testing.T) {
	if testing.Short() {
		t.Skip("two Java machines")
	}
	hadoop, err := apache.Find(t.TempDir())
	if errors.Is(err, apache.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := hadoop.StartHDFS(t.Context(), blockBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	system := &hdfs.System{HTTP: server.HTTP}
	defer system.Close()
	at := func(path string) hdfs.Location { return hdfs.Location{NameNode: server.NameNode, Path: path} }

	random := rand.NewChaCha8([32]byte{7})
	content := make([]byte, 2*blockBytes+12345)
	if _, err := random.Read(content); err != nil {
		t.Fatal(err)
	}
	write(t, system, at("/in/b"), content)
	write(t, system, at("/in/a b%20"), nil)

	entries, err := system.List(at("/in"))
	if err != nil || len(entries) != 2 || entries[0].Path != "/in/a b%20" || entries[1].Size != int64(len(content)) || entries[1].BlockSize != blockBytes {
		t.Errorf("listed %+v, %v", entries, err)
	}
	blocks, err := system.Blocks(t.Context(), at("/in/b"))
	if err != nil || len(blocks) != 3 {
		t.Fatalf("blocks %+v, %v", blocks, err)
	}
	last := blocks[2]
	if len(last.Hosts) == 0 || last.Offset != 2*blockBytes || last.Length != 12345 {
		t.Errorf("the last block is %+v", last)
	}
	f, err := system.Open(at("/in/b"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(100, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, content[100:]) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}

	if _, err := system.Open(at("/none")); !errors.Is(err, fs.ErrNotExist) || err.Error() != "hdfs://"+server.NameNode+"/none: file does not exist" {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := system.Rename(at("/in"), at("/out")); err != nil {
		t.Fatal(err)
	}
	if e, err := system.Stat(at("/out/b")); err != nil || e.Folder {
		t.Errorf("after the rename: %+v, %v", e, err)
	}
	if err := system.Remove(at("/out")); err != nil {
		t.Fatal(err)
	}
	left, err := system.List(at("/"))
	if diff := cmp.Diff([]hdfs.Entry(nil), left); diff != "" || err != nil {
		t.Errorf("%v, left (-want +got):\n%s", err, diff)
	}
}

func write(t *testing.T, system *hdfs.System, l hdfs.Location, content []byte) {
	t.Helper()
	w, err := system.Create(l)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
