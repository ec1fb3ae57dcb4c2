package remote

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestBothSidesOfATableAgreeHoweverManyNamesThereAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := tableWriter[string]{limit: rapid.Uint32Range(1, 20).Draw(t, "limit")}
		r := tableReader[string]{}
		for _, number := range rapid.SliceOfN(rapid.IntRange(0, 40), 1, 300).Draw(t, "names") {
			name := string(rune('A' + number))
			ref, define := w.ref(name)
			b := binary.AppendUvarint(nil, ref)
			if define {
				b = appendText(b, name, maxNameBytes)
			}
			c := &cursor{rest: b}
			got := r.at(c, func(c *cursor) string { return c.text(maxNameBytes) })
			if c.failed || got == nil || *got != name || len(c.rest) != 0 {
				t.Fatalf("%q was read as %v", name, got)
			}
			if len(w.numbers) > int(w.limit) || len(r.entries) > int(w.limit) {
				t.Fatalf("%d and %d names are kept, expected at most %d", len(w.numbers), len(r.entries), w.limit)
			}
		}
	})
}

func TestFramesComeOutAsTheyWentInHoweverTheyAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(0, maxFrameBytes-1)), 0, 20).Draw(t, "sizes")
		var wire []byte
		for i, size := range sizes {
			wire = appendFrame(wire, frameChunk, bytes.Repeat([]byte{byte(i)}, size))
		}
		source := io.Reader(bytes.NewReader(wire))
		switch rapid.IntRange(0, 2).Draw(t, "cut") {
		case 0:
			source = iotest.HalfReader(source)
		case 1:
			source = iotest.OneByteReader(source)
		}
		r := frameReader{read: source.Read, little: 1}
		for i, size := range sizes {
			frame, err := r.next()
			if err != nil || frame[0] != byte(frameChunk) || !bytes.Equal(frame[1:], bytes.Repeat([]byte{byte(i)}, size)) {
				t.Fatalf("frame %d of %d bytes came out as %d bytes: %v", i, size, len(frame), err)
			}
		}
		if _, err := r.next(); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v after the last frame", err)
		}
	})
}

func TestAnErrorThatIsCutWithinALetterIsStillText(t *testing.T) {
	long := strings.Repeat("ä", maxTextBytes)[1:] // so that the limit falls within one
	got := readError(&cursor{rest: appendError(nil, errors.New(long))})
	if got == nil || !utf8.ValidString(got.Error()) || len(got.Error()) < maxTextBytes/2 {
		t.Errorf("read was %q", got)
	}
}
