package scheduler

import "google.golang.org/protobuf/proto"

// Whisper sends the scheduler something that does not come from its session.
func (d *Driver) Whisper(message proto.Message) { d.sys.Send(d.pid, message) }

// What TestMain must know of a process that a test of the store starts.
const KilledEnv = killedEnv

var Count = count
