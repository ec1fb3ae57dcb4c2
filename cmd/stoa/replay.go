package main

import (
	"bufio"
	"errors"
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
It ends with status 1 at the first event that leads to something else, or that ends the master, and shows
what that event leads to now. A file that was cut is replayed as far as it goes; what is damaged, or no
recording, is an error that names the byte.`,
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
	var difference *recording.Difference
	if errors.As(err, &difference) {
		fmt.Fprintf(std.err, "Event %d leads to other things than it did. Now they are:\n", difference.Number)
		showOutputs(std, difference.Outputs)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	begins, length, cut := r.Cut()
	switch {
	case cut && steps == 0:
		return fmt.Errorf("%s holds no whole event: it ends after %d bytes of what begins at byte %d", name, length, begins)
	case cut:
		fmt.Fprintf(std.err, "%s has been cut: it ends after %d bytes of the entry that begins at byte %d, which is left out.\n", name, length, begins)
	case steps == 0:
		_, err = fmt.Fprintf(std.out, "%s holds no events.\n", name)
		return err
	}
	_, err = fmt.Fprintf(std.out, "%d events from %s to %s, all with the same outputs. The last one: %s.\n", steps, stamp(first.Now), stamp(last.Now), recording.Name(last.Event))
	return err
}

// maxShownOutputs is how many outputs are shown of an event that leads to something else.
const maxShownOutputs = 20

// showOutputs says what an event leads to now, without secrets.
func showOutputs(std stdio, outputs []core.Output) {
	for i, output := range outputs {
		if i == maxShownOutputs {
			fmt.Fprintf(std.err, "  and %d more\n", len(outputs)-i)
			break
		}
		switch o := output.(type) {
		case core.Send:
			fmt.Fprintf(std.err, "  to session %d: %s\n", o.Session, describeMessage(o.Message))
		case core.Reply:
			fmt.Fprintf(std.err, "  to the operator: %s\n", describeMessage(o.Message))
		case core.Show:
			fmt.Fprintf(std.err, "  to the operator: what there is, for %v\n", o.Call.GetType())
		case core.Persist:
			fmt.Fprintf(std.err, "  change %d: %v\n", o.ID, o.Change)
		case core.CloseSession:
			fmt.Fprintf(std.err, "  session %d is closed: %s\n", o.Session, o.Reason)
		case core.Note:
			fmt.Fprintf(std.err, "  log: %s\n", o.Text)
		default:
			fmt.Fprintf(std.err, "  %T\n", o)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
