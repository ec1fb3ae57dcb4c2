package main

import (
	"bufio"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/master/core"
	"github.com/stoa-project/stoa/master/recording"
	"github.com/stoa-project/stoa/proto/wire"
)

func newReplay(std stdio) *cobra.Command {
	var events bool
	command := &cobra.Command{
		Use:     "replay FILE",
		GroupID: groupDaemon,
		Short:   "Let happen again what 'stoa master --record' wrote down",
		Long: `Feeds a recording of a master to a fresh one that talks to nobody, and compares what it decides.
It ends with status 1 at the first event that leads to something else, or that ends the master.`,
		Example: `  stoa replay master.rec
  stoa replay --events master.rec`,
		Args: oneArg("recording"),
		RunE: func(_ *cobra.Command, args []string) error { return replay(std, args[0], events) },
	}
	command.Flags().BoolVar(&events, "events", false, "print each event, and how many outputs it led to")
	return withSettings(command)
}

func replay(std stdio, name string, events bool) (err error) {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	r, err := recording.NewReader(bufio.NewReaderSize(file, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if r.Version != wire.Version {
		fmt.Fprintf(std.err, "%s was recorded by Stoa %s; this is %s, which may decide otherwise.\n", name, r.Version, wire.Version)
	}
	var first, last recording.Step
	at := 0
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("event %d (%s at %s) ends the master: %v", at, recording.Name(last.Event), stamp(last.Now), fault)
		}
	}()
	before := func(number int, step recording.Step) {
		if number == 1 {
			first = step
		}
		at, last = number, step
	}
	after := func(number int, step recording.Step, outputs []core.Output) {
		if events {
			fmt.Fprintf(std.out, "%d %s %s: %d outputs\n", number, stamp(step.Now), recording.Name(step.Event), len(outputs))
		}
	}
	steps, err := recording.Replay(r, before, after)
	if err != nil {
		return err
	}
	if steps == 0 {
		_, err = fmt.Fprintf(std.out, "%s holds no events.\n", name)
		return err
	}
	_, err = fmt.Fprintf(std.out, "%d events from %s to %s, all with the same outputs. The last one: %s.\n", steps, stamp(first.Now), stamp(last.Now), recording.Name(last.Event))
	return err
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
