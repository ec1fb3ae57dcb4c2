// Package actor is the message-passing runtime of this project: small state machines that own their state, have a mailbox,
// handle one message at a time and never block.
//
// An [Actor] is anything with a Receive method. A [System] is one node: it holds the actors of a process and gives each a [PID].
// Whoever knows a PID may send to it, wherever the actor lives: package actor/remote carries messages between nodes, and
// nothing in an actor's code changes.
//
//	sys := actor.NewSystem(actor.SystemOptions{Node: "n1"})
//	pid := sys.Spawn("greeter", func() actor.Actor {
//		return actor.Func(func(ctx actor.Context) {
//			switch m := ctx.Message().(type) {
//			case *hello.Hello:
//				ctx.Reply(&hello.Welcome{Name: m.Name})
//			}
//		})
//	})
//
// # What is promised
//
// Messages from one actor to another arrive in order and at most once. Nothing is lost in the middle without a word: who holds a
// [Context.Link] to its receiver sees exactly one [Exited] with the [Reason] when the receiver, its node, or the connection to
// it ends, or when a mailbox overflows. What could not be delivered is a dead letter, counted and logged.
//
// # Life and death
//
// An actor first receives [Started], last [Stopping]. One that panics is dead: its children are stopped, its links fire, its mail
// becomes dead letters. It is never resumed with the state that failed it; a parent may ask for a new life of it with
// [Reborn], which is a fresh actor with a new PID under the same registered name.
//
// # Names
//
// A PID's Name is unique in one life of its node. A root actor is registered under the name that it was spawned with, a child under
// its parent's name, a slash and its own. The first actor of a registered name has it as PID name; later ones get "name#N".
// [At] addresses whoever holds a registered name at an address at the moment.
//
// # Bounds
//
// Each mailbox has a limit ([DefaultMailboxLimit]); Send never blocks, so a message beyond the limit is a dead letter and ends
// the links between the two with [Overflow]. An idle actor has no goroutine and costs under 2 KB.
//
// All time comes from package time, so everything runs in a testing/synctest bubble.
package actor

import (
	"context"
	"fmt"
	"time"

	"github.com/rs/zerolog"
)

// An Actor handles its messages one at a time. Receive must not block and must not keep ctx beyond its return;
// work that takes long belongs into [Context.Async].
type Actor interface {
	Receive(ctx Context)
}

// Func is an actor made of one function.
type Func func(ctx Context)

// Receive calls f.
func (f Func) Receive(ctx Context) { f(ctx) }

// Role is what a node is in its cluster, as its handshake proved. Its values belong to the users of this package.
type Role string

// A PID names one life of one actor. It is comparable; two PIDs of the same actor may differ in Address, so [PID.Is] is the
// comparison to use where PIDs come from different sources.
type PID struct {
	// Node is the id of the node the actor lives on; empty for a PID made by At.
	Node string
	// Incarnation is the life of that node; 0 for a PID made by At.
	Incarnation uint64
	// Name is unique in that life of the node; for a PID made by At it is a registered name.
	Name string
	// Address is a hint for dialling the node: "host:port", empty for nodes that do not listen.
	Address string
}

// At addresses whichever actor has the registered name at the address at the time of each message or link. An empty address means
// the sender's own node. The address is resolved anew for each dial.
func At(address, name string) PID { return PID{Address: address, Name: name} }

// IsZero reports whether p names nobody.
func (p PID) IsZero() bool { return p == PID{} }

// Is reports whether p and q name the same actor. Addresses count only for PIDs that were made by At.
func (p PID) Is(q PID) bool { return p.key() == q.key() }

// String formats p for people: name@node for one life of an actor, name@address for whoever has that name.
func (p PID) String() string {
	switch {
	case p.IsZero():
		return "nobody"
	case p.Node == "" && p.Address == "":
		return p.Name + "@here"
	case p.Node == "":
		return p.Name + "@" + p.Address
	default:
		return p.Name + "@" + p.Node
	}
}

// key is p as it is compared: without the hint.
func (p PID) key() PID {
	if p.Node != "" {
		p.Address = ""
	}
	return p
}

// AskID numbers the questions of one actor. It is never 0.
type AskID uint64

// Context is what an actor can do. It belongs to the goroutine that called Receive, for the time of that call.
type Context interface {
	// Self is this actor's PID.
	Self() PID
	// Sender is the actor that sent the message in hand; zero if nobody did.
	Sender() PID
	// SenderRole is the role of the node from which the message came, as its handshake proved; the own node's for local messages.
	SenderRole() Role
	// Message is the message in hand.
	Message() any
	// Send delivers m to the actor to. It never blocks. Between nodes m must be a proto.Message, and leaves when Receive returns, if not
	// before. It must not be changed afterwards.
	Send(to PID, m any)
	// Reply sends m to the sender. If the message in hand was asked, m is the answer.
	Reply(m any)
	// Forward passes the message in hand on; its sender stays the sender, and gets the answer if it asked.
	Forward(to PID)
	// Asked takes the message in hand as a question that is answered later, with ReplyTo.
	Asked() Asked
	// ReplyTo answers a message received earlier, as Reply would have.
	ReplyTo(asked Asked, m any)
	// Ask sends m and has the answer delivered as an Answer: exactly one, which holds an error after timeout, or when the actor
	// asked has exited.
	Ask(to PID, m any, timeout time.Duration) AskID
	// Spawn starts a child. This actor is linked to it. The name must not be empty or contain '#'.
	Spawn(name string, produce func() Actor, opts ...SpawnOption) PID
	// Stop ends a child, or this actor, after the message in hand. Its mail becomes dead letters.
	Stop(pid PID)
	// Link asks for exactly one Exited, with pid as given here, when that actor exits or cannot be reached; also when it has
	// already gone or never existed. Linking twice is one link.
	Link(pid PID)
	// Unlink takes a link back: its Exited is not delivered any more.
	Unlink(pid PID)
	// After delivers m to this actor after d.
	After(d time.Duration, m any) Timer
	// WakeAt delivers one Wake at t, or at once if t is past, instead of at the time of the last call; the zero time: never.
	WakeAt(t time.Time)
	// Async runs f on a goroutine of its own. What it returns is delivered to this actor, unless it is nil or the actor has died.
	// f's context ends with the actor. A panic of f is a panic of this actor.
	Async(f func(ctx context.Context) any)
	// Now is the time; fake in a testing/synctest bubble.
	Now() time.Time
	// Log is the system's log with this actor's name.
	Log() *zerolog.Logger
	// System is the node that this actor lives on.
	System() *System
}

// Started is the first message of every actor.
type Started struct{}

// Stopping is the last message of an actor that is stopped. It may still send. An actor that panicked does not get it.
type Stopping struct{}

// Wake is what Context.WakeAt delivers.
type Wake struct{}

// Exited is the end of a link.
type Exited struct {
	// PID is the actor as it was linked.
	PID PID
	// Reason says what ended.
	Reason Reason
	// Err has the details, for people; nil if there are none.
	Err error
}

// Answer is the answer to an Ask.
type Answer struct {
	ID AskID
	// From is the actor that answered; if Err is set, the actor that was asked.
	From PID
	// Message is what it answered; nil if Err is set.
	Message any
	// Err is ErrTimeout or an *ExitError.
	Err error
}

// Asked is a question that waits for its answer. Its zero value is nobody's.
type Asked struct {
	from *Source
	ask  AskID
}

// From is who asked; zero if nobody did.
func (a Asked) From() PID { return a.from.pid() }

// Reason says why a link ended.
type Reason uint8

// The reasons of Exited.
const (
	// Stopped: the actor was stopped, or stopped itself.
	Stopped Reason = iota + 1
	// Panicked: the actor failed; Err is a *PanicError with the panic and its stack.
	Panicked
	// Unreachable: its node could not be dialled, or has been silent for too long.
	Unreachable
	// Disconnected: the connection to its node ended.
	Disconnected
	// NoSuchActor: there is no actor of that name at its node, or not any more.
	NoSuchActor
	// NewIncarnation: its node has started anew since the PID was made.
	NewIncarnation
	// Overflow: a mailbox or the send queue was full, so a message was lost.
	Overflow
	// Refused: one node does not accept what the other is, sends, or claims to be.
	Refused
	// NodeShutdown: its node was shut down in order.
	NodeShutdown
	// TooLarge: a message was larger than its receiver accepts, and was not sent.
	TooLarge
)

var reasons = [...]string{
	Stopped: "stopped", Panicked: "panicked", Unreachable: "unreachable", Disconnected: "disconnected", NoSuchActor: "no such actor",
	NewIncarnation: "new incarnation", Overflow: "overflow", Refused: "refused", NodeShutdown: "node shutdown", TooLarge: "message too large",
}

// String is the reason in a word or two.
func (r Reason) String() string {
	if int(r) < len(reasons) && reasons[r] != "" {
		return reasons[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// ExitError is an exit as an error: the answer to an Ask whose receiver is gone.
type ExitError struct {
	PID    PID
	Reason Reason
	// Err has the details; nil if there are none.
	Err error
}

// Error says who exited and why.
func (e *ExitError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%v: %v: %v", e.PID, e.Reason, e.Err)
	}
	return fmt.Sprintf("%v: %v", e.PID, e.Reason)
}

// Unwrap gives the details.
func (e *ExitError) Unwrap() error { return e.Err }

// PanicError is a panic of an actor as an error.
type PanicError struct {
	// Value is what was passed to panic.
	Value any
	// Stack is where it happened.
	Stack []byte
}

// Error is the panic without its stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap gives the value of the panic if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
