package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop"
)

const (
	// progressTenths is in how many steps progress is told where nobody watches a live line.
	progressTenths = 10
	// progressPatience is how long a job stands still before that, and why, is worth a line there.
	progressPatience = 2 * time.Second
)

// progress shows how a job goes on: on a terminal one line that changes, elsewhere a line for each change of phase and for
// each tenth.
type progress struct {
	mutex sync.Mutex
	w     io.Writer
	live  bool
	drawn int // width of the live line that stands on the terminal

	phase   hadoop.Phase
	tenth   int
	waiting string        // the reason that was told last
	told    time.Duration // when the last line was, since the job's start
}

func newProgress(w io.Writer) *progress { return &progress{w: w, live: isTerminal(w)} }

func (p *progress) show(g hadoop.Progress) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.live {
		p.draw(describeProgress(g))
		return
	}
	tenth := tenthOf(g)
	stuck := g.Waiting != "" && g.Waiting != p.waiting && g.Elapsed-p.told >= progressPatience
	if g.Phase == p.phase && tenth <= p.tenth && !stuck {
		return
	}
	if stuck {
		p.waiting = g.Waiting
	} else {
		g.Waiting = ""
	}
	p.phase, p.tenth, p.told = g.Phase, tenth, g.Elapsed
	fmt.Fprintln(p.w, describeProgress(g))
}

// tell shows a line that stays.
func (p *progress) tell(line string) {
	p.end()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	fmt.Fprintln(p.w, line)
}

// draw replaces the live line.
func (p *progress) draw(line string) {
	pad := max(0, p.drawn-len(line))
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", pad))
	p.drawn = len(line)
}

// end leaves the terminal at the start of a fresh line.
func (p *progress) end() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.live && p.drawn > 0 {
		p.draw("")
		fmt.Fprint(p.w, "\r")
		p.drawn = 0
	}
}

// tenthOf is how far the phase has come, in tenths.
func tenthOf(g hadoop.Progress) int {
	done, all := g.MapsDone, g.Maps
	if g.Phase == hadoop.Reducing || g.Phase == hadoop.Committing {
		done, all = g.ReducesDone, g.Reduces
	}
	if all == 0 {
		return 0
	}
	return done * progressTenths / all
}

func describeProgress(g hadoop.Progress) string {
	line := fmt.Sprintf("%5.1f s  %-8s  maps %d/%d  reduces %d/%d  %s", g.Elapsed.Seconds(), g.Phase, g.MapsDone, g.Maps, g.ReducesDone, g.Reduces, megabytes(g.InputBytesDone))
	if running := g.MapsRunning + g.ReducesRunning; running > 0 {
		line += fmt.Sprintf("  running %d", running)
	}
	if g.FailedAttempts > 0 {
		line += fmt.Sprintf("  failed %d", g.FailedAttempts)
	}
	if g.LostAttempts > 0 {
		line += fmt.Sprintf("  lost %d", g.LostAttempts)
	}
	if g.Waiting != "" {
		line += "  waiting: " + g.Waiting
	}
	return line
}
