package core

import (
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// Session names a live connection. The shell gives the numbers, each once.
type Session uint64

// Request names a question that waits for its answer. The shell gives the numbers, each once.
type Request uint64

// Event is something that happened. All that a core knows comes by events, so a record of them is all it takes to make
// the same core again.
type Event interface{ event() }

// Born is the first event.
type Born struct {
	// Incarnation is the id of this life of the master, unlike that of any other life. The ids that the master gives
	// begin with it.
	Incarnation string
	// Master is how others reach the master.
	Master *mesos.MasterInfo
	// Config holds the limits and times.
	Config Config
}

// Seed decides ties and the order in which slaves are looked at. 0, as before the first Seed, is by name.
type Seed struct{ Value uint64 }

// Recovered is what the registry remembers from before.
type Recovered struct {
	// State is not changed by the core.
	State registry.State
	// Durable says that the registry outlives its master. If it does not, what it does not know may have been.
	Durable bool
}

// Opened is a new connection.
type Opened struct {
	Session Session
	// Address is the peer's "ip:port", empty if it does not listen.
	Address string
}

// Received is a message of a peer: of package wire from a slave, a schedulerpb.Call from a scheduler.
type Received struct {
	Session Session
	Message proto.Message
}

// SessionClosed is the end of a connection that the core did not close.
type SessionClosed struct {
	Session Session
	Reason  string
}

// Asked is a question of an operator: a masterpb.Call, a wire.OperatorKillTask or a wire.Explain; or a framework's
// UPDATE_FRAMEWORK that waits for its answer, as a schedulerpb.Call. A Reply answers it.
type Asked struct {
	Request Request
	Message proto.Message
}

// Persisted answers a Persist.
type Persisted struct {
	ID uint64
	// Failure says why the change has not been made; empty: it has.
	Failure string
}

// Whitelisted says which slaves may be offered: those with these hostnames, or all. Before the first it is all.
type Whitelisted struct {
	Hostnames []string
	All       bool
}

// Tick is the time that Deadline asked for.
type Tick struct{}

func (Born) event()          {}
func (Seed) event()          {}
func (Recovered) event()     {}
func (Opened) event()        {}
func (Received) event()      {}
func (SessionClosed) event() {}
func (Asked) event()         {}
func (Persisted) event()     {}
func (Whitelisted) event()   {}
func (Tick) event()          {}

// Output is something to be done.
type Output interface{ output() }

// Send sends a message to a peer.
type Send struct {
	Session Session
	Message proto.Message
}

// CloseSession ends a connection. There is no SessionClosed for it.
type CloseSession struct {
	Session Session
	Reason  string
}

// Introduce answers a slave's wire.ReadFile: it may read the files of a framework, whose session this is, or, with a
// Refusal, it may not. What it reads does not concern the core.
type Introduce struct {
	Slave       Session
	FrameworkID string
	Framework   Session
	Refusal     string
	Later       bool // it may be refused no more after a while
}

// Persist makes a change durable. Persisted, with the same ID, answers it. Changes are made in the order in which they
// are asked for.
type Persist struct {
	ID     uint64
	Change registry.Change
}

// Show answers an Asked that only wants to know what is: a Reader makes the answer from the view.
type Show struct {
	Request Request
	Call    *masterpb.Call
	View    *View
}

// Reply answers an Asked: with a masterpb.Response, a wire.Explanation, a wire.OperatorDone or a wire.Refused.
type Reply struct {
	Request Request
	Message proto.Message
}

// Note is a line for the log.
type Note struct {
	Level Level
	Text  string
}

// Level is how much attention a Note wants.
type Level uint8

// The levels of notes: what happens as it should, and what an operator should look at.
const (
	Info Level = iota
	Warning
)

func (Send) output()         {}
func (CloseSession) output() {}
func (Introduce) output()    {}
func (Persist) output()      {}
func (Show) output()         {}
func (Reply) output()        {}
func (Note) output()         {}
