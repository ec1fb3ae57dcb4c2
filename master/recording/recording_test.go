package recording

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/record"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func state() registry.State {
	grace, length := 5*time.Second, time.Hour
	return registry.State{
		ClusterID:   "C",
		Slaves:      map[string]*mesos.AgentInfo{"C-S0": {Id: mesos.NewAgentID("C-S0"), Hostname: proto.String("s0"), Port: proto.Int32(5051)}},
		Unreachable: map[string]time.Time{"C-S1": noon},
		Deactivated: map[string]bool{"C-S0": true},
		Draining:    map[string]registry.Drain{"C-S0": {Since: noon, Grace: &grace, MarkGone: true}, "C-S1": {Since: noon}},
		Gone:        map[string]time.Time{"C-S2": noon},
		Weights:     map[string]float64{"web": 2},
		Quotas:      map[string]registry.Quota{"web": {Guarantees: resource.MustParse("cpus:1").Quantities(), Limits: resource.MustParse("cpus:2;mem:64").Quantities()}},
		Maintenance: registry.Maintenance{
			Windows: []registry.Window{
				{Machines: []registry.Machine{{Hostname: "s0"}, {Hostname: "s1", IP: "10.0.0.1"}}, Start: noon, Duration: &length},
				{Machines: []registry.Machine{{IP: "10.0.0.2"}}, Start: noon},
			},
			Down: map[registry.Machine]bool{{IP: "10.0.0.2"}: true},
		},
	}
}

// events is a short life of a master with an event of each kind.
func events() []core.Event {
	total := resource.MustParse("cpus:4;mem:512").ToProto()
	return []core.Event{
		core.Born{
			Incarnation: "M", Master: &mesos.MasterInfo{Id: proto.String("M"), Ip: proto.Uint32(1), Port: proto.Uint32(5050)},
			Config: core.Config{OfferTimeout: time.Minute, Unfair: []string{"gpus"}, Flags: []core.Flag{{Name: "port", Value: "5050"}}},
		},
		core.Seed{Value: 1 << 63},
		core.Recovered{State: state(), Durable: true},
		core.Opened{Session: 1, Address: "10.0.0.1:5051"},
		core.Received{Session: 1, Message: &wire.RegisterSlave{Slave: &mesos.AgentInfo{Hostname: proto.String("s1"), Port: proto.Int32(5051), Resources: total}}},
		core.Persisted{ID: 1},
		core.Opened{Session: 2},
		core.Received{Session: 2, Message: &schedulerpb.Call{Type: schedulerpb.Call_SUBSCRIBE.Enum(), Subscribe: &schedulerpb.Call_Subscribe{
			FrameworkInfo: &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("f")},
		}}},
		core.Tick{},
		core.Asked{Request: 1, Message: &masterpb.Call{Type: masterpb.Call_GET_STATE.Enum()}},
		core.SessionClosed{Session: 1, Reason: "connection lost"},
	}
}

// recorded is a recording of these events, and how often the core offered something.
func recorded(t *testing.T, events []core.Event) (text []byte, outputs int) {
	var b bytes.Buffer
	w, err := NewWriter(&b, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	c := core.New()
	for i, e := range events {
		now := noon.Add(time.Duration(i) * time.Second)
		if err := w.Event(now, e); err != nil {
			t.Fatal(err)
		}
		out := c.Step(now, e)
		outputs += len(out)
		if err := w.Outputs(out); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes(), outputs
}

func replay(t *testing.T, text []byte) (int, int, error) {
	r, err := NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	outputs := 0
	steps, err := Replay(r, func(int, Step) {}, func(_ int, _ Step, out []core.Output) { outputs += len(out) })
	return steps, outputs, err
}

func TestARecordingFedToAFreshCoreGivesTheSameOutputs(t *testing.T) {
	text, want := recorded(t, events())
	steps, outputs, err := replay(t, text)
	if err != nil || steps != len(events()) || outputs != want || want < 10 {
		t.Errorf("%d steps with %d outputs: %v, want %d with %d", steps, outputs, err, len(events()), want)
	}
}

func TestEventsAreReadAsTheyWereWritten(t *testing.T) {
	for _, e := range append(events(), core.Whitelisted{Hostnames: []string{"s0", "s1"}}, core.Whitelisted{All: true}) {
		written, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		read, err := decode(written)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, read, protocmp.Transform()); diff != "" {
			t.Errorf("%T: %s", e, diff)
		}
		if Name(e) == "" {
			t.Errorf("%T has no name", e)
		}
	}
}

func TestAnEventThatLeadsToSomethingElseIsNamed(t *testing.T) {
	var b bytes.Buffer
	w, _ := NewWriter(&b, "1.2.3")
	c := core.New()
	for i, e := range events() {
		_ = w.Event(noon, e)
		out := c.Step(noon, e)
		if i == 7 {
			out = out[1:] // As if the core had not said the first thing then.
		}
		_ = w.Outputs(out)
	}
	steps, _, err := replay(t, b.Bytes())
	var d *Difference
	if !errors.As(err, &d) || steps != 8 || d.Number != 8 || !strings.Contains(err.Error(), "event 8 (SUBSCRIBE from session 2 at 2026-03-01T12:00:00Z, byte ") {
		t.Errorf("after %d steps: %v", steps, err)
	}
}

func TestARecordingEndsWhereItsMasterDid(t *testing.T) {
	text, _ := recorded(t, events())
	for cut, want := range map[int]int{0: 11, 1: 11, 40: 10} {
		steps, _, err := replay(t, text[:len(text)-cut])
		if err != nil || steps != want {
			t.Errorf("without the last %d bytes: %d steps, %v, want %d", cut, steps, err, want)
		}
	}
	// The event that a master panicked in is the last one, and the core panics in it again.
	var b bytes.Buffer
	w, _ := NewWriter(&b, "1.2.3")
	_ = w.Event(noon, events()[0])
	_ = w.Event(noon, core.Persisted{ID: 7})
	defer func() {
		if got := recover(); got == nil || !strings.Contains(got.(string), "persisted 7") {
			t.Errorf("panic is %v, want that of the recorded master", got)
		}
	}()
	replay(t, b.Bytes())
}

func TestWhatIsNoRecordingIsRefused(t *testing.T) {
	written := func(e *record.Entry) string {
		var b bytes.Buffer
		if err := (&Writer{to: &b}).write(e); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	header := written(&record.Entry{Entry: &record.Entry_Header{Header: &record.Header{Version: "1.2.3"}}})
	for text, want := range map[string]string{
		"": "it is empty", "hello": "ends in its header", "hello, world": "no entry at byte 0", header[:headBytes-1]: "ends in its header",
		header[:len(header)-1]: "ends in its header", header[:headBytes] + "\xff": "no entry at byte 0", strings.Repeat("\xff", 20): "no entry at byte 0",
		written(&record.Entry{Entry: &record.Entry_Event{Event: &record.Event{}}}): "does not begin with a header",
		written(&record.Entry{}): "no entry at byte 0: neither",
	} {
		if _, err := NewReader(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "this is no recording of a master: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q", text, err, want)
		}
	}
}

// Whichever bit flips, and wherever the recording has been cut: what was not written is not taken for an event. The entry
// that is damaged is named by its place, or it is the last one and was cut.
func TestAFlippedBitIsNamedByTheEntryThatItIsIn(t *testing.T) {
	whole, _ := recorded(t, events())
	starts := entries(whole)
	random := rand.New(rand.NewPCG(3, 4))
	check := func(text []byte, bit int) {
		t.Helper()
		damaged := slices.Clone(text)
		damaged[bit/8] ^= 1 << (bit % 8)
		in := starts[0]
		for _, start := range starts {
			if start <= bit/8 {
				in = start
			}
		}
		r, err := NewReader(bytes.NewReader(damaged))
		if err == nil {
			_, err = Replay(r, func(_ int, step Step) {
				if int(step.Offset) >= in {
					t.Fatalf("bit %d of %d bytes: the event at byte %d is read, the damage is in the entry at byte %d", bit, len(text), step.Offset, in)
				}
			}, func(int, Step, []core.Output) {})
		}
		if err == nil {
			if at, _, cut := r.Cut(); cut && int(at) == in && len(text) < len(whole) {
				return // Of an entry that was cut nobody can say more.
			}
		}
		named := fmt.Sprintf("no entry at byte %d", in)
		if in == 0 {
			named = "this is no recording of a master"
		}
		if err == nil || !strings.Contains(err.Error(), named+":") {
			t.Fatalf("bit %d of %d bytes is flipped: %v, want an error with %q", bit, len(text), err, named)
		}
	}
	for bit := range 8 * len(whole) {
		check(whole, bit)
	}
	for range 2000 {
		length := 1 + random.IntN(len(whole))
		check(whole[:length], random.IntN(8*length))
	}
}

// entries is where each entry of a recording begins.
func entries(text []byte) []int {
	var starts []int
	for at := 0; at < len(text); at += headBytes + int(binary.LittleEndian.Uint32(text[at:])) {
		starts = append(starts, at)
	}
	return starts
}

// Behind a header, and behind whole events, garbage is told from an entry that was cut.
func TestWhatIsNoEntryIsNamedByItsPlace(t *testing.T) {
	text, _ := recorded(t, events())
	header := entries(text)[1]
	garbage := rand.New(rand.NewPCG(1, 2))
	for _, begin := range []int{header, len(text)} {
		for size := 8; size < 5000; size = size*3/2 + 1 {
			damaged := slices.Clone(text[:begin])
			for range size {
				damaged = append(damaged, byte(garbage.Uint32()))
			}
			steps, _, err := replay(t, damaged)
			if want := fmt.Sprintf("no entry at byte %d", begin); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%d bytes of garbage after %d: %d steps, %v, want an error with %q", size, begin, steps, err, want)
			}
		}
	}
	// Wherever it is cut, it is known what is missing.
	for length := header; length < len(text); length++ {
		r, err := NewReader(bytes.NewReader(text[:length]))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Replay(r, func(int, Step) {}, func(int, Step, []core.Output) {}); err != nil {
			t.Errorf("cut after %d bytes: %v", length, err)
		}
		if begins, missing, cut := r.Cut(); cut && begins+missing != int64(length) {
			t.Errorf("cut after %d bytes: %d bytes are said to be of an entry at byte %d", length, missing, begins)
		}
	}
}

func TestARecordingBeginsWithABirth(t *testing.T) {
	var b bytes.Buffer
	w, _ := NewWriter(&b, "1.2.3")
	_ = w.Event(noon, core.Seed{Value: 1})
	if steps, _, err := replay(t, b.Bytes()); err == nil || !strings.Contains(err.Error(), "is Seed: the first one, and no other, is the birth of a master") {
		t.Errorf("after %d steps: %v", steps, err)
	}
}
