package actor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrTimeout is the error of an Answer that did not come in time.
var ErrTimeout = errors.New("no answer in time")

var errNoTransport = errors.New("this node has no connection to others")

// question is an Ask that waits for its answer.
type question struct {
	id    AskID
	link  *Link
	timer *time.Timer // posts a timeoutMail for id
}

// Ask implements Context. The link tells if the answer can't come any more.
func (c *cell) Ask(to PID, m any, timeout time.Duration) AskID {
	l := c.linkTo(to)
	if l.asks == 0 && !l.user {
		c.extra.idleLinks--
	}
	l.asks++
	x := c.extra
	x.lastAsk++
	id := x.lastAsk
	if x.asks == nil {
		x.asks = make(map[AskID]*question)
	}
	x.asks[id] = c.newQuestion(id, l, timeout)
	c.sys.send(to, envelope{message: m, from: &c.source, ask: id}, c)
	return id
}

// newQuestion makes a question, or uses the one again that was answered last.
func (c *cell) newQuestion(id AskID, l *Link, timeout time.Duration) *question {
	if q := c.extra.spare; q != nil {
		c.extra.spare = nil
		q.id, q.link = id, l
		q.timer.Reset(timeout)
		return q
	}
	q := &question{id: id, link: l}
	q.timer = time.AfterFunc(timeout, func() { c.box.post(envelope{kind: timeoutMail, ask: q.id}) })
	return q
}

// answerArrived handles an answer, or the reason why there is none; one that comes too late is a dead letter.
func (c *cell) answerArrived(e envelope) {
	var q *question
	if c.extra != nil {
		q = c.extra.asks[e.ask]
	}
	if q == nil {
		if e.kind == answerMail {
			c.sys.lost(c.source.PID, e, NoSuchActor, errLate)
		}
		return
	}
	asked := q.link.Target
	c.closeAsk(e.ask, q)
	switch e.kind {
	case answerMail:
		c.hand(Answer{ID: e.ask, From: e.from.pid(), Message: e.message}, e.from, 0)
	case failureMail:
		c.hand(Answer{ID: e.ask, From: asked, Err: e.message.(*ExitError)}, nil, 0)
	case timeoutMail:
		c.hand(Answer{ID: e.ask, From: asked, Err: ErrTimeout}, nil, 0)
	}
}

var errLate = errors.New("the question is over")

// closeAsk forgets a question, and its link if nobody else needs it.
func (c *cell) closeAsk(id AskID, q *question) {
	l := q.link
	if q.timer.Stop() { // else it may be about to look at the question
		q.link, c.extra.spare = nil, q
	}
	delete(c.extra.asks, id)
	l.asks--
	if l.asks > 0 || l.user || c.extra.links[l.Target.key()] != l {
		return
	}
	if c.extra.idleLinks >= askLinksKept {
		c.dropLink(l)
		return
	}
	c.extra.idleLinks++
}

// failAsks answers all questions that are open over a link that has ended, oldest first.
func (c *cell) failAsks(l *Link, err *ExitError) {
	var open []AskID
	for id, q := range c.extra.asks {
		if q.link == l {
			open = append(open, id)
		}
	}
	slices.Sort(open)
	for _, id := range open {
		c.closeAsk(id, c.extra.asks[id])
	}
	for _, id := range open {
		c.hand(Answer{ID: id, From: l.Target, Err: err}, nil, 0)
	}
}

// inquiry is a question from outside of actors. It stands in the directory for as long as it waits.
type inquiry struct {
	source Source
	once   sync.Once
	answer chan Answer
}

func (q *inquiry) answered(e envelope) {
	switch e.kind {
	case answerMail:
		q.settle(Answer{ID: e.ask, From: e.from.pid(), Message: e.message})
	case failureMail:
		q.settle(Answer{ID: e.ask, Err: e.message.(*ExitError)})
	}
}

func (q *inquiry) linkEnded(l *Link, reason Reason, err error) {
	q.settle(Answer{Err: &ExitError{PID: l.Target, Reason: reason, Err: err}})
}

func (q *inquiry) settle(a Answer) { q.once.Do(func() { q.answer <- a }) }

// Ask asks from outside of actors, and waits for the answer until ctx ends. The error is ctx's, or an *ExitError.
func (s *System) Ask(ctx context.Context, to PID, m any) (any, error) {
	name := fmt.Sprintf("ask#%d", s.serial.Add(1))
	q := &inquiry{source: Source{PID: s.pidOf(name), Role: s.role}, answer: make(chan Answer, 1)}
	s.directory.Store(name, q)
	defer s.directory.Delete(name)
	l := &Link{Target: to, owner: q}
	s.attach(l)
	defer s.detach(l)
	s.send(to, envelope{message: m, from: &q.source, ask: 1}, nil)
	select {
	case a := <-q.answer:
		return a.Message, a.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
