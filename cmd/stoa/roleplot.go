package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// Bounds of what `stoa role plot` records.
const (
	minPlotInterval = 50 * time.Millisecond
	maxPlotSamples  = 10_000
)

// shareSample is what each role used at a time, as a share of all that there is of the resource.
type shareSample struct {
	at     time.Duration // since the first
	shares map[string]float64
}

type plotFlags struct {
	operatorFlags
	resource      string
	length, every time.Duration
}

func newRolePlot(std stdio) *cobra.Command {
	var flags plotFlags
	command := &cobra.Command{
		Use:   "plot FILE",
		Short: "Record what the roles use, and draw it: shares over time, as SVG",
		Long: `Asks the master again and again what the frameworks of each role use, for --for or until Ctrl-C, and then
draws the shares over time into FILE, as SVG.`,
		Example: `  stoa role plot shares.svg
  stoa role plot shares.svg --for 1m --every 250ms --resource mem`,
		Args: oneArg("file"),
		RunE: func(command *cobra.Command, args []string) error {
			return plotShares(command.Context(), std, &flags, args[0])
		},
	}
	flags.operatorFlags.add(command.Flags())
	_ = command.Flags().MarkHidden("json")
	command.Flags().StringVar(&flags.resource, "resource", "cpus", "`NAME` of the resource: cpus, mem, disk or gpus")
	command.Flags().DurationVar(&flags.length, "for", 0, "how long to record (default: until Ctrl-C)")
	command.Flags().DurationVar(&flags.every, "every", 250*time.Millisecond, "time between two looks")
	return withSettings(command)
}

func plotShares(ctx context.Context, std stdio, flags *plotFlags, file string) error {
	if flags.every < minPlotInterval {
		return usageError("--every %v: allowed is %v or more", flags.every, minPlotInterval)
	}
	if flags.length < 0 || flags.length/flags.every > maxPlotSamples {
		return usageError("--for %v: that is more than the %d looks, one each %v, that are allowed", flags.length, maxPlotSamples, flags.every)
	}
	if flags.length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, flags.length)
		defer cancel()
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	samples, err := flags.record(ctx, std.err)
	if len(samples) > 0 {
		drawShares(out, flags.resource, samples)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%s has %s of %s\n", file, plural(len(samples), "look"), strings.Join(plotRoles(samples), ", "))
	return nil
}

// record looks until ctx ends. A look that the master does not answer is told, and left out.
func (f *plotFlags) record(ctx context.Context, complaints io.Writer) ([]shareSample, error) {
	var samples []shareSample
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	began := time.Now()
	for len(samples) < maxPlotSamples {
		at := time.Since(began)
		answers, err := f.ask(ctx, masterpb.Call_GET_ROLES, masterpb.Call_GET_AGENTS)
		switch {
		case ctx.Err() != nil:
			return samples, nil
		case err != nil && len(samples) == 0:
			return nil, err
		case err != nil:
			fmt.Fprintln(complaints, err)
		default:
			samples = append(samples, shareSample{at, shares(f.resource, answers[0].GetGetRoles(), answers[1].GetGetAgents())})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return samples, nil
		}
	}
	return samples, nil
}

// shares is what frameworks of each role use, in parts of all.
func shares(resource string, roles *masterpb.Response_GetRoles, slaves *masterpb.Response_GetAgents) map[string]float64 {
	sum := func(resources []*mesos.Resource) (n float64) {
		for _, r := range resources {
			if r.GetName() == resource {
				n += r.GetScalar().GetValue()
			}
		}
		return n
	}
	all := 0.0
	for _, s := range slaves.GetAgents() {
		all += sum(s.GetTotalResources())
	}
	found := map[string]float64{}
	for _, r := range roles.GetRoles() {
		if all > 0 && (len(r.GetFrameworks()) > 0 || sum(r.GetResources()) > 0) {
			found[r.GetName()] = sum(r.GetResources()) / all
		}
	}
	return found
}

// plotRoles are the roles that used anything, sorted.
func plotRoles(samples []shareSample) []string {
	used := map[string]bool{}
	for _, s := range samples {
		for role, share := range s.shares {
			if share > 0 {
				used[role] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(used))
}

// The picture of shares, in its own units.
const (
	plotWidth, plotHeight = 860, 320
	plotLeft, plotTop     = 50, 40
	plotInner             = plotWidth - plotLeft - 20
	plotTall              = plotHeight - plotTop - 40
)

// plotColors are those of the roles, in order, over and over.
var plotColors = []string{"#3572c6", "#d9822b", "#2f9468", "#a5479b", "#c23b3b", "#6b7686"}

// drawShares draws the samples as areas that lie on each other: as high as the cluster, where it is full.
func drawShares(w io.Writer, resource string, samples []shareSample) {
	roles := plotRoles(samples)
	last := max(samples[len(samples)-1].at, time.Second)
	x := func(at time.Duration) float64 { return plotLeft + plotInner*at.Seconds()/last.Seconds() }
	y := func(share float64) float64 { return plotTop + plotTall*(1-min(share, 1)) }
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(w, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	below := make([]float64, len(samples))
	for i, role := range roles {
		color := plotColors[i%len(plotColors)]
		var there, back []string
		for j, s := range samples {
			until := last
			if j+1 < len(samples) {
				until = samples[j+1].at
			}
			top := below[j] + s.shares[role]
			there = append(there, fmt.Sprintf("%.1f,%.1f %.1f,%.1f", x(s.at), y(top), x(until), y(top)))
			back = append(back, fmt.Sprintf("%.1f,%.1f %.1f,%.1f", x(until), y(below[j]), x(s.at), y(below[j])))
			below[j] = top
		}
		slices.Reverse(back)
		fmt.Fprintf(w, `<polygon fill="%s" points="%s"/>`+"\n", color, strings.Join(slices.Concat(there, back), " "))
		fmt.Fprintf(w, `<rect x="%d" y="12" width="12" height="12" fill="%s"/><text x="%d" y="22">%s</text>`+"\n",
			plotLeft+i*150, color, plotLeft+i*150+18, html.EscapeString(cmp.Or(role, "*")))
	}
	for share := 0.0; share <= 1; share += 0.25 {
		fmt.Fprintf(w, `<path d="M%d %.1fH%d" stroke="#0002"/><text x="%d" y="%.1f" text-anchor="end">%.0f %%</text>`+"\n",
			plotLeft, y(share), plotLeft+plotInner, plotLeft-6, y(share)+4, 100*share)
	}
	for i := range 9 {
		at := last * time.Duration(i) / 8
		fmt.Fprintf(w, `<text x="%.1f" y="%d" text-anchor="middle">%.0f s</text>`+"\n", x(at), plotTop+plotTall+18, at.Seconds())
	}
	fmt.Fprintf(w, `<text x="%d" y="%d" text-anchor="middle">%s of the cluster, by role</text>`+"\n</svg>\n", plotLeft+plotInner/2, plotHeight-6, html.EscapeString(resource))
}
