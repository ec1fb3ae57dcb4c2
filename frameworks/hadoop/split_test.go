package hadoop

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tellSplits writes splits as file[offset+length].
func tellSplits(splits []split) []string {
	var told []string
	for _, s := range splits {
		text := ""
		for _, c := range s.chunks {
			text += fmt.Sprintf("%s[%d+%d]", c.GetPath(), c.GetOffset(), c.GetLength())
		}
		told = append(told, text)
	}
	return told
}

func TestCut(t *testing.T) {
	file := func(path string, size int64) inputFile { return inputFile{root: "/", path: path, size: size} }
	tests := []struct {
		name  string
		files []inputFile
		want  []string
	}{
		{"no files are no splits", nil, nil},
		{"small files share a split", []inputFile{file("a", 40), file("b", 40), file("c", 20), file("d", 1)}, []string{"a[0+40]b[0+40]c[0+20]", "d[0+1]"}},
		{"a file that would overfill a split begins the next", []inputFile{file("a", 90), file("b", 90)}, []string{"a[0+90]", "b[0+90]"}},
		{"a large file is cut", []inputFile{file("a", 250)}, []string{"a[0+100]", "a[100+100]", "a[200+50]"}},
		{"a small rest stays with its file", []inputFile{file("a", 205)}, []string{"a[0+100]", "a[100+105]"}},
		{"a small file joins the rest of a large one", []inputFile{file("a", 120), file("b", 10)}, []string{"a[0+100]", "a[100+20]b[0+10]"}},
		{"empty files are read too", []inputFile{file("a", 0), file("b", 0)}, []string{"a[0+0]b[0+0]"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, tellSplits(cut(test.files, 100))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryByteIsInExactlyOneChunk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOf(rapid.Int64Range(0, 500)).Draw(t, "sizes")
		size := rapid.Int64Range(1, 200).Draw(t, "split size")
		var files []inputFile
		for i, n := range sizes {
			files = append(files, inputFile{root: "/in", path: fmt.Sprint(i), size: n})
		}
		next := make([]int64, len(sizes))
		last := -1
		for _, s := range cut(files, size) {
			if float64(s.bytes) > splitSlop*float64(size) || len(s.chunks) == 0 || !slices.Equal(s.roots, []string{"/in"}) {
				t.Fatalf("split %+v of size %d", s, size)
			}
			for _, c := range s.chunks {
				i := slices.IndexFunc(files, func(f inputFile) bool { return f.path == string(c.GetPath()) })
				if i < last || c.GetOffset() != next[i] || c.GetFileSize() != sizes[i] {
					t.Fatalf("chunk %v comes after byte %d of file %d", c, next[i], i)
				}
				last, next[i] = i, next[i]+c.GetLength()
			}
		}
		if !slices.Equal(next, sizes) && len(sizes) > 0 {
			t.Fatalf("read %v of %v", next, sizes)
		}
	})
}

func TestSplitSize(t *testing.T) {
	const mb = 1 << 20
	tests := []struct {
		name                            string
		total, minSplit, maxSplit, want int64
	}{
		{"a small input has few splits", 10 * mb, 0, 0, 4 * mb},
		{"128 MB are some 32 maps", 128 * mb, 0, 0, 4 * mb},
		{"1 GB is 32 maps", 1 << 30, 0, 0, 32 * mb},
		{"10 GB are splits of 64 MB", 10 << 30, 0, 0, 64 * mb},
		{"the largest split may be set", 128 * mb, 0, mb, mb},
		{"the smallest split may be set, and wins", 128 * mb, 100 * mb, mb, 100 * mb},
		{"nothing is cut into pieces of nothing", 0, 0, 0, 4 * mb},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := splitSize(test.total, test.minSplit, test.maxSplit); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestMounts(t *testing.T) {
	var many []string
	for i := range maxMounts + 1 {
		many = append(many, fmt.Sprintf("/data/%03d", i))
	}
	tests := []struct {
		name        string
		roots, want []string
	}{
		{"a path below another is there with it", []string{"/a", "/a/b", "/ab", "/c"}, []string{"/a", "/ab", "/c"}},
		{"of many files their folder", many, []string{"/data"}},
		{"nothing for nothing", nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, split{roots: test.roots}.mounts()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
