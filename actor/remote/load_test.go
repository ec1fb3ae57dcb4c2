package remote

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
)

// The sizes of the load under which a process is killed.
const (
	loadSenders = 4 // in each direction
	loadWindow  = 2000
	loadLetters = 20_000 // arrive each way before the process is killed
)

// ledger is what the actors of this process saw of the load, by the name of the sender.
type ledger struct {
	mu       sync.Mutex
	arrived  map[string]int64 // letters from the other process
	acked    int64            // letters that the other process has acknowledged
	exits    map[string]int
	problems []string
}

func (l *ledger) note(f func()) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *ledger) problem(format string, args ...any) {
	l.note(func() { l.problems = append(l.problems, fmt.Sprintf(format, args...)) })
}

// loadSender sends numbered letters as fast as its window allows, until the link to its receiver ends.
type loadSender struct {
	target  actor.PID
	ledger  *ledger
	next    int64
	allowed int64
}

func (s *loadSender) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		ctx.Link(s.target)
		s.allowed = loadWindow
	case *wrapperspb.UInt64Value:
		s.allowed = int64(m.Value) + loadWindow
		s.ledger.note(func() { s.ledger.acked += loadWindow / 4 })
	case actor.Exited:
		s.ledger.note(func() { s.ledger.exits[ctx.Self().Name]++ })
		s.allowed = 0
	}
	for ; s.next < s.allowed; s.next++ {
		ctx.Send(s.target, wrapperspb.Int64(s.next))
	}
}

// loadReceiver checks that each sender's letters arrive once and in order, none missing, up to the end of the link to it.
type loadReceiver struct {
	ledger *ledger
	next   map[string]int64
	gone   map[string]bool
}

func (r *loadReceiver) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case actor.Started:
		r.next, r.gone = make(map[string]int64), make(map[string]bool)
	case order:
		ctx.Send(m.to, wrapperspb.Int32(loadSenders))
	case *wrapperspb.Int64Value:
		r.letter(ctx, m.Value)
	case actor.Exited:
		r.gone[m.PID.Name] = true
		r.ledger.note(func() { r.ledger.exits[m.PID.Name]++ })
	}
}

// order has a receiver ask the peer to send to it.
type order struct{ to actor.PID }

func (r *loadReceiver) letter(ctx actor.Context, number int64) {
	from := ctx.Sender().Name
	if number == 0 {
		ctx.Link(ctx.Sender())
	}
	if number != r.next[from] || r.gone[from] {
		r.ledger.problem("letter %d of %s arrived, expected %d; its end was seen: %v", number, from, r.next[from], r.gone[from])
	}
	r.next[from] = number + 1
	r.ledger.note(func() { r.ledger.arrived[from]++ })
	if r.next[from]%(loadWindow/4) == 0 {
		ctx.Reply(wrapperspb.UInt64(uint64(r.next[from])))
	}
}

func TestAProcessThatIsKilledUnderFullLoadLosesNothingInTheMiddle(t *testing.T) {
	for round := range 3 {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) { killUnderLoad(t) })
	}
}

func killUnderLoad(t *testing.T) {
	l := &ledger{arrived: make(map[string]int64), exits: make(map[string]int)}
	n := newNode(t, "n", nodeOptions{address: "127.0.0.1:0"})
	probe := actortest.NewProbe(t, n.System)
	process, echo := startPeer(t, n.address, probe)
	receiver := n.Spawn("receiver", func() actor.Actor { return &loadReceiver{ledger: l} })
	there := echo
	there.Name = "receiver"
	for i := range loadSenders {
		n.Spawn(fmt.Sprintf("own%d", i), func() actor.Actor { return &loadSender{target: there, ledger: l} })
	}
	n.Send(receiver, order{echo})
	l.await(t, "letters in both directions", func() bool {
		var arrived int64
		for _, count := range l.arrived {
			arrived += count
		}
		return arrived >= loadLetters && l.acked >= loadLetters
	})
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	l.await(t, "the end of every link", func() bool { return len(l.exits) == 2*loadSenders })
	n.shutDown(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, count := range l.exits {
		if count != 1 {
			t.Errorf("%s: Exited was seen %d times", name, count)
		}
	}
	for _, problem := range l.problems {
		t.Error(problem)
	}
}

// await polls for a condition, under the ledger's lock.
func (l *ledger) await(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		ok := false
		l.note(func() { ok = met() })
		if ok {
			return
		}
		if time.Now().After(deadline) {
			l.note(func() {
				t.Fatalf("%s did not come: %v arrived, %d acknowledged, exits %v, %v", what, l.arrived, l.acked, l.exits, l.problems)
			})
		}
	}
}
