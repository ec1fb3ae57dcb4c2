package codec_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stoa-project/stoa/proto/codec"
)

// readAll reads until something ends it.
func readAll(r *codec.RecordReader) (records []string, err error) {
	for {
		record, err := r.Read()
		if err != nil {
			return records, err
		}
		records = append(records, string(record))
	}
}

func TestRecordsComeOutAsTheyWentIn(t *testing.T) {
	want := []string{"a", "two\nlines", strings.Repeat("x", codec.MaxRecordBytes), "12\n"}
	var stream []byte
	for _, record := range want {
		var err error
		if stream, err = codec.AppendRecord(stream, []byte(record)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.HasPrefix(stream, []byte("1\na9\ntwo\nlines4194304\nxxx")) {
		t.Errorf("the stream begins with %q", stream[:30])
	}
	for name, source := range map[string]io.Reader{"at once": bytes.NewReader(stream), "in small pieces": iotest.HalfReader(bytes.NewReader(stream))} {
		got, err := readAll(codec.NewRecordReader(source, 0))
		if !errors.Is(err, io.EOF) || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: got %d records and %v, want %d", name, len(got), err, len(want))
		}
	}
}

func TestStreamsThatEndOrBreak(t *testing.T) {
	for _, test := range []struct {
		name, stream string
		records      int
		want         string
	}{
		{"an empty stream just ends", "", 0, io.EOF.Error()},
		{"a stream ends after a record", "2\nab", 1, io.EOF.Error()},
		{"in a length it ends too early", "2\nab1", 1, io.ErrUnexpectedEOF.Error()},
		{"before a record it ends too early", "2\n", 0, io.ErrUnexpectedEOF.Error()},
		{"in a record it ends too early", "2\na", 0, io.ErrUnexpectedEOF.Error()},
		{"a record of nothing", "0\n", 0, `length of a record is "0": allowed are 1 to 100`},
		{"no length", "\n", 0, `length of a record is ""`},
		{"a record too large", "101\n", 0, `length of a record is "101": allowed are 1 to 100`},
		{"a record that nobody could hold", "9999999999999999999\n", 0, `length of a record is "9999999999999999999"`},
		{"a length without end", strings.Repeat("1", 1000), 0, "more than 19 digits"},
		{"a negative length", "-1\n", 0, `has '-' in it`},
		{"a blank before the length", " 1\na", 0, `has ' ' in it`},
		{"a newline after a record", "1\na\n1\nb", 1, `length of a record is ""`},
		{"no stream of records at all", `{"type":`, 0, `has '{' in it`},
	} {
		t.Run(test.name, func(t *testing.T) {
			records, err := readAll(codec.NewRecordReader(strings.NewReader(test.stream), 100))
			if len(records) != test.records || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %d records and %v, want %d and %s", len(records), err, test.records, test.want)
			}
		})
	}
}

func TestRecordsHaveASize(t *testing.T) {
	for _, size := range []int{0, codec.MaxRecordBytes + 1} {
		stream, err := codec.AppendRecord([]byte("1\na"), make([]byte, size))
		if err == nil || string(stream) != "1\na" {
			t.Errorf("a record of %d bytes is written", size)
		}
	}
}

func FuzzStreamsOfRecords(f *testing.F) {
	f.Add([]byte("2\nab1\nc"))
	f.Add([]byte("99999999999\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		records, err := readAll(codec.NewRecordReader(bytes.NewReader(stream), 1000))
		var again []byte
		for _, record := range records {
			var appendErr error
			if again, appendErr = codec.AppendRecord(again, []byte(record)); appendErr != nil {
				t.Fatal(appendErr)
			}
		}
		read, _ := readAll(codec.NewRecordReader(bytes.NewReader(again), 1000))
		if strings.Join(read, "|") != strings.Join(records, "|") {
			t.Errorf("%q gives %q, and that gives %q", stream, records, read)
		}
		if err == nil {
			t.Error("a stream ends without an end")
		}
	})
}
