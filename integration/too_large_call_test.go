package integration_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/integration"
)

// loud says more in its first session than fits into a message.
type loud struct {
	scheduler.Base
	told  string
	again bool
}

func (l *loud) Subscribed(d *scheduler.Driver, _ string, again bool) {
	if l.again = again; again {
		d.Teardown(nil)
		return
	}
	d.Message("no slave", "no executor", make([]byte, 70<<20))
}

func (l *loud) Disconnected(_ *scheduler.Driver, err error) { l.told = err.Error() }

func TestACallThatIsTooLargeIsToldAndItsFrameworkComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := integration.New(t)
		l := &loud{}
		if err := scheduler.Run(context.Background(), c.Scheduler("loud"), l); err != nil {
			t.Error(err)
		}
		if !l.again || !strings.Contains(l.told, "at most 67108864 bytes are allowed") {
			t.Errorf("it came back: %v; it was told %q", l.again, l.told)
		}
	})
}
