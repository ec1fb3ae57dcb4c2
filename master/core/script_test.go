package core

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected outputs in testdata")

// TestScripts runs testdata/*.txt. A line that is not indented is an event; the indented ones after it are all that comes
// of it. Confirming what is persisted and ticks that are due happen by themselves. After each step every invariant is
// checked. Warnings of the log are outputs too, other notes are not shown.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("%s: outputs differ; see git diff after -rewrite. First difference:\n%s", file, firstDifference(string(want), got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, strings.Join(w[min(i, len(w)):min(i+4, len(w))], "\n     "), strings.Join(g[min(i, len(g)):min(i+4, len(g))], "\n     "))
		}
	}
	return ""
}

func runScript(t *testing.T, text string) string {
	s := newScript(t)
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "  "):
			continue
		case line == "" || line[0] == '#':
			b.WriteString(line + "\n")
			continue
		}
		b.WriteString(line + "\n")
		s.line = line
		for _, out := range s.run(strings.Fields(line)) {
			b.WriteString("  " + out + "\n")
		}
	}
	return b.String()
}

// script is the world around a core: peers by name, and what they know.
type script struct {
	t       *testing.T
	line    string
	core    *Core
	now     time.Time
	life    int // of the master
	session Session
	request Request
	updates int
	out     []string

	peers   map[string]*scriptPeer
	labels  map[Session]string
	hold    []Persist
	holding bool

	heartbeats bool // they are shown
	domain     *mesos.DomainInfo
}

// scriptPeer is a slave or a scheduler.
type scriptPeer struct {
	name    string
	session Session // 0: none
	lives   int     // how many sessions it has had
	id      string
	cluster string
	info    *mesos.AgentInfo
	runs    map[string]*wire.RunTask // by framework/task
	total   *resource.Resources      // what operations have made of the slave's; nil: nothing
	// operations are those that the slave has carried out, and whose end nobody has acknowledged to it.
	operations map[string]*wire.SlaveOperation
	deaf       bool // it does not hear of any
	scheme     *mesos.FrameworkInfo
}

func newScript(t *testing.T) *script {
	s := &script{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), peers: map[string]*scriptPeer{}}
	s.birth(Config{}, registry.State{}, false)
	return s
}

// birth begins a master whose incarnation is a letter: M, N, O, …
func (s *script) birth(config Config, state registry.State, durable bool) {
	s.core = New()
	s.labels = map[Session]string{}
	for _, p := range s.peers {
		p.session = 0
	}
	incarnation := string(rune('M' + s.life))
	s.life++
	s.step(Born{incarnation, &mesos.MasterInfo{Id: proto.String(incarnation), Ip: proto.Uint32(0x0100007f), Port: proto.Uint32(5050), Domain: s.domain}, config})
	s.step(Recovered{state, durable})
}

func (s *script) fatal(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s\n  %s", s.line, fmt.Sprintf(format, args...))
}

// step feeds an event, confirms what is persisted, and ticks as long as that is due at once.
func (s *script) step(e Event) {
	s.feed(e)
	for i := 0; !s.core.Deadline().IsZero() && !s.core.Deadline().After(s.now); i++ {
		if i > 1000 {
			s.fatal("the core wants ever more ticks at one time")
		}
		s.feed(Tick{})
	}
}

func (s *script) feed(e Event) {
	outs := s.core.Step(s.now, e)
	if err := s.core.Check(); err != nil {
		s.fatal("after %T: %v", e, err)
	}
	for _, o := range outs {
		s.show(o)
	}
	for _, o := range outs {
		if p, ok := o.(Persist); ok {
			if s.holding {
				s.hold = append(s.hold, p)
			} else {
				s.step(Persisted{ID: p.ID})
			}
		}
	}
}

func (s *script) print(format string, args ...any) {
	s.out = append(s.out, fmt.Sprintf(format, args...))
}

func (s *script) show(o Output) {
	switch o := o.(type) {
	case Send:
		s.learn(o)
		if e, ok := o.Message.(*schedulerpb.Event); ok && e.GetType() == schedulerpb.Event_HEARTBEAT && !s.heartbeats {
			return
		}
		s.print("%s <- %s", s.labels[o.Session], describe(o.Message))
	case CloseSession:
		s.print("%s closed: %s", s.labels[o.Session], o.Reason)
		for _, p := range s.peers {
			if p.session == o.Session {
				p.session = 0
			}
		}
	case Persist:
		s.print("persist %v", o.Change)
	case Reply:
		s.print("operator <- %s", describe(o.Message))
	case Show:
		s.print("operator <- %s", describe(o.View.Answer(o.Call.GetType())))
	case Note:
		if o.Level == Warning {
			s.print("warning: %s", o.Text)
		}
	}
}

// learn is what peers keep of what they are told.
func (s *script) learn(o Send) {
	for _, p := range s.peers {
		if p.session != o.Session {
			continue
		}
		switch m := o.Message.(type) {
		case *wire.SlaveRegistered:
			p.id, p.cluster = m.GetSlaveId().GetValue(), m.GetClusterId()
		case *wire.ApplyOperation:
			p.applies(m)
		case *wire.AcknowledgeOperation:
			delete(p.operations, m.GetOperationId().GetValue())
		case *wire.RunTask:
			p.runs[m.GetFramework().GetId().GetValue()+"/"+m.GetTask().GetTaskId().GetValue()] = m
		case *schedulerpb.Event:
			if m.GetType() == schedulerpb.Event_SUBSCRIBED {
				p.id = m.GetSubscribed().GetFrameworkId().GetValue()
			}
		}
	}
}

func (s *script) peer(name string) *scriptPeer {
	p := s.peers[name]
	if p == nil {
		p = &scriptPeer{name: name, runs: map[string]*wire.RunTask{}}
		s.peers[name] = p
	}
	return p
}

// open gives a peer a new session.
func (s *script) open(p *scriptPeer) {
	s.session++
	p.session = s.session
	p.lives++
	s.labels[p.session] = p.name
	if p.lives > 1 {
		s.labels[p.session] = fmt.Sprintf("%s#%d", p.name, p.lives)
	}
	address := ""
	if p.name[0] == 's' {
		address = "10.0.0." + p.name[1:] + ":5051"
	}
	s.feed(Opened{p.session, address})
}

func (s *script) say(p *scriptPeer, m proto.Message) {
	if p.session == 0 {
		s.open(p)
	}
	s.step(Received{p.session, m})
}

// run carries out one line.
func (s *script) run(words []string) []string {
	s.out = nil
	args, options := split(words[1:])
	commands := map[string]func([]string, map[string]string){
		"born": s.bornLine, "restart": s.restart, "seed": s.seed, "tick": s.tickLine, "persist": s.persistLine,
		"register": s.register, "reregister": s.reregister, "unregister": s.unregister, "disconnect": s.disconnect,
		"subscribe": s.subscribe, "accept": s.accept, "decline": s.decline, "update": s.update, "ack": s.ack, "kill": s.kill,
		"operated": s.operated, "deaf": s.deaf, "ack-operation": s.ackOperation, "reconcile-operations": s.reconcileOperations,
		"reconcile": s.reconcile, "revive": s.roles, "suppress": s.roles, "message": s.message, "shutdown": s.shutdown,
		"whitelist": s.whitelist, "inverse": s.answerInverse, "update_framework": s.updateFramework,
		"exited": s.exited, "call": s.call, "operator": s.operator, "shares": s.shares, "show": s.showLine,
	}
	f := commands[words[0]]
	if f == nil {
		s.fatal("no such command")
	}
	if words[0] == "revive" || words[0] == "suppress" {
		args = append([]string{words[0]}, args...)
	}
	f(args, options)
	return s.out
}

// split separates name=value from the rest.
func split(words []string) ([]string, map[string]string) {
	var args []string
	options := map[string]string{}
	for _, w := range words {
		if name, value, ok := strings.Cut(w, "="); ok && !strings.ContainsAny(name, "/:") {
			options[name] = value
		} else {
			args = append(args, w)
		}
	}
	return args, options
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.fatal("%v", err)
	}
	return d
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.fatal("%v", err)
	}
	return n
}
