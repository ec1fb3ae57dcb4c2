package scheduler_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/frameworks/scheduler/schedulertest"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// leaver says that it will leave slaves whose name begins with an l, and no others.
type leaver struct {
	scheduler.Base
	rescinded chan string
}

func (l *leaver) InverseOffers(d *scheduler.Driver, offers []*mesos.InverseOffer) {
	for _, o := range offers {
		if o.GetAgentId().GetValue()[0] == 'l' {
			d.AcceptInverse(time.Hour, o)
		} else {
			d.DeclineInverse(time.Minute, o)
		}
	}
}

func (l *leaver) InverseRescinded(_ *scheduler.Driver, id string) { l.rescinded <- id }

func TestAFrameworkIsAskedToLeaveAndAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := schedulertest.New(t)
		l := &leaver{rescinded: make(chan string, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- scheduler.Run(ctx, m.Options("leaver"), l) }()
		m.Subscription()
		inverse := func(id, slave string) *mesos.InverseOffer {
			return &mesos.InverseOffer{
				Id: mesos.NewOfferID(id), FrameworkId: mesos.NewFrameworkID(m.FrameworkID()), AgentId: mesos.NewAgentID(slave),
				Unavailability: &mesos.Unavailability{Start: &mesos.TimeInfo{Nanoseconds: proto.Int64(1)}},
			}
		}
		m.Event(&schedulerpb.Event{
			Type:          schedulerpb.Event_INVERSE_OFFERS.Enum(),
			InverseOffers: &schedulerpb.Event_InverseOffers{InverseOffers: []*mesos.InverseOffer{inverse("O1", "l1"), inverse("O2", "s1")}},
		})
		if call := m.Next(schedulerpb.Call_ACCEPT_INVERSE_OFFERS).GetAcceptInverseOffers(); call.GetInverseOfferIds()[0].GetValue() != "O1" || call.GetFilters().GetRefuseSeconds() != 3600 {
			t.Errorf("accepted %v", call)
		}
		if call := m.Next(schedulerpb.Call_DECLINE_INVERSE_OFFERS).GetDeclineInverseOffers(); call.GetInverseOfferIds()[0].GetValue() != "O2" || call.GetFilters().GetRefuseSeconds() != 60 {
			t.Errorf("declined %v", call)
		}
		m.Event(&schedulerpb.Event{
			Type:                schedulerpb.Event_RESCIND_INVERSE_OFFER.Enum(),
			RescindInverseOffer: &schedulerpb.Event_RescindInverseOffer{InverseOfferId: mesos.NewOfferID("O2")},
		})
		if id := <-l.rescinded; id != "O2" {
			t.Errorf("%s is taken back, want O2", id)
		}
		cancel()
		<-done
	})
}
