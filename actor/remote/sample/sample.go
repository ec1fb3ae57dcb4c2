// Package sample is what the wire is measured with: the message that every transport carries that is compared, and the floor, which is
// bare TCP with the same message.
package sample

import "fmt"

// PayloadBytes is the length of the payload that makes an Update about 100 bytes on the wire.
const PayloadBytes = 64

// Updates are n different messages, to be sent in turn. They must not be changed.
func Updates(n int) []*Update {
	updates := make([]*Update, n)
	for i := range updates {
		updates[i] = &Update{
			Seq: int64(i), Ts: 1_700_000_000_000_000_000 + int64(i), TaskId: fmt.Sprintf("task-%08d", i), Payload: make([]byte, PayloadBytes),
		}
	}
	return updates
}
