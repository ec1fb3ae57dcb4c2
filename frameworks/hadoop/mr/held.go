package mr

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// heldKeys finds keys and their values by the keys' bytes. It is a hash table with open addressing (linear probing), whose
// keys lie one after the other: a mapper looks up each word of its input, and what it costs is the memory that is touched.
type heldKeys[V any] struct {
	seed  maphash.Seed
	slots []slot // a power of two, at most half of them used
	keys  []heldKey[V]
	bytes []byte // of all keys
}

// slot is empty if its index is 0, else that of a key, from 1.
type slot struct{ hash, index uint32 }

// heldKey is a key's values that have not been written yet.
type heldKey[V any] struct {
	start, end uint32 // of its bytes
	values     []V
}

// leastSlots is how many a table begins with.
const leastSlots = 1 << 10

func newHeldKeys[V any]() *heldKeys[V] {
	return &heldKeys[V]{seed: maphash.MakeSeed(), slots: make([]slot, leastSlots)}
}

// find gives a key; nil if it is not there. It is valid until the next add.
func (t *heldKeys[V]) find(key []byte) *heldKey[V] {
	hash := uint32(maphash.Bytes(t.seed, key))
	last := uint32(len(t.slots) - 1)
	for at := hash & last; ; at = (at + 1) & last {
		s := t.slots[at]
		if s.index == 0 {
			return nil
		}
		if s.hash == hash {
			if h := &t.keys[s.index-1]; bytes.Equal(t.of(h), key) {
				return h
			}
		}
	}
}

// of is a key's bytes.
func (t *heldKeys[V]) of(h *heldKey[V]) []byte { return t.bytes[h.start:h.end:h.end] }

// add adds a key that is not there.
func (t *heldKeys[V]) add(key []byte) *heldKey[V] {
	if 2*(len(t.keys)+1) > len(t.slots) {
		t.grow()
	}
	start := uint32(len(t.bytes))
	t.bytes = append(t.bytes, key...)
	if len(t.keys) == cap(t.keys) {
		t.keys = slices.Grow(t.keys, max(len(t.keys), leastSlots/2))
	}
	t.keys = t.keys[:len(t.keys)+1] // what was there before keeps the memory of its values
	h := &t.keys[len(t.keys)-1]
	h.start, h.end, h.values = start, uint32(len(t.bytes)), h.values[:0]
	t.place(slot{uint32(maphash.Bytes(t.seed, key)), uint32(len(t.keys))})
	return h
}

// place puts a slot where find will look.
func (t *heldKeys[V]) place(s slot) {
	last := uint32(len(t.slots) - 1)
	at := s.hash & last
	for t.slots[at].index != 0 {
		at = (at + 1) & last
	}
	t.slots[at] = s
}

func (t *heldKeys[V]) grow() {
	old := t.slots
	t.slots = make([]slot, 2*len(old))
	for _, s := range old {
		if s.index != 0 {
			t.place(s)
		}
	}
}

// clear forgets all keys.
func (t *heldKeys[V]) clear() {
	clear(t.slots)
	t.keys, t.bytes = t.keys[:0], t.bytes[:0]
}
