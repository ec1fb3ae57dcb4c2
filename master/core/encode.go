package core

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/master/allocator"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// What readers see, marshalled. An answer about all slaves or tasks is made of blocks, each with some entries of the view
// one after the other. A block whose entries are the same in the next view is in the next answer as it is, and of the
// others only entries that have changed are marshalled again. So who reads everything again and again costs what has
// changed, and the bytes of several answers are the same ones.

const (
	// blockRows is how many entries a block has on average. Which one is the last follows from its key alone, so that an
	// entry that comes or goes moves none between blocks.
	blockRows = 64

	// pauseRows and pauseMessages are after how many entries that were looked at, and that were marshalled, a Reader
	// pauses: some 20 to 50 µs each.
	pauseRows, pauseMessages = 512, 16
)

// The numbers of fields in proto/mesos/masterpb/response.proto.
const (
	responseGetState, responseGetAgents, responseGetFrameworks, responseGetExecutors, responseGetTasks, responseGetRoles protowire.Number = 9, 10, 11, 12, 13, 14

	stateTasks, stateExecutors, stateFrameworks, stateAgents protowire.Number = 1, 2, 3, 4

	agentsAgents, agentsRecovered         protowire.Number = 1, 2
	tasksTasks, tasksCompleted            protowire.Number = 2, 3
	tasksUnreachable                      protowire.Number = 5
	executorsExecutors                    protowire.Number = 1
	rolesRoles                            protowire.Number = 1
	frameworksFrameworks, frameworkOffers protowire.Number = 1, 7
)

// A Reader marshals answers to calls that ask what is. It remembers the last ones and belongs to one goroutine; its zero
// value remembers nothing yet.
type Reader struct {
	// Pause, if set, is called again and again while an answer is made, for others to have their turn.
	Pause func()

	slaves    rows[string, *shownSlave]
	expected  rows[string, *mesos.AgentInfo]
	tasks     rows[string, *mesos.Task]
	past      rows[uint64, past]
	executors rows[string, *executor]
	offers    rows[uint64, *offer]
	sums      map[*block[string, *shownSlave]]map[allocator.Client]holdings // of each block of slaves
	work      work
}

// Encode answers a call that asks what is, in parts that follow each other and that are not changed any more.
func (r *Reader) Encode(v *View, call masterpb.Call_Type) [][]byte {
	r.work.pause = r.Pause
	m := &masterpb.Response{Type: responseType(call)}
	var all rope
	switch call {
	case masterpb.Call_GET_AGENTS:
		all.nest(responseGetAgents, r.encodeAgents(v))
	case masterpb.Call_GET_TASKS:
		all.nest(responseGetTasks, r.encodeTasks(v))
	case masterpb.Call_GET_EXECUTORS:
		all.nest(responseGetExecutors, r.encodeExecutors(v))
	case masterpb.Call_GET_FRAMEWORKS:
		r.encodeAgents(v)
		all.nest(responseGetFrameworks, r.encodeFrameworks(v))
	case masterpb.Call_GET_ROLES:
		r.encodeAgents(v)
		all.nest(responseGetRoles, r.encodeRoles(v))
	case masterpb.Call_GET_STATE:
		agents := r.encodeAgents(v)
		var state rope
		state.nest(stateTasks, r.encodeTasks(v))
		state.nest(stateExecutors, r.encodeExecutors(v))
		state.nest(stateFrameworks, r.encodeFrameworks(v))
		state.nest(stateAgents, agents)
		all.nest(responseGetState, state)
	default:
		m = v.Answer(call)
	}
	return append([][]byte{r.work.marshal(m)}, all.parts...)
}

func (r *Reader) encodeAgents(v *View) rope {
	var all rope
	r.slaves.renew(&r.work, v.slaves, sameText, agentsAgents, func(sl *shownSlave) proto.Message { return sl.message() })
	r.slaves.addTo(&all)
	r.expected.renew(&r.work, v.expected, sameText, agentsRecovered, func(info *mesos.AgentInfo) proto.Message { return info })
	r.expected.addTo(&all)
	return all
}

func (r *Reader) encodeTasks(v *View) rope {
	var all rope
	r.tasks.renew(&r.work, v.tasks, sameText, tasksTasks, func(t *mesos.Task) proto.Message { return t })
	r.tasks.addTo(&all)
	for _, t := range v.unreachable() {
		all.add(r.work.appendElement(nil, tasksUnreachable, t))
	}
	r.past.renew(&r.work, v.past, sameNumber, tasksCompleted, func(p past) proto.Message { return p.task })
	r.past.addTo(&all)
	return all
}

func (r *Reader) encodeExecutors(v *View) rope {
	var all rope
	r.executors.renew(&r.work, v.executors, sameText, executorsExecutors, func(e *executor) proto.Message { return e.message() })
	r.executors.addTo(&all)
	return all
}

// encodeFrameworks follows encodeAgents: what frameworks have is added up from its blocks.
func (r *Reader) encodeFrameworks(v *View) rope {
	used, offered := r.addUp(frameworkOf)
	r.offers.renew(&r.work, v.offers, sameNumber, frameworkOffers, func(o *offer) proto.Message { return o.message })
	offers := r.offersOf()
	inverse := v.inverseOffers()
	var all rope
	v.frameworks.Scan(func(id string, f *shownFramework) bool {
		m := f.message()
		m.InverseOffers, m.OfferConstraints = inverse[id], f.constraints
		m.AllocatedResources, m.OfferedResources = used[id].ToProto(), offered[id].ToProto()
		var one rope
		one.add(r.work.marshal(m))
		if own := offers[id]; own != nil {
			one.join(*own)
		}
		all.nest(frameworksFrameworks, one)
		return true
	})
	completed := &masterpb.Response_GetFrameworks{CompletedFrameworks: v.completedFrameworks()}
	all.add(r.work.marshal(completed))
	return all
}

// encodeRoles follows encodeAgents as well.
func (r *Reader) encodeRoles(v *View) rope {
	var all rope
	for _, role := range v.roles(r.addUp(roleOf)) {
		all.add(r.work.appendElement(nil, rolesRoles, role))
	}
	return all
}

// offersOf returns the offers of each framework, as far as they stand together in the same pieces.
func (r *Reader) offersOf() map[string]*rope {
	offers := map[string]*rope{}
	for _, b := range r.offers.blocks {
		begin := 0
		for i, row := range b.rows {
			framework := row.value.framework
			if i+1 < len(b.rows) && b.rows[i+1].value.framework == framework {
				continue
			}
			own := offers[framework.id]
			if own == nil {
				own = &rope{}
				offers[framework.id] = own
			}
			own.add(b.bytes[begin:row.end])
			begin = row.end
		}
	}
	return offers
}

// addUp adds up what is used and offered, by a key of who holds it: the sums of each block of slaves first.
func (r *Reader) addUp(key func(allocator.Client) string) (used, offered map[string]resource.Resources) {
	sums := make(map[*block[string, *shownSlave]]map[allocator.Client]holdings, len(r.slaves.blocks))
	whole := map[allocator.Client]holdings{}
	for _, b := range r.slaves.blocks {
		sum := r.sums[b]
		if sum == nil {
			sum = map[allocator.Client]holdings{}
			for _, row := range b.rows {
				row.value.addTo(sum)
			}
			r.work.took(pauseRows)
		}
		sums[b] = sum
		for client, h := range sum {
			whole[client] = whole[client].add(h)
		}
		r.work.took(len(sum))
	}
	r.sums = sums
	return byKey(whole, key)
}

// rows is a tree of the view as it was when it was last marshalled.
type rows[K cmp.Ordered, V comparable] struct {
	blocks []*block[K, V] // by the keys in them
}

// block is some entries that follow each other. It does not change.
type block[K cmp.Ordered, V comparable] struct {
	rows  []row[K, V] // at least one
	bytes []byte
}

type row[K cmp.Ordered, V comparable] struct {
	key   K
	value V
	end   int // in the block's bytes
}

// renew makes the blocks of another state of the tree, of those that there are and what is new. Each entry is marshalled as
// an element of the repeated field of this number.
func (r *rows[K, V]) renew(w *work, tree *btree.Map[K, V], hash func(K) uint64, field protowire.Number, message func(V) proto.Message) {
	var blocks []*block[K, V]
	var rows []row[K, V] // of the block to be
	old := 0             // the first of the old blocks that does not begin before it
	finish := func() {
		for old < len(r.blocks) && r.blocks[old].rows[0].key < rows[0].key {
			old++
		}
		if old < len(r.blocks) && r.blocks[old].isOf(rows) {
			blocks = append(blocks, r.blocks[old])
			rows = rows[:0]
			return
		}
		blocks = append(blocks, r.makeBlock(w, slices.Clone(rows), max(old-1, 0), field, message))
		rows = rows[:0]
	}
	tree.Scan(func(key K, value V) bool {
		w.took(1)
		rows = append(rows, row[K, V]{key: key, value: value})
		if mixed(hash(key))%blockRows == 0 {
			finish()
		}
		return true
	})
	if len(rows) > 0 {
		finish()
	}
	r.blocks = blocks
}

func (b *block[K, V]) isOf(rows []row[K, V]) bool {
	if len(b.rows) != len(rows) {
		return false
	}
	for i := range rows {
		if b.rows[i].value != rows[i].value || b.rows[i].key != rows[i].key {
			return false
		}
	}
	return true
}

// makeBlock makes a block of rows. Entries that are in the old ones from there on as they are need not be marshalled.
func (r *rows[K, V]) makeBlock(w *work, rows []row[K, V], from int, field protowire.Number, message func(V) proto.Message) *block[K, V] {
	b := &block[K, V]{rows: rows}
	bytes, i := w.block[:0], 0
	for n := range rows {
		one := &rows[n]
		for from < len(r.blocks) && (i == len(r.blocks[from].rows) || r.blocks[from].rows[i].key < one.key) {
			if i++; i >= len(r.blocks[from].rows) {
				from, i = from+1, 0
			}
		}
		if from < len(r.blocks) && r.blocks[from].rows[i].key == one.key && r.blocks[from].rows[i].value == one.value {
			bytes = append(bytes, r.blocks[from].bytesOf(i)...)
		} else {
			bytes = w.appendElement(bytes, field, message(one.value))
		}
		one.end = len(bytes)
	}
	b.bytes, w.block = slices.Clone(bytes), bytes
	return b
}

func (b *block[K, V]) bytesOf(i int) []byte {
	begin := 0
	if i > 0 {
		begin = b.rows[i-1].end
	}
	return b.bytes[begin:b.rows[i].end]
}

func (r *rows[K, V]) addTo(all *rope) {
	for _, b := range r.blocks {
		all.add(b.bytes)
	}
}

// rope is bytes in parts.
type rope struct {
	parts [][]byte
	size  int
}

func (r *rope) add(part []byte) {
	if len(part) > 0 {
		r.parts = append(r.parts, part)
		r.size += len(part)
	}
}

func (r *rope) join(other rope) {
	r.parts = append(r.parts, other.parts...)
	r.size += other.size
}

// nest adds a message as the field of this number.
func (r *rope) nest(field protowire.Number, message rope) {
	r.add(protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.BytesType), uint64(message.size)))
	r.join(message)
}

// work is what a Reader has done since it paused.
type work struct {
	pause func()
	done  int // in rows that were looked at

	scratch, block []byte // of an element, and of a block in the making
}

func (w *work) took(rows int) {
	if w.done += rows; w.done >= pauseRows {
		w.done = 0
		if w.pause != nil {
			w.pause()
		}
	}
}

// encoding leaves out what is required and missing: it is for the receiver to judge.
var encoding = proto.MarshalOptions{AllowPartial: true}

func (w *work) marshal(m proto.Message) []byte { return w.append(nil, m) }

func (w *work) append(out []byte, m proto.Message) []byte {
	w.took(pauseRows / pauseMessages)
	out, err := encoding.MarshalAppend(out, m)
	if err != nil {
		panic(fmt.Sprintf("master: what readers see cannot be marshalled: %v", err))
	}
	return out
}

func (w *work) appendElement(out []byte, field protowire.Number, m proto.Message) []byte {
	w.scratch = w.append(w.scratch[:0], m)
	return protowire.AppendBytes(protowire.AppendTag(out, field, protowire.BytesType), w.scratch)
}

// sameText and sameNumber are hashes that are the same in every process (FNV-1a).
func sameText(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := max(0, len(key)-8); i < len(key); i++ { // Keys of one kind differ at their ends.
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return h
}

func sameNumber(key uint64) uint64 { return key }

// mixed spreads a hash over all of its bits (the finalizer of splitmix64).
func mixed(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
