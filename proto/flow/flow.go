// Package flow shares a connection among those for whom something is sent over it: frameworks, for example. None of them may
// fill its queue, which would be the end of the connection for all.
//
// An [Outbox] stands before the connection. It lets out so much at a time and counts it as under way until the other end has
// heard it, which it finds out by a mark behind it that is echoed. What is more waits: a lane for each, which take turns. A lane
// keeps its order.
//
// What waits is bounded by [Fits], as buffers of switches are shared (dynamic thresholds: Choudhury and Hahne, 1998): a lane may
// hold as much as is left for all others. So a single one gets half of it, and whoever comes later still finds room.
package flow

import "time"

// ComplainInterval is how often a log says, at most, that messages of one lane are dropped.
const ComplainInterval = 10 * time.Second

const (
	// Window is how many bytes are under way at a time. A message that is longer goes alone.
	Window = 16 << 20
	// MaxWaitingBytes is how much may wait in all lanes of an Outbox.
	MaxWaitingBytes = 128 << 20
	// SmallBytes is the length up to which a message has room of its own, whatever large ones wait: an order, an acknowledgement.
	SmallBytes = 1 << 10
	// MaxSmallWaitingBytes is that room.
	MaxSmallWaitingBytes = 32 << 20
	// markBytes is how much is let out between two marks: what is little costs none.
	markBytes = 1 << 20
	// messageBytes is what each message counts beside its bytes. It bounds the number of those that are under way, or wait.
	messageBytes = 128
)

// Fits says whether so many bytes more fit to what one holds, where all together hold so much and may hold limit.
func Fits(more, own, all, limit int) bool {
	return all+more <= limit && (own == 0 || own+more <= limit-all)
}

// Limit is how many bytes may wait of messages like one of so many.
func Limit(bytes int) int {
	if bytes <= SmallBytes {
		return MaxSmallWaitingBytes
	}
	return MaxWaitingBytes
}

// Outbox lets messages out in turns. The zero value is empty.
type Outbox[M any] struct {
	flying   int    // counted bytes that were let out, until the echo of a mark behind them
	unmarked int    // those of them behind which there is no mark yet
	marks    []int  // bytes before each mark that has not been echoed, since the one before it
	number   uint64 // of the last mark
	waiting  room   // counted bytes in all lanes
	lanes    map[string]*lane[M]
	turns    []*lane[M] // those in which something waits, the next one first
}

// lane is what waits for one.
type lane[M any] struct {
	name    string
	waiting room
	items   []item[M]
}

// room is what waiting messages take, in counted bytes.
type room struct{ small, large int }

// of is where a message of so many bytes counts.
func (r *room) of(counted int) *int {
	if counted <= SmallBytes+messageBytes {
		return &r.small
	}
	return &r.large
}

// item is a message that waits.
type item[M any] struct {
	message M
	counted int
	held    int // 0 if somebody else keeps the message anyway
}

// Pass lets a message of so many bytes out at once if nothing has to wait, and says whether it did.
func (o *Outbox[M]) Pass(bytes int) bool {
	if len(o.turns) > 0 || !o.mayFly(bytes+messageBytes) {
		return false
	}
	o.fly(bytes + messageBytes)
	return true
}

func (o *Outbox[M]) mayFly(counted int) bool { return o.flying == 0 || o.flying+counted <= Window }

func (o *Outbox[M]) fly(counted int) {
	o.flying += counted
	o.unmarked += counted
}

// HasRoom says whether a message of so many bytes may be put into a lane, unless it passes.
func (o *Outbox[M]) HasRoom(name string, bytes int) bool {
	counted, own := bytes+messageBytes, 0
	if len(o.turns) == 0 && o.mayFly(counted) {
		return true
	}
	if l := o.lanes[name]; l != nil {
		own = *l.waiting.of(counted)
	}
	return Fits(counted, own, *o.waiting.of(counted), Limit(bytes))
}

// Put has a message wait in a lane, whether or not there is room. One that is kept elsewhere as well takes none.
func (o *Outbox[M]) Put(name string, message M, bytes int, kept bool) {
	l := o.lanes[name]
	if l == nil {
		if o.lanes == nil {
			o.lanes = make(map[string]*lane[M])
		}
		l = &lane[M]{name: name}
		o.lanes[name] = l
		o.turns = append(o.turns, l)
	}
	i := item[M]{message: message, counted: bytes + messageBytes, held: bytes + messageBytes}
	if kept {
		i.held = 0
	}
	l.items = append(l.items, i)
	*l.waiting.of(i.counted) += i.held
	*o.waiting.of(i.counted) += i.held
}

// Next lets out the message whose turn it is, if one waits and may go.
func (o *Outbox[M]) Next() (message M, ok bool) {
	if len(o.turns) == 0 || !o.mayFly(o.turns[0].items[0].counted) {
		return message, false
	}
	l := o.turns[0]
	i := l.items[0]
	l.items[0] = item[M]{} // What follows may keep its place in memory for long.
	l.items = l.items[1:]
	*l.waiting.of(i.counted) -= i.held
	*o.waiting.of(i.counted) -= i.held
	o.turns[0] = nil
	if o.turns = o.turns[1:]; len(l.items) > 0 {
		o.turns = append(o.turns, l)
	} else {
		delete(o.lanes, l.name)
	}
	o.fly(i.counted)
	return i.message, true
}

// Mark returns the number of a mark that is to be sent now, behind what was let out; 0: none is. It is to be asked after each
// Pass, Put and Next.
func (o *Outbox[M]) Mark() uint64 {
	stuck := len(o.turns) > 0 && len(o.marks) == 0 && !o.mayFly(o.turns[0].items[0].counted)
	if o.unmarked < markBytes && !(stuck && o.unmarked > 0) {
		return 0
	}
	o.marks = append(o.marks, o.unmarked)
	o.unmarked = 0
	o.number++
	return o.number
}

// Echoed takes the echo of a mark: all before it has been heard. One that is not expected means nothing.
func (o *Outbox[M]) Echoed(number uint64) {
	for oldest := o.number - uint64(len(o.marks)) + 1; len(o.marks) > 0 && oldest <= number && number <= o.number; oldest++ {
		o.flying -= o.marks[0]
		o.marks = o.marks[1:]
	}
	if len(o.marks) == 0 {
		o.marks = nil
	}
}

// Waiting returns how many messages wait in a lane, and how many bytes in all.
func (o *Outbox[M]) Waiting(name string) (messages, bytes int) {
	if l := o.lanes[name]; l != nil {
		messages = len(l.items)
	}
	return messages, o.waiting.small + o.waiting.large
}

// Under returns how many bytes are under way.
func (o *Outbox[M]) Under() int { return o.flying }
