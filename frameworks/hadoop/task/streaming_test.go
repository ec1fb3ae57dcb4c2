package task

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// chunkOf is a whole file, by its name's codec.
func chunkOf(path string, size int) *taskpb.Chunk {
	return &taskpb.Chunk{Path: []byte(path), Length: int64(size), FileSize: int64(size), Codec: CodecOf(path)}
}

// mapOne runs a map of one attempt and gives its only part as text, keys and values unparsed.
func mapOne(t *testing.T, order *taskpb.MapTask) (*taskpb.MapSummary, []record, error) {
	t.Helper()
	order.Attempt, order.Partitions = &taskpb.Attempt{TaskId: "map-00000-0"}, 1
	env := testEnv(t)
	summary, err := Map(context.Background(), order, env)
	if err != nil {
		return nil, nil, err
	}
	body, err := os.ReadFile(env.path(MapPartFile(0)))
	if err != nil {
		t.Fatal(err)
	}
	var records []record
	for r := memoryRun(body, 0); !order.GetMapOnly(); {
		more, err := r.next()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
		records = append(records, r.rec)
	}
	left, _ := filepath.Glob(env.path("map/*"))
	if len(left) != 2 {
		t.Errorf("files are left beside part and summary: %v", left)
	}
	return summary, records, nil
}

func TestReportsAreTakenOutOfStandardError(t *testing.T) {
	const said = "one\nreporter:counter:g,a,2\nreporter:counter:g,a,3\nreporter:status: half done \nrep\nreporter:\nno end: reporter:counter:g,b,1\nreporter:counter:f, b ,-1"
	const want = "one\nrep\nreporter:\nno end: reporter:counter:g,b,1\n"
	for _, pieces := range []string{"all at once", "byte by byte"} {
		t.Run(pieces, func(t *testing.T) {
			var rest bytes.Buffer
			w := &reportWriter{reports: newReports(), rest: &rest}
			if pieces == "all at once" {
				fmt.Fprint(w, said)
			} else {
				for _, c := range []byte(said) {
					if _, err := w.Write([]byte{c}); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := w.end(); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, rest.String()); d != "" {
				t.Errorf("what is passed on (-want +got):\n%s", d)
			}
			got, err := w.reports.summary()
			if err != nil {
				t.Fatal(err)
			}
			wanted := &taskpb.Reports{Status: "half done", Counters: []*taskpb.Counter{{Group: "f", Name: " b ", Value: -1}, {Group: "g", Name: "a", Value: 5}}}
			if d := cmp.Diff(wanted, got, protocmp.Transform()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestReportsThatAreWrongFailTheTask(t *testing.T) {
	in := writeFile(t, "in", []byte("x\n"))
	tests := []struct{ name, mapper, want string }{
		{"not three fields", "echo reporter:counter:g,1 >&2", `"reporter:counter:g,1" on standard error is not reporter:counter:GROUP,COUNTER,AMOUNT`},
		{"no amount", "echo reporter:counter:g,c,many >&2", `"reporter:counter:g,c,many" on standard error has "many" for an amount: wanted is a whole number`},
		{"too many", "seq -f reporter:counter:g,%g,1 121 >&2", "counter g,121 is one too many: a task may have 120"},
		{"a long name", "printf 'reporter:counter:g,%0200d,1\n' 0 >&2", "has a name of more than 128 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, _, err := mapOne(t, &taskpb.MapTask{Mapper: test.mapper, Chunks: []*taskpb.Chunk{chunkOf(in, 2)}}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestACombinerSeesWhatWasSpilledOnce(t *testing.T) {
	var in strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&in, "%d\t1\n", i%7)
	}
	path := writeFile(t, "in", []byte(in.String()))
	sum := `awk -F '\t' '{ n[$1] += $2 } END { for (k in n) print k "\t" n[k] }'`
	summary, records, err := mapOne(t, &taskpb.MapTask{
		Mapper: "cat", Combiner: sum, SortBufferBytes: minSortBufferBytes, Chunks: []*taskpb.Chunk{chunkOf(path, in.Len())},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, r := range records {
		got += fmt.Sprintf("%s=%s ", r.key, r.value)
	}
	if want := "0=7143 1=7143 2=7143 3=7143 4=7143 5=7143 6=7142 "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if summary.GetCombineInputRecords() != 50_000 || summary.GetCombineOutputRecords() != 7 || summary.GetOutputRecords() != 50_000 || summary.GetSpilledRecords() < 50_000 {
		t.Errorf("counted %v", summary)
	}
}

func TestACombinerThatFailsFailsTheMap(t *testing.T) {
	in := writeFile(t, "in", []byte("x\n"))
	_, _, err := mapOne(t, &taskpb.MapTask{Mapper: "cat", Combiner: "exit 3", Chunks: []*taskpb.Chunk{chunkOf(in, 2)}})
	if err == nil || err.Error() != "combiner `exit 3` exited with status 3" {
		t.Errorf("got %v", err)
	}
	if _, _, err := mapOne(t, &taskpb.MapTask{Mapper: "true", Combiner: "exit 3", Chunks: []*taskpb.Chunk{chunkOf(in, 2)}}); err != nil {
		t.Errorf("without lines there is nothing to combine: %v", err)
	}
}

func TestCompressedInputThatIsDamagedIsNamed(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	fmt.Fprint(w, strings.Repeat("some line\n", 1000))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		content []byte
		want    string
	}{
		{"torn.gz", packed.Bytes()[:packed.Len()-9], "torn.gz: unexpected EOF"},
		{"short.gz", packed.Bytes()[:5], "short.gz: unexpected EOF"},
		{"text.gz", []byte("no gzip at all, but long enough"), "text.gz: gzip: invalid header"},
		{"text.bz2", []byte("no bzip2 at all"), "text.bz2: bzip2 data invalid"},
		{"text.zst", []byte("no zstd at all"), "text.zst: invalid input: magic number mismatch"},
		{"text.xz", []byte("no xz at all, but long enough"), "text.xz: xz: invalid header magic bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := writeFile(t, test.name, test.content)
			_, _, err := mapOne(t, &taskpb.MapTask{Mapper: "cat", Chunks: []*taskpb.Chunk{chunkOf(path, len(test.content))}})
			if err == nil || !strings.Contains(err.Error(), "unpack input file "+filepath.Dir(path)) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	if _, _, err := mapOne(t, &taskpb.MapTask{Mapper: "cat", Chunks: []*taskpb.Chunk{chunkOf(writeFile(t, "empty.gz", nil), 0)}}); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}

func TestTheFirstSeparatorBecomesATabWhereverBlocksEnd(t *testing.T) {
	const in, want = "a,b,c\n,\nno\n\nx,\n", "a\tb,c\n\t\nno\n\nx\t\n"
	path := writeFile(t, "in", []byte(in))
	for _, block := range []int{1, 2, 3, 100} {
		var out bytes.Buffer
		s := newSplitWriter(&taskpb.MapTask{InputFormat: taskpb.InputFormat_INPUT_FORMAT_KEY_VALUE, InputSeparator: ","})
		s.buf = make([]byte, 0, block)
		s.to(&out)
		if err := s.all([]*taskpb.Chunk{chunkOf(path, len(in))}); err != nil {
			t.Fatal(err)
		}
		if out.String() != want {
			t.Errorf("blocks of %d bytes: got %q, want %q", block, out.String(), want)
		}
	}
}

func TestAShippedFileIsFoundByItsNameAndMayNotHideTheSandboxsOwn(t *testing.T) {
	in := writeFile(t, "in", []byte("x\n"))
	kit := &taskpb.Kit{
		Files:     []*taskpb.ShippedFile{{Name: "tell", Content: []byte("#!/bin/sh\necho \"$GREETING $(cat)\"\n")}},
		Variables: []string{"GREETING=hello"},
	}
	_, records, err := mapOne(t, &taskpb.MapTask{Mapper: "tell", Kit: kit, Chunks: []*taskpb.Chunk{chunkOf(in, 2)}})
	if err != nil || len(records) != 1 || string(records[0].key) != "hello x" {
		t.Errorf("got %d records, %v", len(records), err)
	}
	for _, name := range []string{"", "map", "reduce", "stderr", "..", "a/b", "a\x00"} {
		kit := proto.Clone(kit).(*taskpb.Kit)
		kit.Files[0].Name = name
		if _, _, err := mapOne(t, &taskpb.MapTask{Mapper: "cat", Kit: kit}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("may not be named %q", name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
