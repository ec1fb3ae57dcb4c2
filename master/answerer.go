package master

import (
	"runtime"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// restShare bounds what lists for readers take from the rest of the master: after some work on them the answerer rests
// for so many times as long.
const restShare = 3

// answerer is the actor that answers whoever asks the master what is. The master hands it a view and goes on; what takes
// time, to make the answer and to encode it, takes it here, in pieces between which others get their turn. Those who ask
// the same while an answer is in the making, or while the answerer rests, share the next one, so that many readers cost
// hardly more than one.
type answerer struct {
	maker   core.Reader
	waiting []read
	rested  time.Time // from when on lists may be made again
}

type (
	// read is a question, and the view as it was when it came.
	read struct {
		asked actor.Asked
		show  core.Show
	}
	// answerAll has what waits answered. It stands behind all questions that have come by then.
	answerAll struct{}
)

func newAnswerer() actor.Actor {
	return &answerer{maker: core.Reader{Pause: runtime.Gosched}}
}

// Receive handles one message.
func (r *answerer) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case read:
		r.read(ctx, m)
	case answerAll:
		r.answer(ctx)
	}
}

// read answers what takes no time at once, and lets lists wait for others that want the same.
func (r *answerer) read(ctx actor.Context, m read) {
	if kind := m.show.Call.GetType(); !core.IsList(kind) {
		ctx.ReplyTo(m.asked, m.show.View.Answer(kind))
		return
	}
	r.waiting = append(r.waiting, m)
	if len(r.waiting) > 1 {
		return
	}
	if rest := r.rested.Sub(ctx.Now()); rest > 0 {
		ctx.After(rest, answerAll{})
	} else {
		ctx.Send(ctx.Self(), answerAll{})
	}
}

// answer answers all that wait from the latest view that any of them came with: it is none's past.
func (r *answerer) answer(ctx actor.Context) {
	begin := ctx.Now()
	latest := r.waiting[len(r.waiting)-1].show.View
	together := map[masterpb.Call_Type][]actor.Asked{}
	var order []masterpb.Call_Type
	for _, m := range r.waiting {
		kind := m.show.Call.GetType()
		if together[kind] == nil {
			order = append(order, kind)
		}
		together[kind] = append(together[kind], m.asked)
	}
	r.waiting = nil
	for _, kind := range order {
		r.tell(ctx, together[kind], latest, kind)
	}
	end := ctx.Now()
	r.rested = end.Add(restShare * end.Sub(begin))
}

// tell gives all who ask the same answer: those of other nodes the same bytes.
func (r *answerer) tell(ctx actor.Context, all []actor.Asked, view *core.View, kind masterpb.Call_Type) {
	encoded := remote.Encoded{Message: &masterpb.Response{}}
	for _, asked := range all {
		switch {
		case asked.From().Node == ctx.Self().Node:
			ctx.ReplyTo(asked, view.Answer(kind))
		case encoded.Parts == nil:
			encoded.Parts = r.maker.Encode(view, kind)
			fallthrough
		default:
			ctx.ReplyTo(asked, encoded)
		}
	}
}
