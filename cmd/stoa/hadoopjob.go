package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/frameworks/hadoop"
	"github.com/stoa-project/stoa/proto/wire"
)

// jobHelp is the text of `stoa hadoop job --help`.
const jobHelp = `Look at the jobs of a JobTracker, and end them.

Usage:
  stoa hadoop job -list
  stoa hadoop job -status JOB
  stoa hadoop job -history JOB
  stoa hadoop job -logs JOB [ATTEMPT]
  stoa hadoop job -kill JOB

Example:
  stoa hadoop job -list
  stoa hadoop job -history job-0001 --json | jq '[.attempts[].seconds] | add'

Flags (with one dash or two):
  -list                  all jobs, the newest first
  -status JOB            how far a job is; its counters when it is finished
  -history JOB           each attempt: its time, what it read and made, and why it failed
  -logs JOB [ATTEMPT]    the end of an attempt's standard error; without ATTEMPT, of those that failed or were lost
  -kill JOB              ends a job; nothing of its output is left
  -jobtracker HOST:PORT  the JobTracker (127.0.0.1:50030)
  -json                  JSON instead of text
`

// jobArgs are the arguments of `stoa hadoop job`.
type jobArgs struct {
	verb, job, attempt string
	tracker            string
	json               bool
}

func newHadoopJob(std stdio) *cobra.Command {
	command := &cobra.Command{
		Use: "job", Short: "Look at the jobs of a JobTracker, and end them", DisableFlagParsing: true,
		RunE: func(command *cobra.Command, args []string) error {
			var secured tlsFlags
			asked, err := parseJobArgs(secured.Take(args))
			if errors.Is(err, hadoop.ErrHelp) {
				fmt.Fprint(std.out, jobHelp+hadoop.TLSHelp)
				return nil
			} else if err != nil {
				return usageError("%w", err)
			}
			security, err := secured.client(wire.RoleOperator)
			if err != nil {
				return err
			}
			client, err := hadoop.NewClient(trackerAddress(asked.tracker), security)
			if err != nil {
				return usageError("%w", err)
			}
			defer client.Close()
			return asked.run(command.Context(), std.out, client)
		},
	}
	command.SetHelpFunc(func(*cobra.Command, []string) { fmt.Fprint(std.out, jobHelp+hadoop.TLSHelp) })
	return command
}

// trackerAddress is where the JobTracker is: as asked for, as in the environment, or the usual place.
func trackerAddress(asked string) string {
	if asked == "" {
		asked = os.Getenv(envPrefix + "JOBTRACKER")
	}
	if asked == "" {
		return hadoop.DefaultJobTracker
	}
	return asked
}

// parseJobArgs reads the arguments. The error is hadoop.ErrHelp, or of one line.
func parseJobArgs(args []string) (jobArgs, error) {
	var a jobArgs
	var rest []string
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		bare := strings.TrimPrefix(strings.TrimPrefix(name, "-"), "-")
		if bare == name {
			rest = append(rest, args[i])
			continue
		}
		switch bare = strings.ToLower(bare); bare {
		case "h", "help":
			return a, hadoop.ErrHelp
		case "json":
			a.json = true
		case "jobtracker", "jt":
			if !joined {
				if i++; i == len(args) {
					return a, fmt.Errorf("%s: a value is missing", name)
				}
				value = args[i]
			}
			a.tracker = value
		case "list", "status", "history", "logs", "kill":
			if a.verb != "" {
				return a, fmt.Errorf("-%s and -%s: one at a time", a.verb, bare)
			}
			a.verb = bare
			if joined {
				rest = append(rest, value)
			}
		default:
			return a, fmt.Errorf("unknown flag %s: allowed are -list, -status, -history, -logs, -kill, -jobtracker and -json", name)
		}
	}
	return a, a.take(rest)
}

// take gives the arguments that are no flags their meaning.
func (a *jobArgs) take(rest []string) error {
	least, most := 1, 1
	switch a.verb {
	case "":
		return errors.New("what to do is missing: -list, -status JOB, -history JOB, -logs JOB or -kill JOB")
	case "list":
		least, most = 0, 0
	case "logs":
		most = 2
	}
	if len(rest) < least {
		return fmt.Errorf("-%s: the job is missing; stoa hadoop job -list shows those that there are", a.verb)
	}
	if len(rest) > most {
		return fmt.Errorf("-%s: unexpected argument %q", a.verb, rest[most])
	}
	if len(rest) > 0 {
		a.job = rest[0]
	}
	if len(rest) > 1 {
		a.attempt = rest[1]
	}
	return nil
}

func (a jobArgs) run(ctx context.Context, out io.Writer, client *hadoop.Client) error {
	switch a.verb {
	case "list":
		jobs, err := client.List(ctx)
		return a.show(out, jobs, err, func() error { return listJobs(out, jobs) })
	case "status":
		job, err := client.Status(ctx, a.job)
		return a.show(out, job, err, func() error { return describeJob(out, job) })
	case "history":
		history, err := client.History(ctx, a.job)
		return a.show(out, history, err, func() error { return listAttempts(out, history) })
	case "logs":
		logs, err := client.Logs(ctx, a.job, a.attempt)
		return a.show(out, logs, err, func() error { return showLogs(out, logs) })
	default:
		return client.Kill(ctx, a.job)
	}
}

// show prints a document as JSON or for people.
func (a jobArgs) show(out io.Writer, document any, err error, people func() error) error {
	if err != nil {
		return err
	}
	if a.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(document)
	}
	return people()
}

func listJobs(out io.Writer, jobs []hadoop.JobStatus) error {
	if len(jobs) == 0 {
		_, err := fmt.Fprintln(out, "No jobs.")
		return err
	}
	var rows [][]string
	for _, j := range jobs {
		rows = append(rows, []string{
			j.ID, shortened(j.Name), j.State, j.Priority, fmt.Sprintf("%d/%d", j.MapsDone, j.Maps), fmt.Sprintf("%d/%d", j.ReducesDone, j.Reduces),
			megabytes(j.InputBytes), fmt.Sprintf("%.1f s", j.Seconds), j.Output,
		})
	}
	return table(out, []string{"JOB", "NAME", "STATE", "PRIORITY", "MAPS", "REDUCES", "INPUT", "TIME", "OUTPUT"}, rows)
}

// shownNameLetters is how much of a job's name is listed.
const shownNameLetters = 40

// shortened is a text that others have chosen, so that it leaves room for the columns beside it.
func shortened(text string) string {
	letters := []rune(text)
	if len(letters) <= shownNameLetters {
		return text
	}
	return string(letters[:shownNameLetters-1]) + "…"
}

func describeJob(out io.Writer, j hadoop.JobStatus) error {
	fmt.Fprintf(out, "%s, %s: %s\n", j.ID, printable(j.Name), j.State)
	if j.Error != "" {
		fmt.Fprintf(out, "why      %s\n", printable(j.Error))
	}
	if j.State == hadoop.StateFinished {
		printJob(out, j.Result())
		printReports(out, j.Result(), true)
		return nil
	}
	_, err := fmt.Fprintln(out, strings.TrimSpace(describeProgress(j.Progress())))
	return err
}

func listAttempts(out io.Writer, h hadoop.JobHistory) error {
	fmt.Fprintf(out, "%s, %s: %s after %.2f s\n\n", h.ID, printable(h.Name), h.State, h.Seconds)
	var rows [][]string
	for _, a := range h.Attempts {
		rows = append(rows, []string{
			a.ID, a.State, a.Slave, fmt.Sprintf("%.2f", a.Started.Sub(h.Submitted).Seconds()), fmt.Sprintf("%.2f", a.Seconds), shuffleSeconds(a),
			fmt.Sprint(a.InputBytes), fmt.Sprint(a.OutputBytes), a.Reason,
		})
	}
	err := table(out, []string{"ATTEMPT", "STATE", "SLAVE", "AT", "SECONDS", "SHUFFLE", "BYTES IN", "BYTES OUT", "REASON"}, rows)
	if h.Left > 0 {
		fmt.Fprintf(out, "and %d more\n", h.Left)
	}
	return err
}

// shuffleSeconds is for how long a reduce fetched; a map does not.
func shuffleSeconds(a hadoop.Attempt) string {
	if a.ShuffledMaps == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a.ShuffleSeconds)
}

func showLogs(out io.Writer, logs []hadoop.Log) error {
	if len(logs) == 0 {
		_, err := fmt.Fprintln(out, "No attempt of the job has failed; name one to see what it has said.")
		return err
	}
	for i, l := range logs {
		if i > 0 {
			fmt.Fprintln(out)
		}
		fmt.Fprintf(out, "==> %s on %s", l.ID, l.Slave)
		if l.State != "" {
			fmt.Fprintf(out, ", %s", l.State)
		}
		fmt.Fprintln(out)
		if l.Error != "" {
			fmt.Fprintf(out, "what it said can not be read: %s\n", l.Error)
			continue
		}
		fmt.Fprint(out, l.Stderr)
		if l.Stderr != "" && !strings.HasSuffix(l.Stderr, "\n") {
			fmt.Fprintln(out)
		}
	}
	return nil
}
