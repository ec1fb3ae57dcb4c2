package task

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// Inputs are the map outputs that a reduce hears of after it has started. One who knows adds them, in the reduce's process.
type Inputs struct {
	mu      sync.Mutex
	outputs []*taskpb.MapOutput
	more    chan struct{} // has something when outputs does
}

// NewInputs are none yet.
func NewInputs() *Inputs { return &Inputs{more: make(chan struct{}, 1)} }

// Add tells the reduce of more outputs; a map may come again, after its output was lost.
func (i *Inputs) Add(outputs ...*taskpb.MapOutput) {
	i.mu.Lock()
	i.outputs = append(i.outputs, outputs...)
	i.mu.Unlock()
	select {
	case i.more <- struct{}{}:
	default:
	}
}

// take gives what was added since the last time.
func (i *Inputs) take() []*taskpb.MapOutput {
	i.mu.Lock()
	defer i.mu.Unlock()
	outputs := i.outputs
	i.outputs = nil
	return outputs
}

// shuffle fetches the parts of all maps, a few at a time, as they become known: into memory while it lasts, else into files.
type shuffle struct {
	order   *taskpb.ReduceTask
	fetcher Fetcher
	dir     string
	memory  *arena
	hosts   failedHosts

	waiting  []*taskpb.MapOutput         // known and not begun, as they came
	at       map[int32]*taskpb.MapOutput // the latest that is known of each map
	runs     map[int32]sortedRun         // what was fetched
	complete map[int32]bool              // fetched, or empty
	fetching int
	fetched  chan fetched
	failed   []fetched // that no later output of the map has mended
	bytes    int64
	records  int64
}

// fetched is the end of a fetch.
type fetched struct {
	in  *taskpb.MapOutput
	run sortedRun
	err error
}

// fetchRuns fetches the order's inputs, and those that come later if there are to be some.
func fetchRuns(ctx context.Context, order *taskpb.ReduceTask, env Env, dir string, memory *arena) (*shuffle, []sortedRun, error) {
	s := &shuffle{
		order: order, fetcher: env.Fetcher, dir: dir, memory: memory, at: map[int32]*taskpb.MapOutput{},
		runs: map[int32]sortedRun{}, complete: map[int32]bool{}, fetched: make(chan fetched, ParallelFetches),
	}
	s.hear(order.GetInputs())
	wanted := int(order.GetMaps())
	var more chan struct{} // nil: nothing is to come
	if wanted == 0 {
		wanted = len(s.at)
	} else if env.Inputs == nil {
		return nil, nil, errors.New("the order says that inputs are to come, and there is nobody to tell of them")
	} else {
		more = env.Inputs.more
	}
	defer func() {
		for s.fetching > 0 { // they write to memory and files that are given back
			<-s.fetched
			s.fetching--
		}
	}()
	for {
		for s.fetching < ParallelFetches && len(s.waiting) > 0 {
			s.begin(ctx)
		}
		// After a failure all that is known is tried too, so that one attempt tells of all that is lost.
		if s.fetching == 0 && (len(s.failed) > 0 || len(s.complete) == wanted) {
			break
		}
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-more:
			s.hear(env.Inputs.take())
		case f := <-s.fetched:
			s.fetching--
			if err := s.end(f); err != nil {
				return nil, nil, err
			}
		}
	}
	if len(s.failed) > 0 {
		return nil, nil, s.lost()
	}
	runs := make([]sortedRun, 0, len(s.runs))
	for _, m := range slices.Sorted(maps.Keys(s.runs)) { // equal keys keep the order of the maps
		runs = append(runs, s.runs[m])
	}
	return s, runs, nil
}

// hear takes outputs that have become known. One that was lost again is waited for.
func (s *shuffle) hear(outputs []*taskpb.MapOutput) {
	for _, in := range outputs {
		m := in.GetMap()
		switch {
		case in.GetPart() == nil:
		case s.complete[m]: // as good as the first
		case in.GetPart().GetBytes() == 0:
			s.at[m], s.complete[m] = in, true
		default:
			if s.at[m] == nil {
				s.waiting = append(s.waiting, in)
			}
			s.at[m] = in
		}
	}
}

// begin fetches the first that waits, at its latest place.
func (s *shuffle) begin(ctx context.Context) {
	in := s.at[s.waiting[0].GetMap()]
	s.waiting = s.waiting[1:]
	size := in.GetPart().GetBytes()
	if s.complete[in.GetMap()] || size == 0 {
		return
	}
	run := sortedRun{path: filepath.Join(s.dir, fmt.Sprintf("fetch-%05d", in.GetMap())), ends: []int64{size}, largest: in.GetPart().GetLargest()}
	if local, ok := s.local(in.GetUrl()); ok {
		run.path, run.from = local, in
		s.await(in, run, func() error { return lookLocal(in, local) })
		return
	}
	into, fits := s.memory.take(size)
	if fits {
		run = sortedRun{memory: func(_, rank int) *runReader { return memoryRun(into, rank) }}
	}
	s.await(in, run, func() error { return fetchRun(ctx, s.fetcher, in, run.path, into, &s.hosts) })
}

// await has a run brought, in the background.
func (s *shuffle) await(in *taskpb.MapOutput, run sortedRun, bring func() error) {
	s.fetching++
	go func() { s.fetched <- fetched{in, run, bring()} }()
}

// local is the file of an output that this reduce's own executor serves.
func (s *shuffle) local(url string) (path string, ok bool) {
	file, ok := strings.CutPrefix(url, s.order.GetLocalUrl())
	if !ok || s.order.GetLocalUrl() == "" || !filepath.IsLocal(file) {
		return "", false
	}
	return filepath.Join(string(s.order.GetLocalFolder()), file), true
}

// lookLocal says whether a file of this machine is there, and as long as it should be: it is read, and its bytes are checked,
// when it is merged. What is wrong with it is an error as of the network.
func lookLocal(in *taskpb.MapOutput, path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Size() != in.GetPart().GetBytes() {
		err = fmt.Errorf("it has %d bytes, announced were %d", info.Size(), in.GetPart().GetBytes())
	}
	if err != nil {
		return &FetchError{URL: in.GetUrl(), Err: err}
	}
	return nil
}

// checkedPart reads a part of another task's output: at its end its checksum is compared.
type checkedPart struct {
	r    io.Reader
	sum  uint32
	part *taskpb.Part
}

func (c *checkedPart) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.sum = Checksum(c.sum, b[:n])
	if errors.Is(err, io.EOF) && c.sum != c.part.GetCrc32C() {
		err = fmt.Errorf("checksum is %08x, announced was %08x", c.sum, c.part.GetCrc32C())
	}
	return n, err
}

// blame gives the inputs as lost that are damaged, if there are any, in the place of an error that may have come of them before
// they were read to their ends.
func (s *shuffle) blame(err error) error {
	if lost := (*LostError)(nil); errors.As(err, &lost) {
		return err
	}
	for m, run := range s.runs {
		if run.from == nil {
			continue
		}
		if damage := readAll(run); damage != nil {
			s.failed = append(s.failed, fetched{in: s.at[m], err: damage})
		}
	}
	if len(s.failed) > 0 {
		return s.lost()
	}
	return err
}

// readAll reads a run of another task's to its end.
func readAll(run sortedRun) error {
	r, file, err := run.open(0, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{r.src}, r.buf)
	return err
}

// end takes what a fetch has brought. An error that is not the network's is returned; of another, a later output of the
// map is fetched if there is one.
func (s *shuffle) end(f fetched) error {
	m := f.in.GetMap()
	var fetch *FetchError
	switch {
	case f.err == nil:
		s.runs[m], s.complete[m] = f.run, true
		s.bytes += f.in.GetPart().GetBytes()
		s.records += f.in.GetPart().GetRecords()
	case !errors.As(f.err, &fetch):
		return f.err
	case s.at[m].GetUrl() != f.in.GetUrl() && !s.complete[m]:
		s.waiting = append(s.waiting, s.at[m])
	case !s.complete[m]:
		s.failed = append(s.failed, f)
	}
	return nil
}

// lost says what could not be fetched.
func (s *shuffle) lost() *LostError {
	slices.SortFunc(s.failed, func(a, b fetched) int { return cmp.Compare(a.in.GetMap(), b.in.GetMap()) })
	e := &LostError{}
	for _, f := range s.failed {
		e.Lost = append(e.Lost, lostOutput(f.in, f.err))
	}
	return e
}

func lostOutput(in *taskpb.MapOutput, err error) *taskpb.LostOutput {
	return &taskpb.LostOutput{Map: in.GetMap(), Url: in.GetUrl(), Error: err.Error()}
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

// fetchRun fetches a part into a file, or into memory if there is no path.
func fetchRun(ctx context.Context, f Fetcher, in *taskpb.MapOutput, path string, into []byte, hosts *failedHosts) (err error) {
	host := ""
	if u, err := url.Parse(in.GetUrl()); err == nil {
		host = u.Host
	}
	if hosts.has(host) {
		f.Tries = 1
	}
	if path == "" {
		err = f.ToMemory(ctx, in.GetUrl(), in.GetPart(), into)
	} else {
		err = f.ToFile(ctx, in.GetUrl(), in.GetPart(), path)
	}
	if err != nil {
		hosts.add(host)
	}
	return err
}
