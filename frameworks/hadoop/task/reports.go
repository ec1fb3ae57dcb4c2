package task

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// Bounds of what commands report.
const (
	MaxCounters         = 120  // of a task and of a job; Hadoop's mapreduce.job.counters.max
	maxReportBytes      = 4096 // of one line; a longer one is no report
	maxCounterNameBytes = 128  // bytes of a group's or counter's name; Hadoop's mapreduce.job.counters.group.name.max
)

// Lines on a command's standard error that are for the framework, as Hadoop Streaming has them.
const (
	counterPrefix = "reporter:counter:" // GROUP,COUNTER,AMOUNT
	statusPrefix  = "reporter:status:"  // TEXT
)

// reports collects what commands report on their standard error.
type reports struct {
	mu       sync.Mutex
	counters map[counterName]int64
	status   string
	err      error // the first one
}

type counterName struct{ group, name string }

func newReports() *reports { return &reports{counters: map[counterName]int64{}} }

// line takes a line without its \n; false if it is no report.
func (r *reports) line(line string) bool {
	if text, ok := strings.CutPrefix(line, statusPrefix); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.status = strings.ToValidUTF8(strings.TrimSpace(text), "\uFFFD")
		return true
	}
	text, ok := strings.CutPrefix(line, counterPrefix)
	if !ok {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.count(strings.ToValidUTF8(text, "\uFFFD")); err != nil && r.err == nil {
		r.err = err
	}
	return true
}

// count takes GROUP,COUNTER,AMOUNT.
func (r *reports) count(text string) error {
	fields := strings.Split(strings.TrimSpace(text), ",")
	if len(fields) != 3 {
		return fmt.Errorf("%q on standard error is not %sGROUP,COUNTER,AMOUNT", counterPrefix+text, counterPrefix)
	}
	amount, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
	if err != nil {
		return fmt.Errorf("%q on standard error has %q for an amount: wanted is a whole number", counterPrefix+text, fields[2])
	}
	key := counterName{fields[0], fields[1]}
	if len(key.group) > maxCounterNameBytes || len(key.name) > maxCounterNameBytes {
		return fmt.Errorf("%q on standard error has a name of more than %d bytes", counterPrefix+text, maxCounterNameBytes)
	}
	if _, known := r.counters[key]; !known && len(r.counters) == MaxCounters {
		return fmt.Errorf("counter %s,%s is one too many: a task may have %d", key.group, key.name, MaxCounters)
	}
	if sum := r.counters[key] + amount; sum < r.counters[key] != (amount < 0) {
		return fmt.Errorf("%q on standard error brings its counter beyond 64 bits: it is at %d", counterPrefix+text, r.counters[key])
	}
	r.counters[key] += amount
	return nil
}

// summary is what was reported, sorted; nil if nothing was.
func (r *reports) summary() (*taskpb.Reports, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil || (len(r.counters) == 0 && r.status == "") {
		return nil, r.err
	}
	s := &taskpb.Reports{Status: r.status}
	for key, value := range r.counters {
		s.Counters = append(s.Counters, &taskpb.Counter{Group: key.group, Name: key.name, Value: value})
	}
	slices.SortFunc(s.Counters, func(a, b *taskpb.Counter) int {
		return cmp.Or(cmp.Compare(a.GetGroup(), b.GetGroup()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return s, nil
}

// reportWriter is a command's standard error: it takes the reports out of it and passes on the rest as it comes. Only a
// line that begins as a report is held until its end.
type reportWriter struct {
	reports *reports
	rest    io.Writer // nil drops it
	held    []byte    // the beginning of a line that may be a report
	passing bool      // of the current line, something has been passed on
}

func (w *reportWriter) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		line, ended := rest, false
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, ended = rest[:i+1], true
		}
		rest = rest[len(line):]
		if err := w.piece(line, ended); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// piece takes some of a line.
func (w *reportWriter) piece(b []byte, ended bool) error {
	if !w.passing {
		w.held = append(w.held, b...)
		if !ended && len(w.held) < maxReportBytes && mayBeReport(w.held) {
			return nil
		}
		b, w.held = w.held, w.held[:0]
		if ended && w.reports.line(string(b[:len(b)-1])) {
			return nil
		}
	}
	w.passing = !ended
	return w.pass(b)
}

func mayBeReport(b []byte) bool {
	for _, prefix := range []string{counterPrefix, statusPrefix} {
		n := min(len(b), len(prefix))
		if string(b[:n]) == prefix[:n] {
			return true
		}
	}
	return false
}

func (w *reportWriter) pass(b []byte) error {
	if w.rest == nil {
		return nil
	}
	_, err := w.rest.Write(b)
	return err
}

// end takes a last line without \n, and gives it one, so that what is said next has a line of its own.
func (w *reportWriter) end() error {
	held := w.held
	w.held = nil
	if (len(held) == 0 && !w.passing) || (len(held) > 0 && w.reports.line(string(held))) {
		return nil
	}
	w.passing = false
	return w.pass(append(held, '\n'))
}
