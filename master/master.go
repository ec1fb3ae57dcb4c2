// Package master is the shell of the master: the actor around master/core. It turns messages and timers into the core's
// events and carries out what the core decides; it knows nothing of offers, tasks or roles.
//
//	peer ⇄ session actor ⇄ master actor: core.Step
//
// A slave or a scheduler sends its first word to the registered name "master". The master spawns a session actor for it,
// which is from then on whom the peer hears from and talks to: it is linked to the peer, passes on what it says, and ends
// with it. When a session actor fails, that one session is over and nothing else.
//
// Operators ask "master" directly (actor.Context.Ask) and get one answer. Those who only want to know what is get it from
// an actor of its own (answerer.go), to which the master hands a view of itself.
//
// A session passes on at most SessionWindow messages ahead of the core, so a peer that floods waits in its own session
// and not in everybody's way.
package master

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/master/recording"
	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// Name is the registered name of the master's actor on its node.
	Name = "master"

	// MailboxLimit is how many messages may wait for the master's actor: what all sessions together may have on the way.
	MailboxLimit = 1 << 20

	// publishInterval is how old the numbers that readers see can be while things happen.
	publishInterval = 100 * time.Millisecond
)

// Config says what a master is. The zero value is one on loopback with Mesos's defaults.
type Config struct {
	// Incarnation is the id of this life of the master; empty: a random one. Ids that the master gives begin with it.
	Incarnation string
	// Hostname and Address are how others reach the master; the zero Address is 127.0.0.1:5050.
	Hostname string
	Address  netip.AddrPort
	// Seed decides ties; 0: a random one.
	Seed uint64
	// CallsPerSecond is how many calls of one scheduler are heard in a second; 0: DefaultCallsPerSecond, below 0: any number.
	CallsPerSecond int
	// Core holds the limits and times.
	Core core.Config
	// Published, if set, is where the master shows its numbers.
	Published *Published
	// Domain is the master's fault domain; nil: it has none.
	Domain *mesos.DomainInfo
	// Whitelist is a file with the hostnames of the slaves that may be offered, as ReadWhitelist reads it. It is read again
	// when it has changed. Empty: all.
	Whitelist string
	// Record, if set, is where everything that happens to the core is written: see package recording. It is no longer
	// written to after it has failed.
	Record io.Writer
}

// Verify refuses who has no business with a master: other masters, and hosts and executors, whom only their slave knows. It is
// meant for remote.Options.
func Verify(hello remote.Hello) error {
	switch hello.Role {
	case wire.RoleSlave, wire.RoleFramework, wire.RoleOperator:
		return nil
	default:
		return fmt.Errorf("%s %q: a master is dialled by slaves, frameworks and operators", hello.Role, hello.Node)
	}
}

// New returns how to make a master. It is to be spawned under Name, with MailboxLimit.
func New(config Config) func() actor.Actor {
	limits := &callLimits{max(0, cmp.Or(config.CallsPerSecond, DefaultCallsPerSecond)), config.Published}
	return func() actor.Actor {
		return &master{
			limits:   limits,
			config:   config,
			core:     core.New(),
			sessions: map[core.Session]connection{},
			numbers:  map[actor.PID]core.Session{},
			requests: map[core.Request]actor.Asked{},
		}
	}
}

// master is the actor.
type master struct {
	config   Config
	core     *core.Core
	registry registry.State // what is persisted: in memory, so it ends with the master

	sessions    map[core.Session]connection
	numbers     map[actor.PID]core.Session // of session actors, and of peers
	lastSession core.Session
	requests    map[core.Request]actor.Asked
	lastRequest core.Request
	answerer    actor.PID
	limits      *callLimits

	alarm   actor.Timer // for the core's deadline, if armed
	armed   bool
	alarmAt time.Time
	ticking bool // a tick is in the mailbox

	whitelist    core.Whitelisted // what the core was told last
	whitelisted  bool             // it was told
	whitelistErr error            // why the file could not be read last time

	recording *recording.Writer // nil: nothing is recorded
	turn      turn

	published  time.Time
	publishing bool // a show is on its way
}

// connection is a session from the master's side.
type connection struct {
	session actor.PID // the session actor
	peer    actor.PID
	handled int // messages of which the session has not been told, by their weight
}

// What the master tells itself.
type (
	tick      struct{} // the core's deadline has come already
	alarm     struct{} // it has come now
	show      struct{} // numbers are to be published
	persisted core.Persisted
)

// Receive handles one message.
func (m *master) Receive(ctx actor.Context) {
	switch e := ctx.Message().(type) {
	case actor.Started:
		m.start(ctx)
	case actor.Stopping:
	case actor.Exited:
		m.exited(ctx, e)
	case tick:
		m.ticking = false
		m.step(ctx, core.Tick{})
	case alarm:
		m.armed = false
		m.step(ctx, core.Tick{})
	case show:
		m.publishing = false
		m.publish(ctx)
	case lookAtWhitelist:
		m.readWhitelist(ctx)
	case whitelist:
		m.whitelistRead(ctx, e)
	case persisted:
		m.step(ctx, core.Persisted(e))
	case heard:
		m.heard(ctx, e)
	case *masterpb.Call:
		m.asked(ctx, e)
	case *wire.OperatorKillTask:
		m.asked(ctx, e)
	case *wire.Explain:
		m.asked(ctx, e)
	case proto.Message:
		m.firstWord(ctx, e)
	default:
		ctx.Log().Warn().Msgf("a %T, which nobody sends to a master", e)
	}
}

func (m *master) start(ctx actor.Context) {
	if m.config.Incarnation == "" {
		m.config.Incarnation = newIncarnation()
	}
	seed := m.config.Seed
	for seed == 0 {
		seed = random()
	}
	ctx.Log().Info().Str("incarnation", m.config.Incarnation).Uint64("seed", seed).Msg("master is born")
	if m.config.Record != nil {
		var err error
		m.recording, err = recording.NewWriter(m.config.Record, wire.Version)
		m.recorded(ctx, err)
	}
	m.answerer = ctx.Spawn("answerer", newAnswerer)
	m.step(ctx, core.Born{Incarnation: m.config.Incarnation, Master: m.config.info(), Config: m.config.Core})
	m.step(ctx, core.Seed{Value: seed})
	m.step(ctx, core.Recovered{State: m.registry.Clone(), Durable: false})
	m.maybeWhitelist(ctx)
}

// newIncarnation is a random id in the form of a UUID, as Mesos's masters have them.
func newIncarnation() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // It never fails.
	text := hex.EncodeToString(id[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", text[:8], text[8:12], text[12:16], text[16:20], text[20:])
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // It never fails.
	return binary.LittleEndian.Uint64(b[:])
}

// info is how the master introduces itself.
func (c Config) info() *mesos.MasterInfo {
	address := c.Address
	if !address.IsValid() {
		address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 5050)
	}
	ip := uint32(0) // What it cannot say for IPv6: address has it.
	if address.Addr().Unmap().Is4() {
		b := address.Addr().Unmap().As4()
		ip = binary.LittleEndian.Uint32(b[:])
	}
	hostname := c.Hostname
	if hostname == "" {
		hostname = address.Addr().String()
	}
	return &mesos.MasterInfo{
		Id: proto.String(c.Incarnation), Ip: proto.Uint32(ip), Port: proto.Uint32(uint32(address.Port())),
		Pid: proto.String("master@" + address.String()), Hostname: proto.String(hostname), Version: proto.String(wire.Version), Domain: c.Domain,
		Address: &mesos.Address{Hostname: proto.String(hostname), Ip: proto.String(address.Addr().String()), Port: proto.Int32(int32(address.Port()))},
	}
}

// step feeds the core and does what it says.
func (m *master) step(ctx actor.Context, event core.Event) {
	begin := time.Now()
	now := ctx.Now().Round(0) // As a recording has it: without what tells more than the time.
	if m.recording != nil {
		m.recorded(ctx, m.recording.Event(now, event))
	}
	outputs := m.core.Step(now, event)
	if m.recording != nil {
		m.recorded(ctx, m.recording.Outputs(outputs))
	}
	took := time.Since(begin)
	m.config.Published.observe(took)
	for _, output := range outputs {
		m.carryOut(ctx, output)
	}
	m.schedule(ctx)
	m.publish(ctx)
	m.turn.took(took)
}

// recorded ends the recording if it could not be written.
func (m *master) recorded(ctx actor.Context, err error) {
	if err != nil {
		ctx.Log().Error().Err(err).Msg("nothing is recorded from here on")
		m.recording = nil
	}
}

func (m *master) carryOut(ctx actor.Context, output core.Output) {
	switch o := output.(type) {
	case core.Send:
		ctx.Send(m.sessions[o.Session].session, say{o.Message})
	case core.CloseSession:
		ctx.Send(m.sessions[o.Session].session, hangUp{o.Reason})
		m.forget(o.Session)
	case core.Introduce:
		ctx.Send(m.sessions[o.Slave].session, introduced{o, m.sessions[o.Framework].session})
	case core.Persist:
		answer := persisted{ID: o.ID}
		if err := m.registry.Apply(o.Change); err != nil {
			answer.Failure = err.Error()
		}
		ctx.Send(ctx.Self(), answer)
	case core.Show:
		ctx.Send(m.answerer, read{m.requests[o.Request], o})
		delete(m.requests, o.Request)
	case core.Reply:
		ctx.ReplyTo(m.requests[o.Request], o.Message)
		delete(m.requests, o.Request)
	case core.Note:
		if o.Level == core.Warning {
			ctx.Log().Warn().Msg(o.Text)
		} else {
			ctx.Log().Info().Msg(o.Text)
		}
	default:
		panic(fmt.Sprintf("master: output %T", output))
	}
}

// schedule has the core ticked at its deadline. One that has come already is a message to self, behind those that wait.
func (m *master) schedule(ctx actor.Context) {
	at := m.core.Deadline()
	switch {
	case m.ticking:
	case at.IsZero():
		m.unschedule()
	case !at.After(ctx.Now()):
		m.ticking = true
		ctx.Send(ctx.Self(), tick{})
	case !m.armed || !at.Equal(m.alarmAt):
		m.unschedule()
		m.armed, m.alarmAt = true, at
		m.alarm = ctx.After(at.Sub(ctx.Now()), alarm{})
	}
}

func (m *master) unschedule() {
	if m.armed {
		m.armed = false
		m.alarm.Cancel()
	}
}

// publish shows the numbers, not more often than they can be read with sense, and in the end always the latest.
func (m *master) publish(ctx actor.Context) {
	if m.config.Published == nil || m.publishing {
		return
	}
	if wait := publishInterval - ctx.Now().Sub(m.published); wait > 0 {
		m.publishing = true
		ctx.After(wait, show{})
		return
	}
	m.published = ctx.Now()
	m.config.Published.set(m.core.View())
}

// firstWord opens a session for a peer that talks to the master itself. One that has a session already, and has not
// heard of it, is heard there.
func (m *master) firstWord(ctx actor.Context, message proto.Message) {
	peer := ctx.Sender()
	if peer.IsZero() {
		ctx.Log().Warn().Msgf("a %T from nobody: there is no one to answer", message)
		return
	}
	number, known := m.numbers[key(peer)]
	if !known {
		m.lastSession++
		number = m.lastSession
		session := ctx.Spawn(fmt.Sprintf("session-%d", number), newSession(number, peer, ctx.Self(), m.limits))
		m.sessions[number] = connection{session: session, peer: peer}
		m.numbers[key(peer)], m.numbers[key(session)] = number, number
		m.step(ctx, core.Opened{Session: number, Address: peer.Address})
	}
	m.step(ctx, core.Received{Session: number, Message: withDigest(message)})
}

// heard is what a session passes on.
func (m *master) heard(ctx actor.Context, e heard) {
	c, known := m.sessions[e.session]
	if !known {
		return // The core has closed it in the meantime.
	}
	c.handled += e.weight
	if c.handled >= SessionWindow/2 {
		ctx.Send(c.session, credit(c.handled))
		c.handled = 0
	}
	m.sessions[e.session] = c
	m.step(ctx, core.Received{Session: e.session, Message: withDigest(e.message)})
}

// exited is the end of a session actor: its peer has gone, or it has failed.
func (m *master) exited(ctx actor.Context, e actor.Exited) {
	if e.PID.Is(m.answerer) {
		ctx.Log().Error().Msgf("the answers to readers have ended, and begin anew: %v", e.Reason)
		m.answerer = ctx.Spawn("answerer", newAnswerer)
		return
	}
	number, known := m.numbers[key(e.PID)]
	if !known {
		return
	}
	reason := e.Reason.String()
	if e.Err != nil {
		reason = e.Err.Error()
	}
	ctx.Stop(e.PID) // If the link alone is over, because a mailbox was full, it still lives.
	m.forget(number)
	m.step(ctx, core.SessionClosed{Session: number, Reason: reason})
}

func (m *master) forget(number core.Session) {
	c := m.sessions[number]
	delete(m.sessions, number)
	delete(m.numbers, key(c.session))
	delete(m.numbers, key(c.peer))
}

func (m *master) asked(ctx actor.Context, message proto.Message) {
	m.lastRequest++
	m.requests[m.lastRequest] = ctx.Asked()
	m.step(ctx, core.Asked{Request: m.lastRequest, Message: message})
}

// key is a PID as it is compared: its address is only a hint.
func key(pid actor.PID) actor.PID {
	if pid.Node != "" {
		pid.Address = ""
	}
	return pid
}
