package core

import (
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// Event is what happens to a Core.
type Event interface{ event() }

type (
	// Start begins the first connection.
	Start struct{}
	// Received is something that the peer of a session said: a schedulerpb.Event or a wire.Refused.
	Received struct {
		Session Session
		Message proto.Message
	}
	// Closed tells that a session is over, or that the attempt at one failed. Reason is for people. Refused: the master's node has
	// refused this one at their handshake, as it will the next time.
	Closed struct {
		Session Session
		Reason  string
		Refused bool
	}
	// Asked is a call that the framework's author makes. The core fills in the framework's id. SUBSCRIBE and TEARDOWN
	// are not among the author's calls: they are Start and Stop.
	Asked struct{ Call *schedulerpb.Call }
	// Stop ends the driver. With Teardown the framework itself is over; without, it stays for its failover timeout.
	Stop struct {
		Teardown bool
		Err      error
	}
	// Tick tells that time has passed.
	Tick struct{}
)

func (Start) event()    {}
func (Received) event() {}
func (Closed) event()   {}
func (Asked) event()    {}
func (Stop) event()     {}
func (Tick) event()     {}

// Output is what a Core wants done.
type Output interface{ output() }

type (
	// Connect begins a session: dial the master and send it the SUBSCRIBE call.
	Connect struct {
		Session Session
		Call    *schedulerpb.Call
	}
	// Send says something to the peer of a session.
	Send struct {
		Session Session
		Call    *schedulerpb.Call
	}
	// HangUp forgets a session.
	HangUp struct{ Session Session }

	// Subscribed tells the author that offers may come now. Again is true after an outage: offers from before it are
	// void, tasks are being asked about.
	Subscribed struct {
		FrameworkID string
		Master      *mesos.MasterInfo
		Again       bool
	}
	// Offered hands new offers to the author.
	Offered struct{ Offers []*mesos.Offer }
	// Rescinded tells that an offer is void.
	Rescinded struct{ OfferID string }
	// InverseOffered tells that slaves will be away, and that the framework is asked to leave them.
	InverseOffered struct{ Offers []*mesos.InverseOffer }
	// InverseRescinded tells that it is not asked any more.
	InverseRescinded struct{ OfferID string }
	// Updated is news of a task.
	Updated struct{ Status *mesos.TaskStatus }
	// Operated is news of an operation on resources.
	Operated struct{ Status *mesos.OperationStatus }
	// Heard is a message from an executor.
	Heard struct {
		SlaveID, ExecutorID string
		Data                []byte
	}
	// Failed tells that a slave has gone (no ExecutorID) or that an executor has ended.
	Failed struct {
		SlaveID, ExecutorID string
		WaitStatus          int32
	}
	// Disconnected tells that there is no master at the moment. It comes once in each outage, at its beginning.
	Disconnected struct{ Err error }
	// Ended is the last output. Err is nil if the author ended it.
	Ended struct{ Err error }
)

func (Connect) output()          {}
func (Send) output()             {}
func (HangUp) output()           {}
func (Subscribed) output()       {}
func (Offered) output()          {}
func (Rescinded) output()        {}
func (InverseOffered) output()   {}
func (InverseRescinded) output() {}
func (Updated) output()          {}
func (Operated) output()         {}
func (Heard) output()            {}
func (Failed) output()           {}
func (Disconnected) output()     {}
func (Ended) output()            {}
