package fetcher

import (
	"archive/tar"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// Whatever a file's own mode is, and whatever an archive says of it: what comes has no bit by which it runs as another.
func TestCVE_2019_14803_AndCVE_2022_30324_WhatIsFetchedGivesNobodyMoreRights(t *testing.T) {
	r := newRig(t, Options{}, nil)
	local := tempFile(t, "tool", "x")
	if err := os.Chmod(local, 0o755|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	archive := tempFile(t, "a.tar", tarOf(t,
		tar.Header{Name: "top/", Typeflag: tar.TypeDir, Mode: 0o7777},
		tar.Header{Name: "top/run", Mode: 0o7777, PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\xff\xff\xff\xff"}}))
	tool := plainURI(local)
	tool.Executable = proto.Bool(true)
	r.must(tool, archiveURI(archive))
	for _, name := range []string{"tool", "top", "top/run"} {
		info, err := os.Stat(filepath.Join(r.sandbox, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode() & (fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky); got != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		if n, err := unix.Getxattr(filepath.Join(r.sandbox, name), "security.capability", nil); n > 0 || err == nil {
			t.Errorf("%s has capabilities: %d bytes, %v", name, n, err)
		}
	}
}
