package task

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"pgregory.net/rapid"
)

func writeFile(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readChunks(blockBytes int, chunks ...*taskpb.Chunk) (string, *splitWriter, error) {
	var out bytes.Buffer
	s := &splitWriter{w: &out, buf: make([]byte, 0, blockBytes), separator: '\t'}
	err := s.all(chunks)
	return out.String(), s, err
}

func TestChunksAreCutAtLines(t *testing.T) {
	tests := []struct {
		name           string
		content        string
		offset, length int64
		want           string
	}{
		{"a whole file is as it is", "a\nb\n", 0, 4, "a\nb\n"},
		{"an unfinished last line gets its end", "a\nb", 0, 3, "a\nb\n"},
		{"a line that begins inside is read beyond the end", "aaaa\nbbbb\n", 0, 2, "aaaa\n"},
		{"a line that began before is left to the chunk before", "aaaa\nbbbb\n", 2, 8, "bbbb\n"},
		{"a line that begins at the offset belongs to the chunk", "aaaa\nbbbb\n", 5, 5, "bbbb\n"},
		{"a line that begins at the end does not", "aaaa\nbbbb\n", 0, 5, "aaaa\n"},
		{"a chunk within one line is empty", "aaaaaaaa\nb\n", 2, 4, ""},
		{"a chunk at the end of an unfinished line is empty", "aaaaaaaa", 4, 4, ""},
		{"an empty file is empty", "", 0, 0, ""},
		{"empty lines are lines", "\n\n\n", 1, 1, "\n"},
		{"carriage returns and NULs are bytes like others", "a\r\n\x00b", 0, 5, "a\r\n\x00b\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := writeFile(t, "in", []byte(test.content))
			for _, block := range []int{1, 2, 3, 5, 1000} {
				got, _, err := readChunks(block, &taskpb.Chunk{
					Path: []byte(path), Offset: test.offset, Length: test.length, FileSize: int64(len(test.content)),
				})
				if err != nil {
					t.Fatal(err)
				}
				if got != test.want {
					t.Errorf("block of %d bytes: got %q, want %q", block, got, test.want)
				}
			}
		})
	}
}

func TestEveryLineBelongsToExactlyOneChunk(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		content := []byte(rapid.StringMatching(`([ab]{0,6}\n?){0,20}`).Draw(t, "content"))
		path := filepath.Join(dir, "in")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		size := int64(len(content))
		var chunks []*taskpb.Chunk
		for offset := int64(0); offset < size; {
			length := min(rapid.Int64Range(1, 9).Draw(t, "length"), size-offset)
			chunks = append(chunks, &taskpb.Chunk{Path: []byte(path), Offset: offset, Length: length, FileSize: size})
			offset += length
		}
		got, s, err := readChunks(rapid.IntRange(1, 16).Draw(t, "block"), chunks...)
		if err != nil {
			t.Fatal(err)
		}
		want := string(content)
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("chunks %v of %q (-want +got):\n%s", chunks, content, diff)
		}
		if s.bytes != size || s.lines != int64(strings.Count(want, "\n")) {
			t.Fatalf("counted %d bytes and %d lines of %q", s.bytes, s.lines, content)
		}
	})
}

func TestAFileThatHasChangedIsNamed(t *testing.T) {
	path := writeFile(t, "in", []byte("abc\n"))
	chunk := func(path string, size int64) *taskpb.Chunk {
		return &taskpb.Chunk{Path: []byte(path), Length: size, FileSize: size}
	}
	if _, _, err := readChunks(100, chunk(path, 9)); err == nil || !strings.Contains(err.Error(), path+" has changed: it ends after 4 bytes and had 9") {
		t.Errorf("a file that has shrunk: %v", err)
	}
	beyond := &taskpb.Chunk{Path: []byte(path), Offset: 7, Length: 2, FileSize: 9}
	if _, _, err := readChunks(100, beyond); err == nil || !strings.Contains(err.Error(), path+" has changed: it ends after 4 bytes and had 9") {
		t.Errorf("a file that ends before a piece of it begins: %v", err)
	}
	if _, _, err := readChunks(100, chunk(path+".gone", 9)); err == nil || !strings.Contains(err.Error(), path+".gone: no such file") {
		t.Errorf("a file that has vanished: %v", err)
	}
	if got, _, err := readChunks(100, chunk(path, 2)); err != nil || got != "ab\n" {
		t.Errorf("a file that has grown: %q, %v; want the bytes that were there when it was listed", got, err)
	}
}

// writerOnce does something when it is first written to.
type writerOnce struct{ do func() }

func (w *writerOnce) Write(b []byte) (int, error) {
	if w.do != nil {
		w.do()
		w.do = nil
	}
	return len(b), nil
}

// overwrite writes to a file in place, until its file system tells.
func overwrite(t *testing.T, path, text string) {
	t.Helper()
	before, err := os.Stat(path)
	for now := before; err == nil && now.ModTime().Equal(before.ModTime()); {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_WRONLY, 0); err != nil {
			break
		}
		_, err = f.WriteString(text)
		if err = errors.Join(err, f.Close()); err == nil {
			now, err = os.Stat(path)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatIsWrittenToWhileItIsRead(t *testing.T) {
	const text = "one\ntwo\n"
	for name, test := range map[string]struct {
		change func(t *testing.T, path string)
		want   string
	}{
		"overwritten by as much": {func(t *testing.T, path string) { overwrite(t, path, "six") }, " has changed: it was written to while it was read"},
		"grown":                  {func(t *testing.T, path string) { overwrite(t, path, text+"three\n") }, ""},
		"replaced": {func(t *testing.T, path string) { // what is open stays what it was
			if err := errors.Join(os.WriteFile(path+".new", []byte("six\n two\n"), 0o600), os.Rename(path+".new", path)); err != nil {
				t.Fatal(err)
			}
		}, ""},
		"let alone": {func(*testing.T, string) {}, ""},
	} {
		for _, length := range []int64{4, 8} {
			t.Run(fmt.Sprintf("%s, a piece of %d bytes", name, length), func(t *testing.T) {
				path := writeFile(t, "in", []byte(text))
				s := &splitWriter{w: &writerOnce{func() { test.change(t, path) }}, buf: make([]byte, 0, 1), separator: '\t'}
				err := s.all([]*taskpb.Chunk{{Path: []byte(path), Length: length, FileSize: 8}})
				if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), path+test.want)) {
					t.Errorf("it ends with %v, want %q", err, test.want)
				}
				if want := err == nil && length < 8; (len(s.seen) == 1) != want {
					t.Errorf("seen are %v", s.seen)
				}
			})
		}
	}
}
