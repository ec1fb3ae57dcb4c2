package actor

const (
	// heldConnections is to how many other nodes an actor may have messages held at a time.
	heldConnections = 4
	// heldReceives is how many messages an actor may handle while it has messages held.
	heldReceives = 8
)

// held are the connections to other nodes that an actor has sent to and not yet flushed, because it may have more to send: one write
// is cheaper than many. They are flushed when the actor's mailbox is empty, and after heldReceives messages. It belongs to the
// actor's goroutine.
type held struct {
	connections [heldConnections]Connection
	n           int
	receives    int // since the first was held
}

func (h *held) add(c Connection) {
	for _, known := range h.connections[:h.n] {
		if known == c {
			return
		}
	}
	if h.n == len(h.connections) {
		h.flush()
	}
	h.connections[h.n] = c
	h.n++
}

// received is called after each message that the actor has handled.
func (h *held) received() {
	if h.n == 0 {
		return
	}
	if h.receives++; h.receives == heldReceives {
		h.flush()
	}
}

func (h *held) flush() {
	for _, c := range h.connections[:h.n] {
		c.Flush(h.n == 1)
	}
	clear(h.connections[:h.n])
	h.n, h.receives = 0, 0
}
