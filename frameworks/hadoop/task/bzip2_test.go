package task

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// packed is what bzip2 makes of a text.
func packed(t *testing.T, text string, flags ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("bzip2"); err != nil {
		t.Skip("no bzip2")
	}
	cmd := exec.Command("bzip2", append([]string{"-c"}, flags...)...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryLineOfABzip2FileIsInOnePieceWhereverItIsCut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 9))
	var text strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&text, "%d %x\n", i, random.Uint64())
	}
	text.WriteString(strings.Repeat("a line of several blocks ", 20_000) + fmt.Sprint(random.Perm(60_000)) + "\n\nunfinished")
	one := packed(t, text.String(), "-1")
	two := append(packed(t, "first stream, one line\nthe second goes on", "-9"), one...) // streams follow each other
	for name, file := range map[string][]byte{"one stream": one, "several streams": two, "one block": packed(t, "a\nb\n")} {
		t.Run(name, func(t *testing.T) {
			path, size := writeFile(t, "in.bz2", file), int64(len(file))
			whole, _ := linesOf(t, &taskpb.Chunk{Path: []byte(path), Length: size, FileSize: size, Codec: taskpb.Codec_CODEC_BZIP2})
			for _, pieces := range []int64{2, 3, 7, 50} {
				var got bytes.Buffer
				lines := int64(0)
				for i := range pieces {
					from, to := i*size/pieces, (i+1)*size/pieces
					b, n := linesOf(t, &taskpb.Chunk{Path: []byte(path), Offset: from, Length: to - from, FileSize: size, Codec: taskpb.Codec_CODEC_BZIP2})
					got.Write(b)
					lines += n
				}
				if !bytes.Equal(whole, got.Bytes()) || lines != int64(bytes.Count(whole, newline)) {
					t.Errorf("%d pieces: %d bytes and %d lines, want %d and %d", pieces, got.Len(), lines, len(whole), bytes.Count(whole, newline))
				}
			}
		})
	}
}

// linesOf is what a mapper gets of a chunk, and how many lines were counted.
func linesOf(t *testing.T, c *taskpb.Chunk) ([]byte, int64) {
	t.Helper()
	var out bytes.Buffer
	s := newSplitWriter(&taskpb.MapTask{})
	s.to(&out)
	if err := s.all([]*taskpb.Chunk{c}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), s.lines
}

func TestABzip2FileThatIsDamagedFailsThePieceAndIsNamed(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 500_000)
	random.Read(noise)
	file := packed(t, fmt.Sprintf("%x", noise), "-1")
	file[len(file)/2] ^= 0x10
	path, size := writeFile(t, "in.bz2", file), int64(len(file))
	s := newSplitWriter(&taskpb.MapTask{})
	s.to(&bytes.Buffer{})
	err := s.all([]*taskpb.Chunk{{Path: []byte(path), Length: size - 1, FileSize: size, Codec: taskpb.Codec_CODEC_BZIP2}})
	if err == nil || !strings.Contains(err.Error(), "unpack input file "+path+": bzip2 data invalid") {
		t.Errorf("got %v", err)
	}
}
