package core

import (
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/wire"
)

// Session is one live connection of a master, host or executor. The shell numbers them from 1 and uses no number
// twice; 0 is no session.
type Session uint64

// Event is what can happen to a slave. An event is plain data, so that it can be recorded and fed to another Core.
type Event interface{ event() }

// Born is the first event of a Core: who this slave is and how it behaves.
type Born struct{ Config Config }

// Recovered follows Born and brings what an earlier life of this slave left in its checkpoint. Nothing is started
// and no master is spoken to before it.
type Recovered struct {
	Checkpoint Checkpoint
	Sandboxes  []Garbage // all that are on the disk, in any order
}

// DiskMeasured tells which part of the disk that sandboxes are on is in use, from 0 to 1.
type DiskMeasured struct{ Use float64 }

// SandboxStays tells that a sandbox that was to be removed is still there, at least a part of it.
type SandboxStays struct{ Directory string }

// MasterFound tells that the leading master can be reached over Session.
type MasterFound struct{ Session Session }

// PeerFound tells that a host or an executor opened Session, and what its secret proved. What it is, is decided by
// its first message.
type PeerFound struct {
	Session Session
	Proof   Proof
}

// Proof says which secret of this slave a peer's connection carried. Both empty: none.
type Proof struct {
	HostID      string // the secret of that host
	ContainerID string // the secret of the executor that runs in that container
}

// SessionClosed tells that a session ended, whoever ended it.
type SessionClosed struct {
	Session Session
	Reason  string
}

// Received is a message that came over a session: of package wire from a master or a host, executorpb.Call from an
// executor.
type Received struct {
	Session Session
	Message proto.Message
}

// Persisted answers Persist: the changes are on the disk. The answers come in the order of the questions.
type Persisted struct{ ID uint64 }

// SandboxReady answers PrepareSandbox: the directory exists and has all that was to be fetched, or Err says in one line
// why not. Directory is set as soon as there is one.
type SandboxReady struct {
	ContainerID string
	Directory   string // absolute
	Err         string
	FetchURL    string // of the file that could not be fetched, if that is why
}

// HostEnded tells that a host's process is gone, or that it could not be started. Whatever the host held is dead.
type HostEnded struct {
	HostID string
	Reason string
}

// Shutdown asks the slave to end everything that runs, say goodbye to the master and finish.
type Shutdown struct{}

// Tick is nothing but the time, which every Step is given anyway.
type Tick struct{}

func (Born) event()          {}
func (Recovered) event()     {}
func (MasterFound) event()   {}
func (PeerFound) event()     {}
func (SessionClosed) event() {}
func (Received) event()      {}
func (Persisted) event()     {}
func (SandboxReady) event()  {}
func (HostEnded) event()     {}
func (DiskMeasured) event()  {}
func (SandboxStays) event()  {}
func (Shutdown) event()      {}
func (Tick) event()          {}

// Output is what a slave wants done. The shell carries outputs out in their order.
type Output interface{ output() }

// Send asks to send a message over a session. The message is never changed afterwards.
type Send struct {
	Session Session
	Message proto.Message
}

// Launch asks to send a host what starts an executor. The shell makes the executor's secret and adds it, so that no
// secret is ever known to a Core or to a recording.
type Launch struct {
	Session Session
	Message *wire.LaunchExecutor
}

// ForgetSecret tells that the executor in a container has ended: its secret proves nothing any more.
type ForgetSecret struct{ ContainerID string }

// CloseSession asks to end a session. No SessionClosed is expected for it.
type CloseSession struct {
	Session Session
	Reason  string
}

// Persist asks to write changes into the checkpoint, all or none. Persisted answers it.
type Persist struct {
	ID      uint64
	Changes []Change
}

// PrepareSandbox asks to make an executor's sandbox and to fetch its files. SandboxReady answers it.
type PrepareSandbox struct {
	SlaveID, FrameworkID, ExecutorID, ContainerID string

	User      string // who owns it; empty: the user of the slave
	Asked     string // whom the command itself asks to run as, where that is not heeded; else empty
	Principal string // of the framework
	URIs      []*mesos.CommandInfo_URI
	DiskBytes int64 // what it may take; 0: as much as there is
}

// AbandonSandbox tells that nobody waits for a sandbox any more: what is still being fetched for it need not come.
// SandboxReady answers PrepareSandbox all the same.
type AbandonSandbox struct{ ContainerID string }

// RemoveSandbox asks to delete a sandbox whose time has come. SandboxStays answers it if that fails, and nothing else.
type RemoveSandbox struct{ Directory string }

// MakeVolume asks to make a persistent volume's directory if it is not there, and to give it to a user; empty: to leave it to
// whom it belongs. Nothing answers it: a task whose volume is not there cannot be started.
type MakeVolume struct {
	Volume
	User string
}

// RemoveVolume asks to delete a persistent volume with all that is in it. Whatever asks for it later finds it gone.
type RemoveVolume struct{ Volume }

// StartHost asks to start a host process, which will register under HostID. HostEnded answers it in the end.
type StartHost struct{ HostID string }

// KillHost asks to end a host process by force. HostEnded tells when it is done.
type KillHost struct{ HostID string }

// Finished tells that the slave has nothing more to do: its process may end, and if Reason is not empty, it is a
// failure that the user has to be told.
type Finished struct{ Reason string }

// Note is a line for the log.
type Note struct {
	Level Level
	Text  string
}

// Level says who should read a Note.
type Level string

// The levels of a Note.
const (
	Debug Level = "debug" // who looks for a fault in Stoa
	Info  Level = "info"  // who follows what the slave does
	Warn  Level = "warn"  // who runs the slave
)

func (Send) output()           {}
func (Launch) output()         {}
func (ForgetSecret) output()   {}
func (CloseSession) output()   {}
func (Persist) output()        {}
func (PrepareSandbox) output() {}
func (AbandonSandbox) output() {}
func (MakeVolume) output()     {}
func (RemoveVolume) output()   {}
func (RemoveSandbox) output()  {}
func (StartHost) output()      {}
func (KillHost) output()       {}
func (Finished) output()       {}
func (Note) output()           {}
