package task

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// ParallelFetches is how many map outputs a reduce fetches at once. Hadoop's
// mapreduce.reduce.shuffle.parallelcopies is 5.
const ParallelFetches = 4

// LostError says that map output could not be fetched, by no fault of the reduce.
type LostError struct{ Lost []*taskpb.LostOutput }

func (e *LostError) Error() string {
	first := e.Lost[0]
	text := fmt.Sprintf("the output of map %d could not be fetched: %s", first.GetMap(), first.GetError())
	if n := len(e.Lost) - 1; n > 0 {
		text += fmt.Sprintf(" (and that of %d more)", n)
	}
	return text
}

// Reduce fetches the order's parts, merges them by key, streams them to the reducer and keeps what it prints, and a
// summary, below the sandbox. Errors: *LostError when parts could not be fetched, which LostOutputsFile then lists;
// *CommandError when the reducer fails; else what names the sandbox's file that could not be read or written.
func Reduce(ctx context.Context, order *taskpb.ReduceTask, env Env) (*taskpb.ReduceSummary, error) {
	dir, err := env.freshDir("reduce")
	if err != nil {
		return nil, err
	}
	keys, err := newKeyRules(order.GetKeys())
	if err != nil {
		return nil, err
	}
	if env, err = env.withKit(order.GetKit()); err != nil {
		return nil, err
	}
	runs, err := fetchRuns(ctx, order, env, dir)
	if err != nil {
		return nil, noteLost(env, err)
	}
	if runs, err = compact(runs, 1, dir, keys.compare); err != nil {
		return nil, err
	}
	summary := &taskpb.ReduceSummary{}
	for _, in := range order.GetInputs() {
		summary.InputBytes += in.GetPart().GetBytes()
		summary.InputRecords += in.GetPart().GetRecords()
	}
	out, err := createLines(env.path(ReducePartFile(int(order.GetAttempt().GetTask()))))
	if err != nil {
		return nil, err
	}
	defer out.file.Close()
	reports := newReports()
	reducer, err := startCommand(ctx, "reducer", order.GetReducer(), env, attemptVariables(order.GetAttempt(), false), reports)
	if err != nil {
		return nil, err
	}
	err = reducer.run(func(stdin io.Writer) (err error) {
		summary.InputGroups, err = feedMerged(stdin, runs, keys)
		return err
	}, out.readFrom)
	if err != nil {
		return nil, err
	}
	if summary.Part, err = out.close(); err != nil {
		return nil, err
	}
	if summary.Reports, err = reports.summary(); err != nil {
		return nil, err
	}
	if err := removeRuns(runs); err != nil {
		return nil, err
	}
	return summary, writeMessage(filepath.Join(env.Sandbox, ReduceSummaryFile), summary)
}

func noteLost(env Env, err error) error {
	var lost *LostError
	if !errors.As(err, &lost) {
		return err
	}
	return errors.Join(err, writeMessage(env.path(LostOutputsFile), &taskpb.LostOutputs{Lost: lost.Lost}))
}

// fetchRuns fetches all parts, a few at a time: into memory while the sort buffer lasts, else into files.
func fetchRuns(ctx context.Context, order *taskpb.ReduceTask, env Env, dir string) ([]sortedRun, error) {
	budget := sortBuffer(order.GetSortBufferBytes())
	var (
		runs  = make([]sortedRun, len(order.GetInputs()))
		errs  = make([]error, len(order.GetInputs()))
		hosts failedHosts
		slots = make(chan struct{}, ParallelFetches)
		wait  sync.WaitGroup
	)
	for i, in := range order.GetInputs() {
		size := in.GetPart().GetBytes()
		if size == 0 {
			continue
		}
		path := ""
		if size > budget {
			path = filepath.Join(dir, fmt.Sprintf("fetch-%05d", in.GetMap()))
		} else {
			budget -= size
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			runs[i], errs[i] = fetchRun(ctx, env.Fetcher, in, path, &hosts)
		})
	}
	wait.Wait()
	return keptRuns(order.GetInputs(), runs, errs)
}

// keptRuns leaves out empty parts and sorts failures into those of the network and others.
func keptRuns(inputs []*taskpb.MapOutput, runs []sortedRun, errs []error) ([]sortedRun, error) {
	var lost []*taskpb.LostOutput
	kept := runs[:0]
	for i, err := range errs {
		var fetch *FetchError
		switch {
		case errors.As(err, &fetch):
			lost = append(lost, &taskpb.LostOutput{Map: inputs[i].GetMap(), Url: inputs[i].GetUrl(), Error: err.Error()})
		case err != nil:
			return nil, err
		case runs[i].memory != nil || runs[i].path != "":
			kept = append(kept, runs[i])
		}
	}
	if len(lost) > 0 {
		return nil, &LostError{Lost: lost}
	}
	return kept, nil
}

// failedHosts remembers which slaves did not answer, so that a dead one is waited for once and not once per map.
type failedHosts struct {
	mu    sync.Mutex
	hosts map[string]bool
}

func (h *failedHosts) has(host string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hosts[host]
}

func (h *failedHosts) add(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hosts == nil {
		h.hosts = map[string]bool{}
	}
	h.hosts[host] = true
}

func fetchRun(ctx context.Context, f Fetcher, in *taskpb.MapOutput, path string, hosts *failedHosts) (sortedRun, error) {
	host := ""
	if u, err := url.Parse(in.GetUrl()); err == nil {
		host = u.Host
	}
	if hosts.has(host) {
		f.Tries = 1
	}
	var run sortedRun
	var err error
	if path == "" {
		var b []byte
		b, err = f.ToMemory(ctx, in.GetUrl(), in.GetPart())
		run.memory = func(_, rank int) *runReader { return memoryRun(b, rank) }
	} else {
		err = f.ToFile(ctx, in.GetUrl(), in.GetPart(), path)
		run = sortedRun{path: path, ends: []int64{in.GetPart().GetBytes()}}
	}
	if err != nil {
		hosts.add(host)
		return sortedRun{}, err
	}
	return run, nil
}

// feedMerged writes the merged records as lines and counts the distinct keys that it wrote: those that the order of keys
// tells apart.
func feedMerged(stdin io.Writer, runs []sortedRun, keys *keyRules) (groups int64, err error) {
	w := bufio.NewWriterSize(stdin, blockBytes)
	var key, line []byte
	err = mergePartition(runs, 0, keys.compare, func(r record) error {
		if groups == 0 || keys.compare(key, r.key) != 0 {
			groups++
			key = append(key[:0], r.key...)
		}
		line = appendLine(line[:0], r, keys.reducer)
		_, err := w.Write(line)
		return err
	})
	if err != nil {
		return groups, err
	}
	return groups, w.Flush()
}

type lineCounter struct {
	lines int64
	last  byte
}

func (c *lineCounter) Write(b []byte) (int, error) {
	c.lines += int64(bytes.Count(b, newline))
	if len(b) > 0 {
		c.last = b[len(b)-1]
	}
	return len(b), nil
}
