package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/record"
)

// Reader reads a recording.
type Reader struct {
	Version string // of the Stoa that recorded

	from   io.Reader
	offset int64 // of what comes next
	cut    int64 // where an entry begins that is not whole; 0: none does
	ahead  *entry
}

// entry is an entry and where it begins.
type entry struct {
	*record.Entry
	at int64
}

// NewReader begins to read a recording.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{from: from}
	first, err := r.read()
	switch {
	case errors.Is(err, io.EOF) && r.offset == 0:
		return nil, errors.New("this is no recording of a master: it is empty")
	case errors.Is(err, io.EOF):
		return nil, errors.New("this is no recording of a master: it ends in its header")
	case err != nil:
		return nil, fmt.Errorf("this is no recording of a master: %w", err)
	case first.GetHeader() == nil:
		return nil, errors.New("this is no recording of a master: it does not begin with a header")
	}
	r.Version = first.GetHeader().GetVersion()
	return r, nil
}

// Step is an event of a recording and what it led to.
type Step struct {
	Now     time.Time
	Event   core.Event
	Outputs *record.Outputs // nil: the recording ends in the event
	Offset  int64           // of the event, in bytes
}

// Next returns the next step; io.EOF after the last one. A last entry that has not been written whole is left out: see Cut.
func (r *Reader) Next() (Step, error) {
	e, err := r.read()
	if err != nil {
		return Step{}, err
	}
	if e.GetEvent() == nil {
		return Step{}, fmt.Errorf("at byte %d is %T where an event was expected", e.at, e.GetEntry())
	}
	event, err := decode(e.GetEvent())
	if err != nil {
		return Step{}, fmt.Errorf("at byte %d: %w", e.at, err)
	}
	step := Step{Now: time.Unix(0, e.GetEvent().GetNow()), Event: event, Offset: e.at}
	e, err = r.read()
	switch {
	case errors.Is(err, io.EOF):
		return step, nil
	case err != nil:
		return Step{}, err
	}
	if step.Outputs = e.GetOutputs(); step.Outputs == nil {
		r.ahead = e // It was not told what this event led to.
	}
	return step, nil
}

// Cut is where a last entry begins that is not whole, in bytes, and how many bytes there are of it; false: all are whole.
func (r *Reader) Cut() (offset, length int64, cut bool) {
	return r.cut, r.offset - r.cut, r.cut > 0
}

func (r *Reader) read() (*entry, error) {
	if e := r.ahead; e != nil {
		r.ahead = nil
		return e, nil
	}
	at := r.offset
	head, err := r.take(headBytes)
	if err != nil {
		return nil, err
	}
	if len(head) < headBytes {
		return nil, r.end(at)
	}
	length := binary.LittleEndian.Uint32(head)
	if length > MaxEntry {
		return nil, fmt.Errorf("no entry at byte %d: it would be of %d bytes, more than %d", at, length, MaxEntry)
	}
	body, err := r.take(int64(length))
	switch {
	case err != nil:
		return nil, err
	case len(body) < int(length) && begins(body, length):
		return nil, r.end(at)
	case len(body) < int(length):
		return nil, fmt.Errorf("no entry at byte %d: there are %d bytes of %d, and they are not the beginning of one", at, len(body), length)
	}
	if want, got := binary.LittleEndian.Uint32(head[4:]), checksum(head[:4], body); got != want {
		return nil, fmt.Errorf("no entry at byte %d: %d bytes with the checksum %08x, written with %08x: they are damaged", at, length, got, want)
	}
	e := &entry{&record.Entry{}, at}
	if err := proto.Unmarshal(body, e.Entry); err != nil {
		return nil, fmt.Errorf("no entry at byte %d: %w", at, err)
	}
	if e.GetEntry() == nil {
		return nil, fmt.Errorf("no entry at byte %d: neither header nor event nor outputs", at)
	}
	return e, nil
}

// end is the end of the recording, in the middle of an entry if that began at another place.
func (r *Reader) end(at int64) error {
	if at < r.offset {
		r.cut = at
	}
	return io.EOF
}

// begins says whether an entry of this length may begin so: with one field that has all of it. What has been cut cannot be
// held against its checksum; so its length is not taken for granted.
func begins(body []byte, length uint32) bool {
	if len(body) == 0 {
		return true
	}
	number, kind, n := protowire.ConsumeTag(body)
	if n < 0 || kind != protowire.BytesType || number < 1 || number > 3 {
		return false
	}
	inner, m := protowire.ConsumeVarint(body[n:])
	if m < 0 {
		return errors.Is(protowire.ParseError(m), io.ErrUnexpectedEOF)
	}
	return uint64(n)+uint64(m)+inner == uint64(length)
}

// take reads so many bytes, or as many as there are.
func (r *Reader) take(n int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r.from, n))
	if r.offset += int64(len(b)); err != nil {
		return nil, fmt.Errorf("at byte %d: %w", r.offset, err)
	}
	return b, nil
}
