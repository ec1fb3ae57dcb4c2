package fetcher

import (
	"archive/tar"
	"fmt"
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

// A slave's environment and what it has open belong to it, whoever asks, root included.
func TestNothingOfAProcessIsFetched(t *testing.T) {
	r := newRig(t, Options{}, nil)
	open, err := os.Open(tempFile(t, "open", "the slave's"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	link := filepath.Join(t.TempDir(), "innocent")
	if err := os.Symlink("/proc/self/environ", link); err != nil {
		t.Fatal(err)
	}
	const kernels = "it must be a file of a disk"
	r.refused(plainURI("/proc/self/environ"), kernels)
	r.refused(plainURI(fmt.Sprintf("/proc/%d/cmdline", os.Getpid())), kernels)
	r.refused(plainURI(link), kernels)
	for _, path := range []string{"/proc/self/exe", "/proc/self/root" + open.Name(), fmt.Sprintf("/dev/fd/%d", open.Fd())} {
		r.refused(plainURI(path), "open "+path)
	}
	r.must(plainURI(open.Name()))
}
