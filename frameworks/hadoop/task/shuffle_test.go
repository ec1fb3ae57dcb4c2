package task

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// outputs serves map outputs of one record each, key and value, and tells when one was asked for.
type outputs struct {
	*httptest.Server
	asked chan string
	hold  map[string]chan struct{} // paths that are answered when it is closed, by an error
}

func serveOutputs(t *testing.T) *outputs {
	o := &outputs{asked: make(chan string, 100), hold: map[string]chan struct{}{}}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.asked <- r.URL.Path
		if wait := o.hold[r.URL.Path]; wait != nil {
			<-wait
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, recordOf(r.URL.Path))
	}))
	t.Cleanup(o.Close)
	return o
}

// recordOf is a record of the key k as a sorted run has it.
func recordOf(value string) string {
	return "\x01" + string(rune(len(value)+1)) + "k" + value
}

func (o *outputs) of(m int, path string) *taskpb.MapOutput {
	p := part(recordOf(path))
	p.Records = 1
	return &taskpb.MapOutput{Map: int32(m), Url: o.URL + path, Part: p}
}

// reduced runs a reduce in the background; what it prints, or its error, comes at its end.
func reduced(t *testing.T, order *taskpb.ReduceTask, inputs *Inputs) (result func() (string, *taskpb.ReduceSummary, error)) {
	env := testEnv(t)
	env.Inputs, env.Fetcher = inputs, testFetcher(t)
	env.Fetcher.Stall, env.Fetcher.Tries = 0, 1
	order.Attempt, order.Reducer = &taskpb.Attempt{TaskId: "reduce-00000-0"}, cmp.Or(order.GetReducer(), "cat")
	done := make(chan error, 1)
	var summary *taskpb.ReduceSummary
	go func() {
		var err error
		summary, err = Reduce(context.Background(), order, env)
		done <- err
	}()
	return func() (string, *taskpb.ReduceSummary, error) {
		err := <-done
		body, _ := os.ReadFile(filepath.Join(env.Sandbox, ReducePartFile(0)))
		return string(body), summary, err
	}
}

func TestAReduceFetchesWhatItHearsOfAndKeepsTheOrderOfTheMaps(t *testing.T) {
	o := serveOutputs(t)
	inputs := NewInputs()
	result := reduced(t, &taskpb.ReduceTask{Maps: 4, Inputs: []*taskpb.MapOutput{o.of(2, "/two")}}, inputs)
	if got := <-o.asked; got != "/two" {
		t.Fatalf("fetched is %s", got)
	}
	inputs.Add(&taskpb.MapOutput{Map: 0}) // which was lost again
	inputs.Add(o.of(3, "/three"), &taskpb.MapOutput{Map: 1, Part: &taskpb.Part{}})
	if got := <-o.asked; got != "/three" { // and it waits for map 0
		t.Fatalf("fetched is %s", got)
	}
	inputs.Add(o.of(0, "/zero"))
	inputs.Add(o.of(3, "/three-again"))
	got, summary, err := result()
	if want := "k\t/zero\nk\t/two\nk\t/three\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if summary.GetShuffledMaps() != 3 || summary.GetInputRecords() != 3 || summary.GetShuffleNanos() <= 0 {
		t.Errorf("summary: %v", summary)
	}
}

func TestAReduceFetchesAnOutputWhereItIsNow(t *testing.T) {
	o := serveOutputs(t)
	o.hold["/gone"] = make(chan struct{})
	inputs := NewInputs()
	result := reduced(t, &taskpb.ReduceTask{Maps: 2, Inputs: []*taskpb.MapOutput{o.of(0, "/gone")}}, inputs)
	<-o.asked
	inputs.Add(o.of(0, "/again"), o.of(1, "/one"))
	if got := <-o.asked; got != "/one" { // so it has heard of both
		t.Fatalf("fetched is %s", got)
	}
	close(o.hold["/gone"])
	if got, _, err := result(); err != nil || got != "k\t/again\nk\t/one\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAReduceThatWaitsTellsOfAllThatIsLost(t *testing.T) {
	o := serveOutputs(t)
	gone := make(chan struct{})
	close(gone)
	var known []*taskpb.MapOutput
	for m := range 3 * ParallelFetches {
		path := fmt.Sprint("/", m)
		o.hold[path] = gone
		known = append(known, o.of(m, path))
	}
	_, _, err := reduced(t, &taskpb.ReduceTask{Maps: 100, Inputs: known}, NewInputs())()
	var lost *LostError
	if !errors.As(err, &lost) || len(lost.Lost) != len(known) {
		t.Errorf("got %v, want %d lost outputs", err, len(known))
	}
}

// What its own executor has a reduce reads where it is, and leaves there. A file that is not what it should be is lost.
func TestAReduceReadsWhatItsExecutorHas(t *testing.T) {
	folder := t.TempDir()
	write := func(name, body string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := serveOutputs(t)
	order := func() *taskpb.ReduceTask {
		return &taskpb.ReduceTask{LocalUrl: o.URL + "/here/", LocalFolder: []byte(folder), Inputs: []*taskpb.MapOutput{o.of(0, "/here/zero"), o.of(1, "/one")}}
	}
	write("zero", recordOf("/here/zero"))
	if got, summary, err := reduced(t, order(), nil)(); err != nil || got != "k\t/here/zero\nk\t/one\n" || summary.GetShuffledMaps() != 2 {
		t.Errorf("got %q, %v, %v", got, summary, err)
	}
	if got := <-o.asked; got != "/one" || len(o.asked) > 0 {
		t.Errorf("asked for is %s and %d more, want /one alone", got, len(o.asked))
	}
	large := order()
	large.SortBufferBytes = 1 // what does not fit into memory is read from the file while it is merged
	long := strings.Repeat("v", 2<<20)
	body := string(binary.AppendUvarint([]byte("\x01"), 2<<20+1)) + "k" + long
	write("zero", body)
	large.Inputs[0].Part = part(body)
	large.Inputs[0].Part.Largest = int64(len(body))
	if got, _, err := reduced(t, large, nil)(); err != nil || got != "k\t"+long+"\nk\t/one\n" {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if _, err := os.Stat(filepath.Join(folder, "zero")); err != nil {
		t.Errorf("a map's output is not there any more: %v", err)
	}
	write("zero", body[:len(body)-1]+"x")
	large.Reducer = "exit 3" // before all of it is read
	_, _, err := reduced(t, large, nil)()
	if lost := (*LostError)(nil); !errors.As(err, &lost) || lost.Lost[0].GetMap() != 0 {
		t.Errorf("damaged where the reducer has not read: %v", err)
	}
	for name, spoil := range map[string]func(){
		"damaged": func() { write("zero", strings.ToUpper(recordOf("/here/zero"))) },
		"torn":    func() { write("zero", "\xff\xff\xff\xff\xff\xff\xff\x7f"+recordOf("/here/zero")[8:]) },
		"longer":  func() { write("zero", recordOf("/here/zero")+"x") },
		"gone":    func() { _ = os.Remove(filepath.Join(folder, "zero")) },
	} {
		spoil()
		spoiled := order()
		spoiled.Reducer = "grep -q /here/zero" // which fails if it gets another
		_, _, err := reduced(t, spoiled, nil)()
		if lost := (*LostError)(nil); !errors.As(err, &lost) || len(lost.Lost) != 1 || lost.Lost[0].GetMap() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
