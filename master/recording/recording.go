// Package recording writes down what happens to a master's core, from its birth on, and lets it happen to another one: a
// recording is a test case. It holds every message that the master got, with whatever secrets are in them.
//
//	header  event outputs  event outputs  …  event
//
// Each entry is a record.Entry behind its length and a checksum of both. An event is written before it is handled and the
// digest of its outputs after it, so the recording of a master that ended in an event ends with that event. Config is in it
// as JSON.
package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/record"
)

const (
	// MaxEntry is the largest entry that is read, in bytes: a message of the greatest size, and some room.
	MaxEntry = 80 << 20

	// headBytes is what stands before an entry: how long it is and its checksum, 4 bytes each, little-endian.
	headBytes = 8

	// keptBytes is how much memory for an entry a Writer keeps for the next one.
	keptBytes = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of an entry's length, as it is written, and of the entry.
func checksum(length, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, body)
}

// Writer writes a recording.
type Writer struct {
	to    io.Writer
	entry []byte // memory for one
}

// NewWriter begins a recording by this version of Stoa.
func NewWriter(to io.Writer, version string) (*Writer, error) {
	w := &Writer{to: to}
	return w, w.write(&record.Entry{Entry: &record.Entry_Header{Header: &record.Header{Version: version}}})
}

// Event writes down what is about to happen to the core.
func (w *Writer) Event(now time.Time, event core.Event) error {
	e, err := encode(event)
	if err != nil {
		return err
	}
	e.Now = now.UnixNano()
	return w.write(&record.Entry{Entry: &record.Entry_Event{Event: e}})
}

// Outputs writes down what it led to.
func (w *Writer) Outputs(outputs []core.Output) error {
	o, err := digest(outputs)
	if err != nil {
		return err
	}
	return w.write(&record.Entry{Entry: &record.Entry_Outputs{Outputs: o}})
}

func (w *Writer) write(entry *record.Entry) error {
	all, err := proto.MarshalOptions{}.MarshalAppend(append(w.entry[:0], make([]byte, headBytes)...), entry)
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	head, body := all[:headBytes], all[headBytes:]
	if len(body) > MaxEntry {
		return fmt.Errorf("recording: an entry of %d bytes: at most %d can be read again", len(body), MaxEntry)
	}
	binary.LittleEndian.PutUint32(head, uint32(len(body)))
	binary.LittleEndian.PutUint32(head[4:], checksum(head[:4], body))
	if w.entry = all; cap(all) > keptBytes {
		w.entry = nil
	}
	if _, err := w.to.Write(all); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	return nil
}

// digest makes outputs comparable: the same outputs of the same program have the same digest.
func digest(outputs []core.Output) (*record.Outputs, error) {
	h := fnv.New64a()
	number := func(n uint64) { _ = binary.Write(h, binary.LittleEndian, n) }
	for _, output := range outputs {
		var message proto.Message
		switch o := output.(type) {
		case core.Send:
			number(uint64(o.Session))
			message = o.Message
		case core.Reply:
			number(uint64(o.Request))
			message = o.Message
		case core.Show: // What is shown follows from everything before.
			number(uint64(o.Request))
			message = o.Call
		case core.Persist:
			fmt.Fprintf(h, "%T%d%v", o, o.ID, o.Change)
			continue
		default:
			fmt.Fprintf(h, "%T%v", o, o)
			continue
		}
		wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
		if err != nil {
			return nil, fmt.Errorf("recording: output %T: %w", output, err)
		}
		fmt.Fprintf(h, "%T%T", output, message)
		_, _ = h.Write(wire)
	}
	return &record.Outputs{Count: uint32(len(outputs)), Digest: h.Sum64()}, nil
}

// Difference is an event that leads to something else now.
type Difference struct {
	Number    int // of the event, from 1
	Step      Step
	Got, Want *record.Outputs
	Outputs   []core.Output // that it leads to now; of those that were recorded there is no more than Want
}

// Error says what differs.
func (d *Difference) Error() string {
	return fmt.Sprintf("event %d (%s at %s, byte %d of the file) led to %d outputs with the digest %016x, and leads to %d with %016x now", d.Number, Name(d.Step.Event),
		d.Step.Now.UTC().Format(time.RFC3339Nano), d.Step.Offset, d.Want.GetCount(), d.Want.GetDigest(), d.Got.GetCount(), d.Got.GetDigest())
}

// Replay lets a recording happen to a fresh core. It calls before and after around every step, which are numbered from 1,
// and returns how many there were, and a *Difference at the first one whose outputs are others than were recorded. What
// the core panics with, it panics with.
func Replay(r *Reader, before func(number int, step Step), after func(number int, step Step, outputs []core.Output)) (int, error) {
	c := core.New()
	for number := 1; ; number++ {
		step, err := r.Next()
		if errors.Is(err, io.EOF) {
			return number - 1, nil
		}
		if err != nil {
			return number - 1, err
		}
		if _, born := step.Event.(core.Born); born != (number == 1) {
			return number - 1, fmt.Errorf("recording: event %d at byte %d is %s: the first one, and no other, is the birth of a master", number, step.Offset, Name(step.Event))
		}
		before(number, step)
		outputs := c.Step(step.Now, step.Event)
		after(number, step, outputs)
		got, err := digest(outputs)
		if err != nil {
			return number, err
		}
		if step.Outputs != nil && (got.GetDigest() != step.Outputs.GetDigest() || got.GetCount() != step.Outputs.GetCount()) {
			return number, &Difference{number, step, got, step.Outputs, outputs}
		}
	}
}
