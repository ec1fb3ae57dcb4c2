package main

import (
	"math"
	"testing"
	"time"

	"github.com/stoa-project/stoa/slave/core"
)

func TestASlaveThatIsStoppedWaitsForItsExecutors(t *testing.T) {
	for name, test := range map[string]struct {
		view *core.View
		want time.Duration
	}{
		"it has not begun":                   {nil, 5 * time.Second},
		"nothing runs":                       {&core.View{}, 5 * time.Second},
		"one may take its time":              {&core.View{Grace: 15 * time.Second}, 20 * time.Second},
		"one may take as long as time lasts": {&core.View{Grace: math.MaxInt64}, 10*time.Minute + 5*time.Second},
	} {
		if got := shutdownTimeout(test.view); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
