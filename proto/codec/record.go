package codec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	// MaxRecordBytes is the largest record that is written, and read unless a reader is told
	// otherwise. Widespread Mesos clients read no larger ones (mesos-go: 4 MiB).
	MaxRecordBytes = 4 << 20

	// maxLengthDigits is the longest length line that is read: the digits of a 63-bit number.
	maxLengthDigits = 19
)

// AppendRecord appends record as one frame to stream and returns it. It fails, with stream as it
// was, if the record is empty or larger than MaxRecordBytes.
//
// Hand a whole frame to one Write: there are clients that want a record in an HTTP chunk of its own.
func AppendRecord(stream, record []byte) ([]byte, error) {
	if len(record) == 0 || len(record) > MaxRecordBytes {
		return stream, fmt.Errorf("a record of %d bytes cannot be written: allowed are 1 to %d", len(record), MaxRecordBytes)
	}
	stream = strconv.AppendInt(stream, int64(len(record)), 10)
	stream = append(stream, '\n')
	return append(stream, record...), nil
}

// RecordReader reads the records of a stream one by one. Make one with NewRecordReader.
type RecordReader struct {
	source *bufio.Reader
	limit  int
}

// NewRecordReader returns a reader of the records of source, none of them larger than limit bytes;
// 0 means MaxRecordBytes. It may read ahead.
func NewRecordReader(source io.Reader, limit int) *RecordReader {
	if limit <= 0 {
		limit = MaxRecordBytes
	}
	return &RecordReader{source: bufio.NewReader(source), limit: limit}
}

// Read returns the next record; it belongs to the caller. At the end of the stream the error is
// io.EOF, in the middle of a record io.ErrUnexpectedEOF. Another error says what is wrong with the
// frame; after any error the stream cannot be read on.
func (r *RecordReader) Read() ([]byte, error) {
	size, err := r.readLength()
	if err != nil {
		return nil, err
	}
	// The buffer grows with what really comes, not with what was announced.
	var record bytes.Buffer
	switch _, err := io.CopyN(&record, r.source, int64(size)); {
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	return record.Bytes(), nil
}

func (r *RecordReader) readLength() (int, error) {
	var digits []byte
	for {
		c, err := r.source.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && len(digits) > 0:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case c == '\n':
			return r.parseLength(digits)
		case c < '0' || c > '9':
			return 0, fmt.Errorf("length of a record has %q in it: allowed are digits and a newline", rune(c))
		case len(digits) == maxLengthDigits:
			return 0, fmt.Errorf("length of a record has more than %d digits", maxLengthDigits)
		}
		digits = append(digits, c)
	}
}

func (r *RecordReader) parseLength(digits []byte) (int, error) {
	size, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || size < 1 || size > int64(r.limit) {
		return 0, fmt.Errorf("length of a record is %q: allowed are 1 to %d", digits, r.limit)
	}
	return int(size), nil
}
