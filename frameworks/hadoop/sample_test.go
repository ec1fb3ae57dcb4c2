package hadoop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestASampleDividesTheKeysIntoPartsOfAboutEqualSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in")
	var text strings.Builder
	const lines, parts = 400_000, 4
	for i := range lines {
		fmt.Fprintf(&text, "%06d some value\n", i*i%999_983) // most keys are low
	}
	write(t, path, text.String())
	files, err := listInputs(context.Background(), []string{path}, remoteFiles{})
	if err != nil {
		t.Fatal(err)
	}
	keysOf := func(lines io.Reader) ([][]byte, error) {
		b, err := io.ReadAll(lines)
		var keys [][]byte
		for line := range bytes.Lines(b) {
			keys = append(keys, line[:min(6, len(line))])
		}
		return keys, err
	}
	cuts, err := sampleCuts(context.Background(), files, parts, keysOf)
	if err != nil || len(cuts) != parts-1 || !slices.IsSortedFunc(cuts, bytes.Compare) {
		t.Fatalf("cuts %q, %v", cuts, err)
	}
	var sizes [parts]int
	for line := range strings.Lines(text.String()) {
		at, _ := slices.BinarySearchFunc(cuts, []byte(line[:6]), func(cut, key []byte) int {
			return bytes.Compare(cut, append(key, 0)) // the first that is above the key
		})
		sizes[at]++
	}
	for part, n := range sizes {
		if n < lines/parts*8/10 || n > lines/parts*12/10 {
			t.Errorf("part %d has %d of %d keys: %v", part, n, lines, sizes)
		}
	}
	same, err := sampleCuts(context.Background(), files, parts, func(io.Reader) ([][]byte, error) { return [][]byte{[]byte("a"), []byte("a")}, nil })
	if err != nil || len(same) != 1 {
		t.Errorf("of one key: %q, %v", same, err)
	}
}
