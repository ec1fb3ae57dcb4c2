package fetcher

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// tarOf makes a tar file: a regular file of one byte where an entry says nothing else.
func tarOf(t *testing.T, entries ...tar.Header) string {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, header := range entries {
		content := ""
		if header.Typeflag == 0 {
			header.Typeflag, content = tar.TypeReg, "x"
		}
		if header.Mode == 0 {
			header.Mode = 0o644
		}
		header.Size = int64(len(content))
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

func zipOf(t *testing.T, entries ...zip.FileHeader) string {
	t.Helper()
	var buffer bytes.Buffer
	w := zip.NewWriter(&buffer)
	for _, header := range entries {
		content := header.Comment // of a link: where it leads
		header.Comment = ""
		file, err := w.CreateHeader(&header)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(file, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

func compress[W io.WriteCloser](t *testing.T, open func(io.Writer) (W, error), text string) string {
	t.Helper()
	var buffer bytes.Buffer
	w, err := open(&buffer)
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buffer.String()
}

func gz(t *testing.T, text string) string {
	return compress(t, func(w io.Writer) (*gzip.Writer, error) { return gzip.NewWriter(w), nil }, text)
}

func bz2(t *testing.T, text string) string {
	t.Helper()
	command := exec.Command("bzip2")
	command.Stdin = strings.NewReader(text)
	out, err := command.Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("this machine has no bzip2 to make the archive")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestEveryKindOfArchiveIsUnpacked(t *testing.T) {
	tree := func(t *testing.T) string {
		return tarOf(t, tar.Header{Name: "top/", Typeflag: tar.TypeDir, Mode: 0o500}, tar.Header{Name: "top/run", Mode: 0o6755},
			tar.Header{Name: "top/deep/er/file"}, tar.Header{Name: "top/link", Typeflag: tar.TypeSymlink, Linkname: "deep/er/file"},
			tar.Header{Name: "top/deep/up", Typeflag: tar.TypeSymlink, Linkname: "../run"},
			tar.Header{Name: "top/same", Typeflag: tar.TypeLink, Linkname: "top/run"})
	}
	for name, content := range map[string]func(t *testing.T) string{
		"a.tar":     tree,
		"a.tgz":     func(t *testing.T) string { return gz(t, tree(t)) },
		"a.TAR.GZ":  func(t *testing.T) string { return gz(t, tree(t)) },
		"a.tar.bz2": func(t *testing.T) string { return bz2(t, tree(t)) },
		"a.tar.xz":  func(t *testing.T) string { return compress(t, xz.NewWriter, tree(t)) },
		"a.tar.zst": func(t *testing.T) string {
			return compress(t, func(w io.Writer) (*zstd.Encoder, error) { return zstd.NewWriter(w) }, tree(t))
		},
		"a.zip": func(t *testing.T) string {
			mode := func(name, content string, mode fs.FileMode) zip.FileHeader {
				h := zip.FileHeader{Name: name, Comment: content}
				h.SetMode(mode)
				return h
			}
			return zipOf(t, mode("top/", "", fs.ModeDir|0o500), mode("top/run", "x", 0o755|fs.ModeSetuid|fs.ModeSetgid),
				mode("top/deep/er/file", "x", 0o644), mode("top/link", "deep/er/file", fs.ModeSymlink|0o777),
				mode("top/deep/up", "../run", fs.ModeSymlink|0o777), mode("top/same", "x", 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{}, nil)
			r.must(archiveURI(tempFile(t, name, content(t))))
			for _, file := range []string{"top/run", "top/deep/er/file", "top/link", "top/deep/up", "top/same"} {
				r.has(file, "x")
			}
			// CVE-2019-14803: bits that would give a program another's rights.
			if info, err := os.Stat(filepath.Join(r.sandbox, "top/run")); err != nil || info.Mode() != 0o755 {
				t.Errorf("top/run has mode %v, %v", info.Mode(), err)
			}
			if _, err := os.Lstat(filepath.Join(r.sandbox, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the archive itself is there, %v", err)
			}
		})
	}
}

func TestWhatIsNoArchiveOrShallNotBeUnpackedIsCopied(t *testing.T) {
	r := newRig(t, Options{}, nil)
	archive := tempFile(t, "a.tar", tarOf(t, tar.Header{Name: "inside"}))
	r.must(archiveURI(tempFile(t, "plain.txt", "text")), plainURI(archive), archiveURI(tempFile(t, "one.txt.gz", gz(t, "unpacked"))))
	r.has("plain.txt", "text")
	r.has("one.txt", "unpacked")
	if _, err := os.Stat(filepath.Join(r.sandbox, "a.tar")); err != nil {
		t.Error(err)
	}
	elsewhere := archiveURI(archive)
	elsewhere.OutputFile = proto.String("below/this.tar")
	r.must(elsewhere)
	r.has("below/inside", "x")
}

func TestNothingLeadsOutOfTheSandbox(t *testing.T) {
	type entries = []tar.Header
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}
	}
	for name, test := range map[string]struct {
		entries entries
		want    string
	}{
		"a name with ..":                        {entries{{Name: "../x"}}, `"../x"`},
		"a name with .. behind others":          {entries{{Name: "a/../../x"}}, `"a/../../x"`},
		"an absolute name":                      {entries{{Name: "/x"}}, `"/x"`},
		"a link to an absolute path":            {entries{link("l", "/etc")}, `"/etc"`},
		"a link that climbs out":                {entries{link("a/l", "../../x")}, `"../../x"`},
		"a link that climbs after another link": {entries{{Name: "a/b/c/f"}, link("a/b/c/up", "../../.."), link("l", "a/b/c/up/..")}, `"a/b/c/up/.."`},
		"a file through a link":                 {entries{{Name: "d/f"}, link("l", "d"), {Name: "l/x"}}, `"l/x"`},
		"a folder through a link":               {entries{{Name: "d/f"}, link("l", "d"), {Name: "l/x/", Typeflag: tar.TypeDir}}, `"l/x/"`},
		"a hard link to the outside":            {entries{{Name: "l", Typeflag: tar.TypeLink, Linkname: "../outside"}}, `"../outside"`},
		"a hard link to an absolute path":       {entries{{Name: "l", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}}, `"/etc/passwd"`},
		"a hard link to a link":                 {entries{{Name: "a/f"}, link("a/b/l", "../f"), {Name: "l", Typeflag: tar.TypeLink, Linkname: "a/b/l"}}, `"a/b/l"`},
		"a device":                              {entries{{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}}, `"sda"`},
		"a pipe":                                {entries{{Name: "pipe", Typeflag: tar.TypeFifo}}, `"pipe"`},
		"an empty name":                         {entries{{Name: ""}}, `""`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, Options{}, nil)
			outside := filepath.Join(filepath.Dir(r.sandbox), "outside")
			if err := os.WriteFile(outside, []byte("untouched"), 0o644); err != nil {
				t.Fatal(err)
			}
			r.refused(archiveURI(tempFile(t, "a.tar", tarOf(t, test.entries...))), test.want)
			beside, err := os.ReadDir(filepath.Dir(r.sandbox))
			if err != nil || len(beside) != 2 {
				t.Errorf("beside the sandbox there is %v, %v", beside, err)
			}
			if got, err := os.ReadFile(outside); err != nil || string(got) != "untouched" {
				t.Errorf("outside: %q, %v", got, err)
			}
		})
	}
	t.Run("a zip with such names", func(t *testing.T) {
		r := newRig(t, Options{}, nil)
		r.refused(archiveURI(tempFile(t, "a.zip", zipOf(t, zip.FileHeader{Name: "../x", Comment: "x"}))), `"../x"`)
		h := zip.FileHeader{Name: "l", Comment: "/etc"}
		h.SetMode(fs.ModeSymlink | 0o777)
		r.refused(archiveURI(tempFile(t, "b.zip", zipOf(t, h))), `"/etc"`)
	})
}

// Nomad's downloads and templates were led out of the sandbox by links in it.
func TestCVE_2020_27195_AndCVE_2024_1329_ALinkInTheSandboxIsNotFollowedOut(t *testing.T) {
	r := newRig(t, Options{}, nil)
	outside := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(outside, []byte("untouched"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"file": outside, "folder": filepath.Dir(outside)} {
		if err := os.Symlink(to, filepath.Join(r.sandbox, name)); err != nil {
			t.Fatal(err)
		}
	}
	source := tempFile(t, "source", "new")
	onto, through := plainURI(source), plainURI(source)
	onto.OutputFile, through.OutputFile = proto.String("file"), proto.String("folder/target")
	r.must(onto)
	r.has("file", "new") // the link gave way
	r.refused(through, source)
	if got, err := os.ReadFile(outside); err != nil || string(got) != "untouched" {
		t.Errorf("outside: %q, %v", got, err)
	}
}

func TestBombsStopAtTheirLimits(t *testing.T) {
	zeros := strings.Repeat("\x00", 1<<20)
	bomb := func(t *testing.T) string {
		var buffer bytes.Buffer
		w := tar.NewWriter(&buffer)
		for i := range 8 {
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint("f", i), Mode: 0o644, Size: int64(len(zeros))}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, zeros); err != nil {
				t.Fatal(err)
			}
		}
		return gz(t, buffer.String())
	}
	r := newRig(t, Options{MaxBytes: 3 << 20, MaxEntries: 100}, nil)
	r.refused(archiveURI(tempFile(t, "a.tar.gz", bomb(t))), "larger than the allowed 3145728 bytes")
	r.refused(archiveURI(tempFile(t, "b.gz", gz(t, strings.Repeat(zeros, 4)))), "larger than the allowed 3145728 bytes")
	r.refused(archiveURI(tempFile(t, "c.zip", zipOf(t, zip.FileHeader{Name: "f", Method: zip.Deflate, Comment: strings.Repeat(zeros, 4)}))), "larger than the allowed")
	var many []tar.Header
	for i := range 101 {
		many = append(many, tar.Header{Name: fmt.Sprint("many/", i)})
	}
	r.refused(archiveURI(tempFile(t, "d.tar", tarOf(t, many...))), "more than the allowed 100 entries")
	var size int64
	err := filepath.WalkDir(r.sandbox, func(_ string, entry fs.DirEntry, err error) error {
		if info, _ := entry.Info(); err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return err
	})
	if err != nil || size > 3*(3<<20+1)+100 {
		t.Errorf("the bombs left %d bytes, %v", size, err)
	}
}

func TestAPathIsAsLongAsTheKernelTakesAndNoLonger(t *testing.T) {
	r := newRig(t, Options{}, nil)
	longest := strings.Repeat("d/", (MaxPathBytes-1)/2) + "ff"
	r.must(archiveURI(tempFile(t, "a.tar", tarOf(t, tar.Header{Name: longest}))))
	root, err := os.OpenRoot(r.sandbox)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if info, err := root.Lstat(longest); err != nil || info.Size() != 1 {
		t.Errorf("got %v, %v", info, err)
	}
	r.refused(archiveURI(tempFile(t, "b.tar", tarOf(t, tar.Header{Name: "d/" + longest}))), "its path has 4098 bytes: allowed are 4096")
	uri := plainURI(tempFile(t, "c", ""))
	uri.OutputFile = proto.String("d/" + longest)
	r.refused(uri, "output file of 4098 bytes: allowed are 4096")
}

func TestWhatIsFetchedIsNotTakenForOutput(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.refused(plainURI(tempFile(t, "stdout", "x")), `output file "stdout": the task's own output goes there`)
	uri := plainURI(tempFile(t, "c", ""))
	uri.OutputFile = proto.String("./stderr")
	r.refused(uri, `output file "./stderr": the task's own output goes there`)
	uri.OutputFile = proto.String("out/stdout")
	r.must(uri)
}

// What has no content is unpacked without a read of any.
func TestAnArchiveOfFoldersEndsWithItsContext(t *testing.T) {
	for name, content := range map[string]string{
		"a.tar": tarOf(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir}), "a.zip": zipOf(t, zip.FileHeader{Name: "d/"}),
	} {
		r := newRig(t, Options{}, nil)
		ctx, cancel := contextWithCancel(t)
		cancel()
		err := r.fetcher.Fetch(ctx, Request{Sandbox: r.sandbox, URIs: []*mesos.CommandInfo_URI{archiveURI(tempFile(t, name, content))}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestABrokenArchiveSaysSo(t *testing.T) {
	for _, name := range []string{"a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.tar.zst", "a.zip", "a.tar", "a.gz"} {
		r := newRig(t, Options{}, nil)
		r.refused(archiveURI(tempFile(t, name, strings.Repeat("this is no archive ", 100))), "unpack: ")
	}
	r := newRig(t, Options{}, nil)
	half := gz(t, tarOf(t, tar.Header{Name: "a"}, tar.Header{Name: "b"}))
	r.refused(archiveURI(tempFile(t, "half.tgz", half[:len(half)-20])), "unpack: the archive is not complete")
	r.refused(archiveURI(tempFile(t, "empty.tgz", "")), "unpack: the archive is not complete")
}

// A stream that stores what it should compress says nothing of a changed byte before its checksum.
func TestAnArchiveThatWasDamagedIsNotTakenForWhole(t *testing.T) {
	stored := func(w io.Writer) (*gzip.Writer, error) { return gzip.NewWriterLevel(w, gzip.NoCompression) }
	whole := compress(t, stored, tarOf(t, tar.Header{Name: "a"}, tar.Header{Name: "b"}))
	r := newRig(t, Options{}, nil)
	r.must(archiveURI(tempFile(t, "whole.tgz", whole)), archiveURI(tempFile(t, "padded.tgz", whole+strings.Repeat("\x00", 512))))
	r.must(archiveURI(tempFile(t, "garbage.tgz", whole+"\n")), archiveURI(tempFile(t, "joined.gz", gz(t, "one, ")+gz(t, "two")+"garbage")))
	r.has("a", "x")
	r.has("joined", "one, two")
	at := strings.LastIndex(whole, "x")
	r.refused(archiveURI(tempFile(t, "a.tgz", whole[:at]+"y"+whole[at+1:])), "invalid checksum")
}

func TestAnEncryptedZipFileIsRefused(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.refused(archiveURI(tempFile(t, "a.zip", zipOf(t, zip.FileHeader{Name: "a", Flags: 1, Comment: "x"}))), "it is encrypted")
}

func TestAFileWithHolesIsUnpackedAsGNUTarWritesIt(t *testing.T) {
	dir := t.TempDir()
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err == nil {
		_, err = sparse.WriteAt([]byte("end"), 1<<20)
	}
	if err == nil {
		err = sparse.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"gnu", "pax"} {
		archive := filepath.Join(dir, format+".tar")
		if out, err := exec.Command("tar", "--format="+format, "-cSf", archive, "-C", dir, "sparse").CombinedOutput(); err != nil {
			t.Skipf("this machine's tar makes no such archive: %v: %s", err, out)
		}
		r := newRig(t, Options{}, nil)
		r.must(archiveURI(archive))
		r.has("sparse", strings.Repeat("\x00", 1<<20)+"end")
	}
}

func TestWhatAnArchiveSaysIsToldInOneShortLine(t *testing.T) {
	r := newRig(t, Options{}, nil)
	for _, name := range []string{strings.Repeat("long", 100_000), strings.Repeat("\x1b[31m\n", 50)} {
		err := r.fetch(archiveURI(tempFile(t, "a.tar", tarOf(t, tar.Header{Name: name}))))
		if err == nil || len(err.Error()) > 2*MaxCauseBytes || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("got %.300q", fmt.Sprint(err))
		}
	}
}

func TestWhatWouldTakeTooMuchMemoryIsRefused(t *testing.T) {
	r := newRig(t, Options{}, nil)
	large := func(open func(io.Writer) (io.WriteCloser, error)) string {
		return compress(t, open, tarOf(t, tar.Header{Name: "x"}))
	}
	r.refused(archiveURI(tempFile(t, "a.tar.xz", large(func(w io.Writer) (io.WriteCloser, error) {
		return xz.WriterConfig{DictCap: 2 * MaxXzDictionary}.NewWriter(w)
	}))), fmt.Sprintf("it wants a dictionary of more than the allowed %d bytes", MaxXzDictionary))
	r.must(archiveURI(tempFile(t, "b.tar.xz", large(func(w io.Writer) (io.WriteCloser, error) {
		return xz.WriterConfig{DictCap: MaxXzDictionary}.NewWriter(w) // as xz -9 does
	}))))
	r.must(archiveURI(tempFile(t, "c.tar.zst", zstdFrame(tarOf(t, tar.Header{Name: "y"}), 27)))) // 128 MiB
	r.refused(archiveURI(tempFile(t, "d.tar.zst", zstdFrame(tarOf(t, tar.Header{Name: "y"}), 28))), "unpack: window size exceeded")
	var entries []zip.FileHeader
	for i := range MaxZipDirectory/60_000 + 1 { // names are as long as they can be
		entries = append(entries, zip.FileHeader{Name: fmt.Sprintf("%060000d", i)})
	}
	r.refused(archiveURI(tempFile(t, "e.zip", zipOf(t, entries...))), fmt.Sprintf("the list of its entries has more than the allowed %d bytes", MaxZipDirectory))
}

// zstdFrame is a frame of one block, as it is, that asks for a window of 2^log bytes (RFC 8878, 3.1.1).
func zstdFrame(content string, log int) string {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(log-10) << 3}
	head := uint32(len(content))<<3 | 1
	return string(append(frame, byte(head), byte(head>>8), byte(head>>16))) + content
}

// Two streams, one behind the other, are what some programs write; a reader that stops after the first loses files.
func TestAnXzFileOfSeveralStreamsIsUnpackedWhole(t *testing.T) {
	whole := tarOf(t, tar.Header{Name: "a"}, tar.Header{Name: "b"})
	half := len(whole) / 2
	r := newRig(t, Options{}, nil)
	r.must(archiveURI(tempFile(t, "a.tar.xz", compress(t, xz.NewWriter, whole[:half])+compress(t, xz.NewWriter, whole[half:]))))
	r.has("a", "x")
	r.has("b", "x")
}
