package hadoop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// callTimeout bounds each call to a JobTracker; a submission may take submitTimeout, for its input is listed.
	callTimeout   = 10 * time.Second
	submitTimeout = 10 * time.Minute
	// watchEvery is how often a job's state is asked for.
	watchEvery = 50 * time.Millisecond
	// watchPatience is for how long a JobTracker may be away while a job is watched: it may be started again.
	watchPatience = 2 * time.Minute
)

// Client is a connection to a JobTracker. Its methods may be called by many goroutines. Their errors name the JobTracker,
// or are what it said.
type Client struct {
	address string
	scheme  string // of the JobTracker's page
	system  *actor.System
	remote  *remote.Remote
}

// ErrNoJobTracker is wrapped by the errors of calls that no JobTracker has answered.
var ErrNoJobTracker = errors.New("no JobTracker")

// NewClient makes a client of the JobTracker at HOST:PORT, which it is connected to with the first call. tls nil is in the
// clear.
func NewClient(address string, tls *remote.TLS) (*Client, error) {
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("JobTracker address %q is not HOST:PORT; for example %s", address, DefaultJobTracker)
	}
	c := &Client{address: address, scheme: scheme(tls), system: actor.NewSystem(actor.SystemOptions{Role: wire.RoleOperator})}
	var err error
	c.remote, err = remote.Start(remote.Options{System: c.system, TLS: tls, May: mayCall, OwnSenders: true})
	return c, err
}

// Close ends the connection.
func (c *Client) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = c.system.Shutdown(ctx)
	_ = c.remote.Close(ctx)
}

func (c *Client) call(ctx context.Context, timeout time.Duration, call *jobpb.Call) (*jobpb.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	message, err := c.system.Ask(ctx, actor.At(c.address, jobTrackerName), call)
	if err != nil {
		return nil, c.explain(err)
	}
	answer, ok := message.(*jobpb.Answer)
	if !ok {
		return nil, fmt.Errorf("%w at %s: it answers with %T", ErrNoJobTracker, c.address, message)
	}
	if answer.GetError() != "" {
		return nil, errors.New(answer.GetError())
	}
	return answer, nil
}

// explain turns the end of a connection into what a person can do about it.
func (c *Client) explain(err error) error {
	var exit *actor.ExitError
	if errors.As(err, &exit) && exit.Reason == actor.NoSuchActor {
		return fmt.Errorf("%w at %s: what answers there is something else", ErrNoJobTracker, c.address)
	}
	if errors.As(err, &exit) && exit.Err != nil {
		text := exit.Err.Error()
		cause := strings.TrimSpace(text[strings.LastIndex(text, ": ")+1:]) // "connection refused" says it all
		return fmt.Errorf("%w at %s (%s); start one with 'stoa hadoop jobtracker', or name another with -jobtracker", ErrNoJobTracker, c.address, cause)
	}
	return fmt.Errorf("%w has answered at %s: %w", ErrNoJobTracker, c.address, err)
}

// Submit hands over a job: the arguments of stoa hadoop, which directory their relative paths start from, and where the
// files lie that they ship. It returns the job's id when the job is kept.
func (c *Client) Submit(ctx context.Context, args []string, directory string) (string, error) {
	o, err := ParseArgs(args)
	if err != nil {
		return "", err
	}
	return c.submit(ctx, o, args, directory, &jobpb.Submit{})
}

// SubmitProgram is Submit for a job whose Program maps and reduces itself: o is what the arguments, and the program, say. The
// program must lie at the same path on the JobTracker's machine; its keys are sampled here.
func (c *Client) SubmitProgram(ctx context.Context, o Options, args []string, directory string) (string, error) {
	submit := &jobpb.Submit{}
	for _, word := range o.Program {
		submit.Program = append(submit.Program, []byte(word))
	}
	if o.Sample != nil && o.Reduces > 1 {
		o, err := o.withDefaults()
		if err != nil {
			return "", firstLine(err)
		}
		j := o.template()
		if err := o.cutInput(ctx, j); err != nil {
			return "", err
		}
		submit.Cuts = j.keys.GetCuts()
	}
	return c.submit(ctx, o, args, directory, submit)
}

func (c *Client) submit(ctx context.Context, o Options, args []string, directory string, submit *jobpb.Submit) (string, error) {
	var err error
	if submit.Kit, err = o.kit(); err != nil {
		return "", err
	}
	submit.Directory = []byte(directory)
	for _, arg := range args {
		submit.Arguments = append(submit.Arguments, []byte(arg))
	}
	answer, err := c.call(ctx, submitTimeout, &jobpb.Call{Call: &jobpb.Call_Submit{Submit: submit}})
	return answer.GetJob(), err
}

// Submitted tells people where a job is.
func (c *Client) Submitted(id string) string {
	return fmt.Sprintf("%s is with the JobTracker at %s, whose page shows it: %s%[2]s/#%[1]s", id, c.address, c.scheme)
}

// scheme begins the URL of a page that is served with or without TLS.
func scheme(tls *remote.TLS) string {
	if tls != nil {
		return "https://"
	}
	return "http://"
}

// document asks for a document and reads it.
func (c *Client) document(ctx context.Context, call *jobpb.Call, into any) error {
	answer, err := c.call(ctx, callTimeout, call)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer.GetDocument(), into)
}

// List tells of all jobs, the newest first.
func (c *Client) List(ctx context.Context) (jobs []JobStatus, err error) {
	return jobs, c.document(ctx, &jobpb.Call{Call: &jobpb.Call_List{List: &jobpb.List{}}}, &jobs)
}

// Status tells of a job.
func (c *Client) Status(ctx context.Context, id string) (s JobStatus, err error) {
	return s, c.document(ctx, &jobpb.Call{Call: &jobpb.Call_Status{Status: &jobpb.Look{Job: id}}}, &s)
}

// History tells of a job's attempts.
func (c *Client) History(ctx context.Context, id string) (h JobHistory, err error) {
	return h, c.document(ctx, &jobpb.Call{Call: &jobpb.Call_History{History: &jobpb.Look{Job: id}}}, &h)
}

// Log is the end of an attempt's standard error.
type Log = loggedAttempt

// Logs reads the standard error of an attempt; "" is for those that failed or were lost, the last ones.
func (c *Client) Logs(ctx context.Context, id, attempt string) (logs []Log, err error) {
	return logs, c.document(ctx, &jobpb.Call{Call: &jobpb.Call_Logs{Logs: &jobpb.Logs{Job: id, Attempt: attempt}}}, &logs)
}

// Kill ends a job. Nothing of its output is left.
func (c *Client) Kill(ctx context.Context, id string) error {
	_, err := c.call(ctx, callTimeout, &jobpb.Call{Call: &jobpb.Call_Kill{Kill: &jobpb.Kill{Job: id}}})
	return err
}

// Watch follows a job to its end: show, if not nil, is told of its progress. The error is the job's own, or ctx's cause,
// or wraps ErrNoJobTracker.
func (c *Client) Watch(ctx context.Context, id string, show func(Progress)) (Result, error) {
	return c.watch(ctx, show, func() (JobStatus, error) { return c.Status(ctx, id) })
}

// WatchAttempts is Watch that also tells of each attempt that starts or ends.
func (c *Client) WatchAttempts(ctx context.Context, id string, show func(Progress), tell func(line string)) (Result, error) {
	told := map[string]string{} // states, by attempt
	return c.watch(ctx, show, func() (JobStatus, error) {
		h, err := c.History(ctx, id)
		for _, a := range h.Attempts {
			for _, line := range a.news(h.JobStatus, told[a.ID]) {
				tell(line)
			}
			told[a.ID] = a.State
		}
		return h.JobStatus, err
	})
}

// news are the lines that tell of an attempt, of which the state was told that it had before; "" is that nothing was told.
func (a Attempt) news(job JobStatus, before string) []string {
	tasks := job.Maps
	if a.Kind == reduceKind.String() {
		tasks = job.Reduces
	}
	title := fmt.Sprintf("%s %d of %d, %s", a.Kind, a.Task+1, tasks, a.ID)
	var lines []string
	if before == "" {
		lines = append(lines, fmt.Sprintf("%s: starts on %s", title, a.Slave))
	}
	if a.State == before || a.State == stateRunning {
		return lines
	}
	line := fmt.Sprintf("%s: %s on %s", title, a.State, a.Slave)
	if a.State == string(Succeeded) {
		line = fmt.Sprintf("%s: done on %s", title, a.Slave)
	}
	if a.Reason != "" {
		line += ": " + a.Reason
	}
	return append(lines, line)
}

// watch asks for a job's status until the job is over.
func (c *Client) watch(ctx context.Context, show func(Progress), status func() (JobStatus, error)) (Result, error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	heard := time.Now()
	for {
		s, err := status()
		switch {
		case ctx.Err() != nil:
			return Result{}, context.Cause(ctx)
		case errors.Is(err, ErrNoJobTracker) && time.Since(heard) < watchPatience:
		case err != nil:
			return Result{}, err
		default:
			heard = time.Now()
			if show != nil {
				show(s.Progress())
			}
			if s.State == StateFinished {
				return s.Result(), nil
			} else if s.Over() {
				return Result{}, errors.New(s.Error)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Result{}, context.Cause(ctx)
		}
	}
}
