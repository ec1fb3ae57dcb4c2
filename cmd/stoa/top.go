package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// minTopInterval is the shortest time between two looks of `stoa top` at a master.
const minTopInterval = 100 * time.Millisecond

type topFlags struct {
	operatorFlags
	once     bool
	interval time.Duration
	order    string
}

func newTop(std stdio) *cobra.Command {
	var flags topFlags
	command := &cobra.Command{
		Use:     "top",
		GroupID: groupLook,
		Short:   "Watch the cluster: roles' shares, nodes, tasks and rates",
		Long: `Shows, again and again, what each role holds of the cluster against what would be fair, what is used on
each node, how many tasks there are, and how many offers, launches and updates per second.
When the master goes, top says so and waits for it.

Keys: s sorts by use or by name, q or Ctrl-C ends.`,
		Example: `  stoa top
  stoa top --interval 5s --sort name
  stoa top --once
  stoa top --json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error { return runTop(command.Context(), std, &flags) },
	}
	f := command.Flags()
	flags.add(f)
	f.BoolVar(&flags.once, "once", false, "print it once, of one interval")
	f.DurationVar(&flags.interval, "interval", time.Second, "time between two looks")
	f.StringVar(&flags.order, "sort", topOrders[0], "`ORDER` of roles and nodes: use or name")
	return withSettings(command)
}

func runTop(ctx context.Context, std stdio, flags *topFlags) error {
	if flags.interval < minTopInterval {
		return usageError("--interval %v: it must be at least %v", flags.interval, minTopInterval)
	}
	if flags.order != topOrders[0] && flags.order != topOrders[1] {
		return usageError("--sort %q: allowed are use and name", flags.order)
	}
	if flags.once || flags.json {
		return topOnce(ctx, std, flags)
	}
	if !isTerminal(std.out) {
		return usageError("stoa top needs a terminal to draw on; --once and --json need none")
	}
	program := tea.NewProgram(&topModel{ctx: ctx, flags: flags, note: "asking the master at " + flags.master}, tea.WithContext(ctx), tea.WithInput(std.in), tea.WithOutput(std.out), tea.WithoutSignalHandler())
	if _, err := program.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("top: %w", err)
	}
	return nil
}

// topOnce prints what there is, with the rates of one interval.
func topOnce(ctx context.Context, std stdio, flags *topFlags) error {
	first, err := flags.look(ctx, nil)
	if err != nil {
		return err
	}
	select {
	case <-time.After(flags.interval):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	sample, err := flags.look(ctx, first)
	if err != nil {
		return err
	}
	sample.sortBy(flags.order)
	if flags.json {
		encoder := json.NewEncoder(std.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(sample)
	}
	for _, line := range sample.lines(flags.master) {
		if _, err := fmt.Fprintln(std.out, line); err != nil {
			return err
		}
	}
	return nil
}

// look asks the master for all that is shown.
func (f *topFlags) look(ctx context.Context, before *topSample) (*topSample, error) {
	answers, err := f.ask(ctx, topCalls...)
	if err != nil {
		return nil, err
	}
	return newTopSample(time.Now(), answers, before), nil
}

// topModel is the screen's state.
type topModel struct {
	ctx           context.Context
	flags         *topFlags
	sample        *topSample // nil: the master has not answered yet
	note          string     // what is wrong; empty: nothing
	width, height int
}

type (
	topLooked struct {
		answers []*masterpb.Response
		at      time.Time
		err     error
	}
	topAgain struct{}
)

// Init implements tea.Model.
func (m *topModel) Init() tea.Cmd { return m.ask }

func (m *topModel) ask() tea.Msg {
	answers, err := m.flags.ask(m.ctx, topCalls...)
	return topLooked{answers, time.Now(), err}
}

// Update implements tea.Model.
func (m *topModel) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch e := message.(type) {
	case tea.KeyPressMsg:
		switch e.String() {
		case "q", "ctrl+c", "esc":
			return m, tea.Quit
		case "s":
			m.flags.order = topOrders[1-slices.Index(topOrders, m.flags.order)]
			m.sort()
		}
	case tea.WindowSizeMsg:
		m.width, m.height = e.Width, e.Height
	case topLooked:
		if e.err != nil {
			m.note = e.err.Error() + "; trying again"
		} else {
			m.sample, m.note = newTopSample(e.at, e.answers, m.sample), ""
			m.sort()
		}
		return m, tea.Tick(m.flags.interval, func(time.Time) tea.Msg { return topAgain{} })
	case topAgain:
		return m, m.ask
	}
	return m, nil
}

func (m *topModel) sort() {
	if m.sample != nil {
		m.sample.sortBy(m.flags.order)
	}
}

// View implements tea.Model.
func (m *topModel) View() tea.View {
	sample := m.sample
	if sample == nil {
		sample = &topSample{At: time.Now()}
	}
	view := tea.NewView(sample.screen(m.flags.master, m.note, "s sort (by "+m.flags.order+")  q quit", m.width, m.height))
	view.AltScreen = true
	return view
}
