package core

import (
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/executorpb"
)

// Event is what can happen to an executor's driver.
type Event interface{ event() }

// Start is the first event.
type Start struct{}

// Received is what the slave said in a session.
type Received struct {
	Session Session
	Event   *executorpb.Event
}

// Refused is the slave's answer to a call that may not be.
type Refused struct {
	Session Session
	Reason  string
}

// Closed tells that a session ended, or could not be opened.
type Closed struct {
	Session Session
	Reason  string
}

// Update is what the author has to tell of a task. The core completes a copy of Status; what of it is set already
// stays, but uuid, source and executor id.
type Update struct{ Status *mesos.TaskStatus }

// Message is what the author wants its scheduler to hear.
type Message struct{ Data []byte }

// Leave tells that whoever runs the executor wants its end, as if the slave had said SHUTDOWN.
type Leave struct{}

// Stop tells that the author has nothing more to do.
type Stop struct{}

// Tick is nothing but the time, which every Step is given anyway.
type Tick struct{}

func (Start) event()    {}
func (Received) event() {}
func (Refused) event()  {}
func (Closed) event()   {}
func (Update) event()   {}
func (Message) event()  {}
func (Leave) event()    {}
func (Stop) event()     {}
func (Tick) event()     {}

// Output is what the core wants done. Outputs are carried out in their order.
type Output interface{ output() }

// Connect asks to begin Session with the slave: Call is the first thing to say in it. Earlier sessions are over.
type Connect struct {
	Session Session
	Call    *executorpb.Call
}

// Send asks to say more in Session. The call is never changed afterwards.
type Send struct {
	Session Session
	Call    *executorpb.Call
}

// HangUp asks to end Session. No Closed is expected for it.
type HangUp struct{ Session Session }

// Subscribed tells the author who the executor is and where it runs. Again is set after an outage.
type Subscribed struct {
	Info  *executorpb.Event_Subscribed
	Again bool
}

// Launch gives the author a task.
type Launch struct{ Task *mesos.TaskInfo }

// Kill asks the author to end a task. Policy may be nil.
type Kill struct {
	TaskID string
	Policy *mesos.KillPolicy
}

// Heard gives the author a message of its scheduler.
type Heard struct{ Data []byte }

// Disconnected tells the author that the slave is away.
type Disconnected struct{ Reason string }

// Denied tells that the slave did not accept one of the author's calls.
type Denied struct{ Reason string }

// Shutdown tells the author to end its tasks and say Stop, within Grace.
type Shutdown struct{ Grace time.Duration }

// Ended is the last output: the executor is to end, because of Err if that is set.
type Ended struct{ Err error }

func (Connect) output()      {}
func (Send) output()         {}
func (HangUp) output()       {}
func (Subscribed) output()   {}
func (Launch) output()       {}
func (Kill) output()         {}
func (Heard) output()        {}
func (Disconnected) output() {}
func (Denied) output()       {}
func (Shutdown) output()     {}
func (Ended) output()        {}
