// Package tasktracker is the executor in which a job's maps and reduces run on a slave: one process, which stays while the
// job needs it there.
//
//	slave ─► Launch: jobpb.Order ─► task.Map or task.Reduce, in this process ─► sh -c COMMAND, a process group
//	                                     │ files below SANDBOX/ATTEMPT            memory watched
//	slave ◄─ update: jobpb.Outcome ◄─────┘
//	other executors, the framework ◄─ HTTP: /SECRET/ATTEMPT/FILE
//
// What it costs to run a task is a command's fork and a few messages, and no container. The container is the executor's,
// and is as large as all its tasks at the time together; within it each task's commands are held to the task's own memory
// by this program, which looks at their process group again and again (memory.go).
//
// It serves what its tasks have made until it ends, so that map output is within reach for as long as the job's reduces
// may want it. The path of the files has a secret in it, which only the framework and who it tells can know. Where the
// cluster has certificates the executor, which has none, does not serve: then the slave does, from the sandbox.
package tasktracker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/executor"
	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"github.com/stoa-project/stoa/proto/mesos"
)

// ListenVariable is the environment variable that names the address at which an executor serves files; where it is not
// set the executor does not.
const ListenVariable = "STOA_HADOOP_LISTEN"

const (
	// stderrTailBytes is how much of a failed attempt's standard error goes to the framework.
	stderrTailBytes = 8 << 10
	// secretBytes is the length of the secret in the paths of files.
	secretBytes = 16
	// headerTimeout bounds how long a client may take to say what it wants.
	headerTimeout = 5 * time.Second
)

// tracker is the executor. Its fields belong to its handlers.
type tracker struct {
	executor.Base
	ctx     context.Context
	sandbox string
	environ []string // of commands, but for what is an attempt's own
	fetcher task.Fetcher
	base    string // URL of the files that are served, with the secret and / at its end
	port    int    // 0: files are not served
	secret  string // in the paths of files
	memory  *memory

	attempts map[string]*attempt // that run
	ending   bool
}

// attempt is a task that runs.
type attempt struct {
	cancel context.CancelCauseFunc
	killed bool
	inputs *task.Inputs // of a reduce that has started before all maps were done
	fed    int32        // how many of the job's outputs it was told of
}

// Main is the executor's life: it returns when its slave or its framework ends it.
func Main(ctx context.Context) error {
	authority := os.Getenv(task.AuthorityVariable)
	fetcher, err := task.NewFetcher(authority)
	if err != nil {
		return err
	}
	sandbox, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the sandbox: %w", err)
	}
	t := &tracker{
		ctx: ctx, sandbox: sandbox, environ: commandVariables(os.Environ()), fetcher: fetcher, memory: newMemory(), attempts: map[string]*attempt{},
	}
	if host := os.Getenv(ListenVariable); host != "" {
		stopServing, err := t.serve(host)
		if err != nil {
			return err
		}
		defer stopServing()
	}
	watch, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { t.memory.watch(watch) })
	defer watching.Wait()
	defer stop()
	return executor.Run(ctx, executor.Options{}, t)
}

// commandVariables are an executor's variables without those that are its secrets, and those that each attempt has of its own.
func commandVariables(environ []string) []string {
	hidden := []string{"MESOS_EXECUTOR_AUTHENTICATION_TOKEN", ListenVariable, "MESOS_TASK_ID", "MESOS_SANDBOX", "HOME", "PWD"}
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(hidden, name)
	})
}

// serve makes the sandbox's files readable for those who know the secret.
func (t *tracker) serve(host string) (stop func(), err error) {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // it never fails
	root, err := os.OpenRoot(t.sandbox)
	if err != nil {
		return nil, fmt.Errorf("open the sandbox: %w", err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("serve map output: %w", err)
	}
	t.port, t.secret = listener.Addr().(*net.TCPAddr).Port, hex.EncodeToString(secret)
	t.base = "http://" + net.JoinHostPort(host, strconv.Itoa(t.port)) + "/" + t.secret + "/"
	files := http.StripPrefix("/"+t.secret+"/", served{root})
	server := &http.Server{Handler: files, ReadHeaderTimeout: headerTimeout}
	go func() { _ = server.Serve(listener) }() // ends with the server
	handOver, err := task.HandOver(t.secret, root.Open)
	if err != nil {
		server.Close()
		return nil, err
	}
	return func() {
		server.Close()
		handOver.Close()
	}, nil
}

// served are the files of a folder and of those in it. They are given as they lie on the disk, without a copy.
type served struct{ root *os.Root }

func (s served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	file, err := s.root.Open(r.URL.Path)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", info.ModTime(), file)
}

// Launch runs an attempt.
func (t *tracker) Launch(d *executor.Driver, info *mesos.TaskInfo) {
	id := info.GetTaskId().GetValue()
	order := &jobpb.Order{}
	if err := proto.Unmarshal(info.GetData(), order); err != nil {
		d.Ended(id, fmt.Errorf("its order can not be read: %w", err))
		return
	}
	ctx, cancel := context.WithCancelCause(t.ctx)
	a := &attempt{cancel: cancel, inputs: task.NewInputs(), fed: order.GetReduce().GetFed()}
	t.attempts[id] = a
	d.Running(id)
	limits := t.memory.add(id, memoryOf(info), sortBufferOf(order), cancel)
	go func() {
		outcome, err := t.run(ctx, id, order, a.inputs, limits)
		t.memory.remove(id)
		d.Do(func() { t.ended(d, id, outcome, err) })
	}()
}

// Message tells a reduce of map outputs. What it knows is answered also if that is nothing new, for an answer may be lost.
func (t *tracker) Message(d *executor.Driver, data []byte) {
	feed := &taskpb.Feed{}
	if proto.Unmarshal(data, feed) != nil {
		return // it is not ours
	}
	a := t.attempts[feed.GetTaskId()]
	if a == nil {
		return
	}
	if known := int64(a.fed) - int64(feed.GetFrom()); known >= 0 && known < int64(len(feed.GetOutputs())) {
		outputs := feed.GetOutputs()[known:]
		a.inputs.Add(outputs...)
		a.fed += int32(len(outputs))
	}
	answer, err := proto.Marshal(&taskpb.Fed{TaskId: feed.GetTaskId(), Outputs: a.fed})
	if err != nil {
		panic(fmt.Sprintf("tasktracker: encode an answer of our own: %v", err))
	}
	d.Message(answer)
}

// memoryOf is an attempt's memory in bytes; 0 if it has none of its own.
func memoryOf(info *mesos.TaskInfo) int64 {
	megabytes := 0.0
	for _, r := range info.GetResources() {
		if r.GetName() == "mem" {
			megabytes += r.GetScalar().GetValue()
		}
	}
	return int64(megabytes * (1 << 20))
}

// sortBufferOf is the sort buffer that this program has for an attempt: that of a job's own program is in that.
func sortBufferOf(order *jobpb.Order) int64 {
	if order.GetMap().GetProgram() != nil || order.GetReduce().GetProgram() != nil {
		return 0
	}
	return max(order.GetMap().GetSortBufferBytes(), order.GetReduce().GetSortBufferBytes())
}

// run does an attempt's work in a folder of its own.
func (t *tracker) run(ctx context.Context, id string, order *jobpb.Order, inputs *task.Inputs, limits *limits) (*jobpb.Outcome, error) {
	outcome := &jobpb.Outcome{Port: uint32(t.port)}
	if t.port != 0 {
		outcome.Path = "/" + t.secret + "/" + id + "/"
	}
	if err := os.Mkdir(id, 0o755); err != nil {
		return outcome, fmt.Errorf("make the attempt's folder: %w", err)
	}
	stderr, err := os.OpenFile(id+"/stderr", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return outcome, fmt.Errorf("make the attempt's standard error: %w", err)
	}
	defer stderr.Close()
	folder := filepath.Join(t.sandbox, id)
	env := task.Env{
		Sandbox: folder, Home: t.sandbox, Stderr: stderr, Fetcher: t.fetcher, Inputs: inputs, Started: limits.started,
		Environ: append(slices.Clone(t.environ), "MESOS_TASK_ID="+id, "MESOS_SANDBOX="+folder, "HOME="+folder, "PWD="+folder),
	}
	if order.GetMap() != nil {
		outcome.Map, err = task.Map(ctx, order.GetMap(), env)
	} else {
		if t.port != 0 {
			order.GetReduce().LocalUrl, order.GetReduce().LocalFolder = t.base, []byte(t.sandbox)
		}
		outcome.Reduce, err = task.Reduce(ctx, order.GetReduce(), env)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause // what ended it, not what it looked like
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s%v\n", task.FailurePrefix(id), err)
		outcome.Lost = lostOutputs(err)
		outcome.Stderr = tail(stderr)
		discard(id)
	}
	return outcome, err
}

// lostOutputs are the map outputs that were out of reach.
func lostOutputs(err error) *taskpb.LostOutputs {
	var lost *task.LostError
	if errors.As(err, &lost) {
		return &taskpb.LostOutputs{Lost: lost.Lost}
	}
	return nil
}

// tail is the end of a file, as text.
func tail(file *os.File) string {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	b := make([]byte, min(size, stderrTailBytes))
	n, _ := file.ReadAt(b, size-int64(len(b)))
	return strings.ToValidUTF8(string(b[:n]), "\uFFFD")
}

// discard removes what an attempt that failed has made, but for its standard error.
func discard(id string) {
	for _, made := range []string{"map", "reduce"} {
		_ = os.RemoveAll(id + "/" + made) // it is in nobody's way but the disk's
	}
}

// ended tells how an attempt has ended. The memory that it used is given back before its resources are.
func (t *tracker) ended(d *executor.Driver, id string, outcome *jobpb.Outcome, err error) {
	a := t.attempts[id]
	delete(t.attempts, id)
	a.cancel(nil)
	status := &mesos.TaskStatus{TaskId: mesos.NewTaskID(id), State: mesos.TaskState_TASK_FINISHED.Enum()}
	switch {
	case a.killed:
		status.State = mesos.TaskState_TASK_KILLED.Enum()
	case err != nil:
		status.State, status.Message = mesos.TaskState_TASK_FAILED.Enum(), proto.String(strings.ToValidUTF8(err.Error(), "\uFFFD"))
	}
	if status.Data, err = proto.Marshal(outcome); err != nil {
		panic(fmt.Sprintf("tasktracker: encode an outcome of our own: %v", err))
	}
	d.Update(status)
	if t.ending && len(t.attempts) == 0 {
		d.Stop()
	}
}

// errKilled ends an attempt that the framework does not want any more.
var errKilled = errors.New("killed: nobody needs it any more")

// Kill ends an attempt.
func (t *tracker) Kill(_ *executor.Driver, id string, _ *mesos.KillPolicy) {
	if a := t.attempts[id]; a != nil {
		a.killed = true
		a.cancel(errKilled)
	}
}

// Shutdown ends all attempts, and then the executor.
func (t *tracker) Shutdown(d *executor.Driver) {
	t.ending = true
	for id := range t.attempts {
		t.Kill(d, id, nil)
	}
	if len(t.attempts) == 0 {
		d.Stop()
	}
}
