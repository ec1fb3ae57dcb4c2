package core

import (
	"testing"
	"time"
)

func TestHowLongASandboxIsKept(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for name, test := range map[string]struct {
		c    Collection
		want time.Duration
	}{
		"nobody has looked at the disk":  {Collection{Delay: week, Headroom: 0.1, Use: 0.5}, week},
		"the disk is empty":              {Collection{Delay: week, Headroom: 0.1, Measured: true}, week * 9 / 10},
		"no headroom is wanted":          {Collection{Delay: week, Measured: true}, week},
		"less than a minute is wanted":   {Collection{Delay: time.Second, Measured: true, Use: 0.99}, time.Second},
		"half of it is in use":           {Collection{Delay: week, Headroom: 0.1, Measured: true, Use: 0.5}, week * 4 / 10},
		"it is as full as it should be":  {Collection{Delay: week, Headroom: 0.25, Measured: true, Use: 0.75}, MinSandboxAge},
		"it is fuller than it should be": {Collection{Delay: week, Headroom: 0.1, Measured: true, Use: 0.99}, MinSandboxAge},
	} {
		if got := test.c.MaxAge(); (got - test.want).Abs() > time.Second {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestTheOldestSandboxesAreDueFirst(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	c := Collection{Delay: time.Hour}
	for _, age := range []time.Duration{3 * time.Hour, time.Hour, 59 * time.Minute, 0} {
		c.Sandboxes = append(c.Sandboxes, Garbage{Since: now.Add(-age)})
	}
	if got := c.Due(now); got != 2 {
		t.Errorf("got %d, want those of an hour and more: 2", got)
	}
	if got := (Collection{Delay: time.Hour}).Due(now); got != 0 {
		t.Errorf("of none: got %d", got)
	}
	c.Sandboxes = make([]Garbage, MaxSandboxes+5)
	for i := range c.Sandboxes {
		c.Sandboxes[i].Since = now
	}
	if got := c.Due(now); got != 5 {
		t.Errorf("of too many: got %d, want 5", got)
	}
}
