package api

import (
	"net/http"
	"time"

	"github.com/stoa-project/stoa/slave/core"
)

// plan is what the slave will do with the sandboxes of executors that have ended, as the answer of /gc.
type plan struct {
	DelaySeconds  float64       `json:"gc_delay_seconds"`
	DiskHeadroom  float64       `json:"gc_disk_headroom"`
	DiskUse       *float64      `json:"disk_use,omitempty"` // absent before the first look
	MaxAgeSeconds float64       `json:"max_age_seconds"`
	Sandboxes     []planSandbox `json:"sandboxes"` // the next to go first
}

type planSandbox struct {
	Directory string    `json:"directory"`
	Ended     time.Time `json:"ended"`
	Removed   time.Time `json:"removed"` // if the disk stays as full as it is
}

func planOf(c core.Collection) plan {
	age := c.MaxAge()
	p := plan{DelaySeconds: c.Delay.Seconds(), DiskHeadroom: c.Headroom, MaxAgeSeconds: age.Seconds(), Sandboxes: []planSandbox{}}
	if c.Measured {
		p.DiskUse = &c.Use
	}
	for _, g := range c.Sandboxes {
		p.Sandboxes = append(p.Sandboxes, planSandbox{Directory: g.Directory, Ended: g.Since.UTC(), Removed: g.Since.Add(age).UTC()})
	}
	return p
}

// gc answers with the plan.
func gc(view func() *core.View) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		v := view()
		if v == nil {
			return &failure{http.StatusServiceUnavailable, "the slave has not begun yet"}
		}
		writeJSON(w, planOf(v.GC))
		return nil
	}
}
