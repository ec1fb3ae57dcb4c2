package task

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"google.golang.org/protobuf/proto"
)

// readersShare is which part of a reduce's sort buffer is for reading what did not fit into the rest.
const readersShare = 4

// Reduce fetches the order's parts, merges them by key, streams them to the reducer and keeps what it prints, and a
// summary, below the sandbox. Errors: *LostError when parts could not be fetched, which LostOutputsFile then lists;
// *CommandError when the reducer fails; else what names the sandbox's file that could not be read or written.
func Reduce(ctx context.Context, order *taskpb.ReduceTask, env Env) (*taskpb.ReduceSummary, error) {
	if order.GetProgram() != nil && env.Functions == nil {
		return reduceByProgram(ctx, order, env)
	}
	dir, err := env.freshDir("reduce")
	if err != nil {
		return nil, err
	}
	summary, err := reduceIn(ctx, dir, order, env)
	if err != nil {
		return nil, noteLost(env, err)
	}
	return summary, writeMessage(filepath.Join(env.Sandbox, ReduceSummaryFile), summary)
}

// reduceIn is Reduce with a folder for its files.
func reduceIn(ctx context.Context, dir string, order *taskpb.ReduceTask, env Env) (*taskpb.ReduceSummary, error) {
	keys, err := newKeyRules(order.GetKeys())
	if err != nil {
		return nil, err
	}
	if env, err = env.withKit(order.GetKit()); err != nil {
		return nil, err
	}
	budget := sortBuffer(order.GetSortBufferBytes())
	memory, err := newArena(budget - budget/readersShare)
	if err != nil {
		return nil, err
	}
	defer memory.close()
	began := time.Now()
	fetched, runs, err := fetchRuns(ctx, order, env, dir, memory)
	if err != nil {
		return nil, err
	}
	summary := &taskpb.ReduceSummary{
		InputBytes: fetched.bytes, InputRecords: fetched.records, ShuffledMaps: int64(len(fetched.runs)), ShuffleNanos: int64(time.Since(began)),
	}
	if runs, err = compact(runs, 1, dir, keys, budget/readersShare); err != nil {
		return nil, err
	}
	out, err := createLines(env.path(ReducePartFile(int(order.GetAttempt().GetTask()))))
	if err != nil {
		return nil, err
	}
	defer out.file.Close()
	reports := newReports()
	if env.Functions != nil {
		summary.InputGroups, err = reduceFunction(*env.Functions, runs, keys, out)
	} else {
		summary.InputGroups, err = reduceCommand(ctx, order, env, runs, keys, out, reports)
	}
	if err != nil {
		return nil, fetched.blame(err)
	}
	if summary.Part, err = out.close(); err != nil {
		return nil, err
	}
	if summary.Reports, err = reports.summary(); err != nil {
		return nil, err
	}
	return summary, removeRuns(runs)
}

// reduceCommand streams merged runs through the reducer and counts the keys.
func reduceCommand(ctx context.Context, order *taskpb.ReduceTask, env Env, runs []sortedRun, keys *keyRules, out *lineFile, reports *reports) (groups int64, err error) {
	reducer, err := startCommand(ctx, "reducer", order.GetReducer(), env, attemptVariables(order.GetAttempt(), false), reports)
	if err != nil {
		return 0, err
	}
	err = reducer.run(func(stdin io.Writer) (err error) {
		groups, err = feedMerged(stdin, runs, keys)
		return err
	}, out.readFrom)
	return groups, err
}

// reduceByProgram has the order's program do the reduce.
func reduceByProgram(ctx context.Context, order *taskpb.ReduceTask, env Env) (*taskpb.ReduceSummary, error) {
	env, err := env.withKit(order.GetKit())
	if err != nil {
		return nil, err
	}
	inner := proto.CloneOf(order)
	inner.Kit = nil
	if err := os.RemoveAll(env.path(LostOutputsFile)); err != nil {
		return nil, fmt.Errorf("clear the sandbox: %w", err)
	}
	reports, err := env.runProgram(ctx, "reduce", order.GetProgram(), inner, attemptVariables(order.GetAttempt(), false))
	if err != nil {
		lost := &taskpb.LostOutputs{}
		if readMessage(env.path(LostOutputsFile), lost) == nil && len(lost.GetLost()) > 0 {
			return nil, &LostError{Lost: lost.GetLost()}
		}
		return nil, err
	}
	summary := &taskpb.ReduceSummary{}
	if err := readMessage(env.path(ReduceSummaryFile), summary); err != nil {
		return nil, err
	}
	summary.Reports = reports
	return summary, writeMessage(env.path(ReduceSummaryFile), summary)
}

func noteLost(env Env, err error) error {
	var lost *LostError
	if !errors.As(err, &lost) {
		return err
	}
	return errors.Join(err, writeMessage(env.path(LostOutputsFile), &taskpb.LostOutputs{Lost: lost.Lost}))
}

// feedMerged writes the merged records as lines and counts the distinct keys that it wrote: those that the order of keys
// tells apart.
func feedMerged(stdin io.Writer, runs []sortedRun, keys *keyRules) (groups int64, err error) {
	w := bufio.NewWriterSize(stdin, blockBytes)
	var key, line []byte
	err = mergePartition(runs, 0, keys, func(r record) error {
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
