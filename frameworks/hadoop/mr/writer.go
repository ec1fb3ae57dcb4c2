package mr

import (
	"fmt"
	"iter"
	"slices"
)

// Bounds of what a mapper holds to combine: when one is reached, all goes out and it begins anew.
const (
	maxHeldKeys   = 1 << 17
	maxHeldBytes  = 16 << 20 // of keys
	maxHeldValues = 1 << 19
	// combineAt is how many values of one key are combined at once.
	combineAt = 16
)

// recordWriter is a map under way: it calls Map, writes records as bytes, combined if the job combines, and keeps its
// first error.
type recordWriter[K, V any] struct {
	job        Job[K, V]
	out        func(key, value []byte) error
	part, text []byte // of the record that is emitted
	err        error

	held       *heldKeys[V] // nil: the job does not combine
	heldValues int
	keep       func(V) V // makes a value last; nil: it does

	// What Combine gets, made once: the values of the key that is combined, and who takes what it makes of them.
	combining *heldKey[V]
	combined  []V
	values    iter.Seq[V]
	take      func(V)
}

func (j Job[K, V]) writer(out func(key, value []byte) error) *recordWriter[K, V] {
	w := &recordWriter[K, V]{job: j, out: out}
	if j.Combine != nil {
		w.held = newHeldKeys[V]()
		w.values = func(yield func(V) bool) { slices.Values(w.combining.values)(yield) }
		w.take = w.takeCombined
	}
	if k, ok := j.Value.(keeper[V]); ok {
		w.keep = k.Keep
	}
	return w
}

// Line maps a line.
func (w *recordWriter[K, V]) Line(line []byte) error {
	if err := w.job.Map(line, w.emit); err != nil {
		return fmt.Errorf("map: %w", err)
	}
	return w.err
}

// End writes what is held.
func (w *recordWriter[K, V]) End() error {
	if w.held != nil {
		w.release()
	}
	return w.err
}

// emit takes a record of Map.
func (w *recordWriter[K, V]) emit(key K, value V) {
	w.part = w.job.Key.Append(w.part[:0], key)
	if w.held == nil {
		w.write(w.part, value)
		return
	}
	h := w.held.find(w.part)
	if h == nil {
		if len(w.held.keys) == maxHeldKeys || len(w.held.bytes) >= maxHeldBytes || w.heldValues >= maxHeldValues {
			w.release()
		}
		h = w.held.add(w.part)
	}
	if w.keep != nil {
		value = w.keep(value)
	}
	h.values = append(h.values, value)
	w.heldValues++
	if len(h.values) >= combineAt {
		w.combine(w.part, h)
		if len(h.values) > combineAt/2 { // they do not become fewer
			w.writeAll(w.part, h)
		}
	}
}

// combine replaces a key's values by what Combine makes of them.
func (w *recordWriter[K, V]) combine(part []byte, h *heldKey[V]) {
	key, err := w.job.Key.Parse(part)
	if err != nil {
		w.fail(fmt.Errorf("read a key: %w", err))
		return
	}
	w.combining, w.combined = h, w.combined[:0]
	if err := w.job.Combine(key, w.values, w.take); err != nil {
		w.fail(fmt.Errorf("combine: %w", err))
		return
	}
	w.heldValues += len(w.combined) - len(h.values)
	h.values = append(h.values[:0], w.combined...)
}

// takeCombined takes a value that Combine has made.
func (w *recordWriter[K, V]) takeCombined(v V) {
	if w.keep != nil {
		v = w.keep(v)
	}
	w.combined = append(w.combined, v)
}

// release writes all that is held. Records of a key stay in their order, that of keys does not matter.
func (w *recordWriter[K, V]) release() {
	for i := range w.held.keys {
		h := &w.held.keys[i]
		part := w.held.of(h)
		if len(h.values) > 1 {
			w.combine(part, h)
		}
		w.writeAll(part, h)
	}
	w.held.clear()
}

func (w *recordWriter[K, V]) writeAll(part []byte, h *heldKey[V]) {
	for _, value := range h.values {
		w.write(part, value)
	}
	w.heldValues -= len(h.values)
	h.values = h.values[:0]
}

// write writes a record whose key's bytes are given.
func (w *recordWriter[K, V]) write(part []byte, value V) {
	w.text = w.job.Value.Append(w.text[:0], value)
	if err := w.out(part, w.text); err != nil {
		w.fail(err)
	}
}

func (w *recordWriter[K, V]) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
