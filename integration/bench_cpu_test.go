package integration_test

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/mesos"
)

// plotEnv names the file into which BenchmarkProcessor draws what it has measured, as SVG; docs/containers.md shows one.
const plotEnv = "STOA_TEST_PLOT"

// How exactly processors are divided: two busy tasks with shares of 1 and 3, each of which could fill the machine alone, and
// then one with a ceiling of half a processor.
func BenchmarkProcessor(b *testing.B) {
	const lasting, every = 12 * time.Second, 250 * time.Millisecond
	needsRoot(b)
	g := newGround(b)
	c := g.local("--slaves", "1", "--isolation", "libcontainer", "--resources", manyResources)
	p := newPace(b, c, 16)
	slave := c.slaveClient(b)
	defer slave.Close()
	small, large, capped := busyTask("one", 1), busyTask("three", 3), busyTask("half", 0.5)
	unlimited := func(*mesos.TaskInfo) {}
	toItsCPUs := func(t *mesos.TaskInfo) {
		t.Limits = map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(capped.CPUs)}}
	}
	for range b.N {
		shared := p.busy(b, slave, lasting, every, unlimited, small, large)
		limited := p.busy(b, slave, lasting, every, toItsCPUs, capped)
		ratio := shared[large.ID].rate() / shared[small.ID].rate()
		ceiling := limited[capped.ID].rate()
		b.ReportMetric(ratio, "share-ratio")
		b.ReportMetric(100*math.Abs(ratio/3-1), "share-%off")
		b.ReportMetric(ceiling, "limited-cpus")
		b.ReportMetric(100*math.Abs(ceiling/capped.CPUs-1), "limit-%off")
		b.Logf("shares of 1:3 come out as 1:%.3f, a limit of %v cpus as %.4f cpus, over %v", ratio, capped.CPUs, ceiling, lasting)
		if file := os.Getenv(plotEnv); file != "" {
			picture := drawUsage([]usageLine{
				{"cpus 1, beside cpus 3", shared[small.ID]}, {"cpus 3, beside cpus 1", shared[large.ID]}, {"limited to 0.5 cpus, alone", limited[capped.ID]},
			})
			if err := os.WriteFile(file, []byte(picture), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	c.interrupt()
}

// busyTask has a process that never rests for every processor of the machine.
func busyTask(id string, cpus float64) scheduler.Task {
	line := strings.Repeat("while :; do :; done & ", runtime.NumCPU()) + "wait"
	return scheduler.Task{ID: id, Name: id, Args: []string{"/bin/sh", "-c", line}, CPUs: cpus, Mem: 32}
}

// processorTime is what a task has used of processors, look by look.
type processorTime struct {
	at, seconds []float64 // since the first look
}

// rate is processors on average.
func (u *processorTime) rate() float64 { last := len(u.at) - 1; return u.seconds[last] / u.at[last] }

// busy runs tasks together, changed before, looks at what they use and ends them.
func (p pace) busy(b *testing.B, slave *client.Client, duration, every time.Duration, change func(*mesos.TaskInfo), tasks ...scheduler.Task) map[string]*processorTime {
	b.Helper()
	p.launchAs(b, change, tasks...)
	p.hear(b, len(tasks), isRunning)
	found := map[string]*processorTime{}
	first := map[string][2]float64{}
	look := func() {
		all, err := slave.Statistics(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, one := range all.GetContainers() {
			if len(one.GetTaskIds()) == 0 {
				continue
			}
			id, s := one.GetTaskIds()[0].GetValue(), one.GetStatistics()
			at, seconds := s.GetTimestamp(), s.GetCpusUserTimeSecs()+s.GetCpusSystemTimeSecs()
			if found[id] == nil {
				found[id], first[id] = &processorTime{}, [2]float64{at, seconds}
			}
			found[id].at = append(found[id].at, at-first[id][0])
			found[id].seconds = append(found[id].seconds, seconds-first[id][1])
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(duration); time.Now().Before(end); {
		look()
		<-tick.C // that is what is measured
	}
	p.do(func(d *scheduler.Driver) {
		for _, t := range tasks {
			d.Kill(t.ID, 0)
		}
	})
	p.hear(b, len(tasks), isEnd)
	for _, t := range tasks {
		if found[t.ID] == nil || len(found[t.ID].at) < 2 {
			b.Fatalf("of task %s nothing was measured", t.ID)
		}
	}
	return found
}

// usageLine is one task's line in the picture.
type usageLine struct {
	name string
	of   *processorTime
}

// drawUsage draws how many processors each task has between two looks, and on average.
func drawUsage(lines []usageLine) string {
	const width, height, left, top, inner, tall = 860, 320, 50, 40, 790, 240
	colors := []string{"#3572c6", "#d9822b", "#2f9468"}
	seconds, cpus := 0.0, float64(runtime.NumCPU())
	for _, line := range lines {
		seconds = max(seconds, line.of.at[len(line.of.at)-1])
	}
	x := func(at float64) float64 { return left + inner*at/seconds }
	y := func(rate float64) float64 { return top + tall*(1-min(rate/cpus, 1)) }
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&svg, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	for i := 0.0; i <= cpus; i += 0.5 {
		fmt.Fprintf(&svg, `<path d="M%d %.1fH%d" stroke="#0002"/><text x="%d" y="%.1f" text-anchor="end">%.1f</text>`+"\n", left, y(i), left+inner, left-6, y(i)+4, i)
	}
	for i, line := range lines {
		var points []string
		for j := 1; j < len(line.of.at); j++ {
			rate := (line.of.seconds[j] - line.of.seconds[j-1]) / (line.of.at[j] - line.of.at[j-1])
			points = append(points, fmt.Sprintf("%.1f,%.1f %.1f,%.1f", x(line.of.at[j-1]), y(rate), x(line.of.at[j]), y(rate)))
		}
		fmt.Fprintf(&svg, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", colors[i], strings.Join(points, " "))
		fmt.Fprintf(&svg, `<rect x="%d" y="12" width="12" height="12" fill="%s"/><text x="%d" y="22">%s: %.3f</text>`+"\n", left+i*260, colors[i], left+i*260+18, line.name, line.of.rate())
	}
	for at := 0.0; at <= seconds; at += 2 {
		fmt.Fprintf(&svg, `<text x="%.1f" y="%d" text-anchor="middle">%.0f s</text>`+"\n", x(at), top+tall+18, at)
	}
	fmt.Fprintf(&svg, `<text x="%d" y="%d" text-anchor="middle">processors that a task has, of %.0f</text>`+"\n</svg>\n", left+inner/2, height-6, cpus)
	return svg.String()
}
