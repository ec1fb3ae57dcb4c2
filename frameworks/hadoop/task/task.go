// Package task is what runs inside the container of a map or a reduce. It knows nothing of Mesos, offers or slaves:
//
//	order (taskpb.MapTask, from standard input)            order (taskpb.ReduceTask)
//	  │                                                      │
//	chunks of files ─► sh -c MAPPER ─► sorter              parts fetched from the maps' slaves
//	                                     │ spills            │ merged by key
//	                                     ▼                   ▼
//	                sandbox: map/part-0000P, map/summary   sh -c REDUCER ─► reduce/part-0000R, reduce/summary
//
// A job may bring a program of its own that does all this in one process, with functions in the place of commands: then
// records go from function to sorter, and from merge to function, as bytes that need not be lines (Functions).
//
// Everything is bytes, nothing is text. A line ends with \n alone, and an unfinished last line of a file or of a
// command gets its \n. A record is a line: its key reaches to the first tab, its value is what follows; a line without
// a tab is all key and has no value, which is not the same as an empty one. Records are sorted by key, bytewise, and
// records of equal keys keep the order in which they came: by map, and within a map as the mapper printed them.
//
// Memory is bounded by the sort buffer whatever the input: a full buffer is spilled to the sandbox, and runs are merged
// as streams, never more than MergeFactor at once.
package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"google.golang.org/protobuf/proto"
)

// Where a task keeps what it makes, below its sandbox.
const (
	MapSummaryFile    = "map/summary"
	ReduceSummaryFile = "reduce/summary"
	LostOutputsFile   = "reduce/lost-maps"
)

// MapPartFile names the file of a map's records for one partition, below the sandbox.
func MapPartFile(partition int) string { return fmt.Sprintf("map/part-%05d", partition) }

// ReducePartFile names a reduce's output, below the sandbox.
func ReducePartFile(partition int) string { return "reduce/" + PartName(partition) }

// PartName names one partition's file of a job's output, as Hadoop does.
func PartName(partition int) string { return fmt.Sprintf("part-%05d", partition) }

// Exit statuses of the task program.
const (
	ExitFailed     = 1  // the mapper or reducer failed, or an input could not be read
	ExitBadOrder   = 2  // the order is malformed
	ExitOutputLost = 75 // map output could not be fetched: LostOutputsFile says which (75 is sysexits' EX_TEMPFAIL)
)

// MaxOrderBytes bounds what a task reads as its order.
const MaxOrderBytes = 64 << 20

// DefaultSortBufferBytes is how much memory a task uses for its records when its order does not say.
// Hadoop's default of mapreduce.task.io.sort.mb: 100 MB.
const DefaultSortBufferBytes = 100 << 20

// minSortBufferBytes keeps a too small order from spilling every few lines.
const minSortBufferBytes = 64 << 10

// Env is what a task works in.
type Env struct {
	Sandbox string    // the task's directory; "" is the working directory
	Home    string    // the container's sandbox, where its programs lie; "" is Sandbox
	Stderr  io.Writer // the commands' standard error goes here; nil drops it
	Environ []string  // the commands' environment before the task's own variables; nil is empty
	Fetcher Fetcher   // how map output is fetched
	Inputs  *Inputs   // what a reduce hears of after it has started; nil: its order has all
	// Started is told of each command that has been started: its process, which leads a process group. nil is nobody.
	Started func(pid int)
	// Functions do the work in this process; nil: commands do, or the order's program.
	Functions *Functions
}

func (e Env) path(name string) string { return filepath.Join(e.Sandbox, name) }

// FailurePrefix begins the line that the task program prints when it fails, so that whoever reads the end of its
// standard error can tell that line from the command's own.
func FailurePrefix(taskID string) string { return "hadoop task " + taskID + ": " }

// Main is the task program: kind is "map" or "reduce", stdin holds the order, the working directory is the sandbox.
// It returns the exit status. A failure is one line on stderr that begins with FailurePrefix.
func Main(ctx context.Context, kind string, stdin io.Reader, stderr io.Writer) int {
	order, err := readOrder(kind, stdin)
	if err != nil {
		fmt.Fprintf(stderr, "hadoop task: %v\n", err)
		return ExitBadOrder
	}
	fetcher, err := NewFetcher(os.Getenv(AuthorityVariable))
	if err != nil {
		fmt.Fprintf(stderr, "hadoop task: %v\n", err)
		return ExitBadOrder
	}
	env := Env{Stderr: stderr, Environ: os.Environ(), Fetcher: fetcher}
	runtime.GOMAXPROCS(max(1, int(order.GetCpus())))
	switch order := order.(type) {
	case *taskpb.MapTask:
		_, err = Map(ctx, order, env)
	case *taskpb.ReduceTask:
		_, err = Reduce(ctx, order, env)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "%s%v\n", FailurePrefix(order.GetAttempt().GetTaskId()), err)
	if lost := (*LostError)(nil); errors.As(err, &lost) {
		return ExitOutputLost
	}
	return ExitFailed
}

// order is what the two orders have in common.
type order interface {
	proto.Message
	GetAttempt() *taskpb.Attempt
	GetCpus() int32
	GetMemoryBytes() int64
}

// newOrder is an empty order of a kind of task.
func newOrder(kind string) (order, error) {
	switch kind {
	case "map":
		return &taskpb.MapTask{}, nil
	case "reduce":
		return &taskpb.ReduceTask{}, nil
	}
	return nil, fmt.Errorf("unknown kind of task %q (allowed: map, reduce)", kind)
}

func readOrder(kind string, stdin io.Reader) (order, error) {
	o, err := newOrder(kind)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(stdin, MaxOrderBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the order of a %s task from standard input: %w", kind, err)
	}
	if len(body) > MaxOrderBytes {
		return nil, fmt.Errorf("the order of a %s task is longer than %d bytes", kind, MaxOrderBytes)
	}
	if err := proto.Unmarshal(body, o); err != nil {
		return nil, fmt.Errorf("standard input is not the order of a %s task: %w", kind, err)
	}
	if o.GetAttempt().GetTaskId() == "" {
		return nil, fmt.Errorf("standard input is not the order of a %s task: it names no task", kind)
	}
	return o, nil
}

// sortBuffer turns an order's wish into the bytes to use.
func sortBuffer(wish int64) int64 {
	if wish <= 0 {
		return DefaultSortBufferBytes
	}
	return max(wish, minSortBufferBytes)
}

// freshDir makes an empty directory below the sandbox.
func (e Env) freshDir(name string) (string, error) {
	dir := e.path(name)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("clear %s: %w", dir, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the task's directory: %w", err)
	}
	return dir, nil
}

// writeMessage writes a message as a whole file: whoever sees the file sees all of it.
func writeMessage(path string, m proto.Message) error {
	body, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.WriteFile(path+".tmp", body, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// readMessage reads what writeMessage wrote.
func readMessage(path string, m proto.Message) error {
	body, err := os.ReadFile(path)
	if err == nil {
		err = proto.Unmarshal(body, m)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
