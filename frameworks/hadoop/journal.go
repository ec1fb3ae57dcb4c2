package hadoop

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// What a JobTracker keeps of a job is the job as it was submitted and cut, and each event that its plan was given: the
// plan of its next life is made of the same events, and stands where this one stood. When they are many, they are summed up
// (standing.go).

// encodeEvent writes down an event.
func encodeEvent(now time.Time, e event) (*jobpb.Record, error) {
	r := &jobpb.Record{UnixNanos: now.UnixNano()}
	switch e := e.(type) {
	case subscribed:
		r.Event = &jobpb.Record_Subscribed{Subscribed: e.frameworkID}
	case placed:
		r.Event = &jobpb.Record_Placed{Placed: e.Placed}
	case updated:
		r.Event = &jobpb.Record_Updated{Updated: e.status}
	case slaveGone:
		r.Event = &jobpb.Record_SlaveGone{SlaveGone: e.slaveID}
	case executorGone:
		r.Event = &jobpb.Record_ExecutorGone{ExecutorGone: e.executorID}
	case idled:
		r.Event = &jobpb.Record_Idle{Idle: e.executorID}
	case gaveWay:
		r.Event = &jobpb.Record_GaveWay{GaveWay: e.id}
	case mapCollected:
		r.Event = &jobpb.Record_Collected{Collected: collectedRecord(e.id, e.summary, nil, false, e.err)}
	case reduceCollected:
		r.Event = &jobpb.Record_Collected{Collected: collectedRecord(e.id, nil, e.summary, true, e.err)}
	case examined:
		r.Event = &jobpb.Record_Examined{Examined: &jobpb.Examined{Id: e.id, Stderr: e.stderr, Lost: e.lost}}
	case committed:
		r.Event = &jobpb.Record_Committed{Committed: &jobpb.Committed{Error: errorText(e.err)}}
	case killed:
		r.Event = &jobpb.Record_Killed{Killed: e.reason}
	default:
		return nil, fmt.Errorf("an event %T can not be kept", e)
	}
	return r, nil
}

func collectedRecord(id string, m *taskpb.MapSummary, r *taskpb.ReduceSummary, ofReduce bool, err error) *jobpb.Collected {
	_, away := err.(unreachable) //nolint:errorlint // the shell gives it unwrapped
	return &jobpb.Collected{Id: id, Map: m, Reduce: r, OfReduce: ofReduce, Error: errorText(err), Unreachable: away}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func errorOf(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// decodeEvent reads what encodeEvent wrote.
func decodeEvent(r *jobpb.Record) (time.Time, event, error) {
	at := time.Unix(0, r.GetUnixNanos())
	switch e := r.GetEvent().(type) {
	case *jobpb.Record_Subscribed:
		return at, subscribed{e.Subscribed}, nil
	case *jobpb.Record_Placed:
		return at, placed{e.Placed}, nil
	case *jobpb.Record_Updated:
		return at, updated{e.Updated}, nil
	case *jobpb.Record_SlaveGone:
		return at, slaveGone{e.SlaveGone}, nil
	case *jobpb.Record_ExecutorGone:
		return at, executorGone{e.ExecutorGone}, nil
	case *jobpb.Record_Idle:
		return at, idled{e.Idle}, nil
	case *jobpb.Record_GaveWay:
		return at, gaveWay{e.GaveWay}, nil
	case *jobpb.Record_Collected:
		c := e.Collected
		err := errorOf(c.GetError())
		if c.GetUnreachable() {
			err = unreachable{err}
		}
		if c.GetOfReduce() {
			return at, reduceCollected{id: c.GetId(), summary: c.GetReduce(), err: err}, nil
		}
		return at, mapCollected{id: c.GetId(), summary: c.GetMap(), err: err}, nil
	case *jobpb.Record_Examined:
		return at, examined{id: e.Examined.GetId(), stderr: e.Examined.GetStderr(), lost: e.Examined.GetLost()}, nil
	case *jobpb.Record_Committed:
		return at, committed{errorOf(e.Committed.GetError())}, nil
	case *jobpb.Record_Killed:
		return at, killed{e.Killed}, nil
	}
	return at, nil, fmt.Errorf("a record of type %T is not known: it was written by another version", r.GetEvent())
}

// replay brings a plan to where the events have brought it.
func replay(p *plan, records []*jobpb.Record) error {
	if len(records) > 0 && records[0].GetStanding() != nil {
		var err error
		if records, err = p.standAt(records[0].GetStanding(), records[1:]); err != nil {
			return err
		}
	}
	for i, r := range records {
		at, e, err := decodeEvent(r)
		if err != nil {
			return fmt.Errorf("record %d: %w", i+1, err)
		}
		if pl, ok := e.(placed); ok && (pl.GetTask() < 0 || int(pl.GetTask()) >= len(p.ofKind(kindOf(pl.Placed)))) {
			return fmt.Errorf("record %d: the job has no task %d", i+1, pl.GetTask())
		}
		p.step(at, e)
	}
	return nil
}

// submittedRecord is the first record of a job.
func submittedRecord(now time.Time, submit *jobpb.Submit, j *job, out *output) *jobpb.Record {
	s := &jobpb.Submitted{Submit: submit}
	for _, split := range j.splits {
		kept := &jobpb.Split{Chunks: split.chunks, Bytes: split.bytes, Hosts: split.hosts}
		for _, root := range split.roots {
			kept.Roots = append(kept.Roots, []byte(root))
		}
		s.Splits = append(s.Splits, kept)
	}
	for _, dir := range out.made {
		s.Made = append(s.Made, []byte(dir))
	}
	return &jobpb.Record{UnixNanos: now.UnixNano(), Event: &jobpb.Record_Submitted{Submitted: s}}
}

// restoreJob makes a job and its output of its first record.
func restoreJob(id string, r *jobpb.Record, environment map[string]string) (*job, *output, error) {
	s := r.GetSubmitted()
	if s == nil {
		return nil, nil, errors.New("record 1 is not that of a submission")
	}
	o, err := submittedOptions(s.GetSubmit())
	if err != nil {
		return nil, nil, err
	}
	j := o.template()
	j.id, j.kit, j.user, j.environment = id, s.GetSubmit().GetKit(), o.User, environment
	j.keys.Cuts = s.GetSubmit().GetCuts()
	for _, kept := range s.GetSplits() {
		cut := split{chunks: kept.GetChunks(), bytes: kept.GetBytes(), hosts: kept.GetHosts()}
		for _, root := range kept.GetRoots() {
			cut.roots = append(cut.roots, string(root))
		}
		j.splits = append(j.splits, cut)
		j.mapBytes += cut.bytes
	}
	out, err := outputAt(o.Output)
	if err != nil {
		return nil, nil, err
	}
	for _, dir := range s.GetMade() {
		out.made = append(out.made, string(dir))
	}
	return j, out, nil
}

// submittedOptions reads the arguments of a submission. Paths are taken from the folder that they were written in.
func submittedOptions(s *jobpb.Submit) (Options, error) {
	args := make([]string, len(s.GetArguments()))
	for i, arg := range s.GetArguments() {
		args[i] = string(arg)
	}
	var base Options
	for _, word := range s.GetProgram() {
		base.Program = append(base.Program, string(word))
	}
	o, err := base.ParseArgs(args)
	if err != nil {
		return o, err
	}
	if o, err = o.withDefaults(); err != nil {
		return o, firstLine(err)
	}
	at := func(path string) string {
		if filepath.IsAbs(path) || isRemote(path) {
			return path
		}
		return filepath.Join(string(s.GetDirectory()), path)
	}
	for i, path := range o.Input {
		o.Input[i] = at(path)
	}
	o.Output = at(o.Output)
	return o, nil
}

// isRemote says whether a path is a URL, as of HDFS, and no path of a machine.
func isRemote(path string) bool { return strings.Contains(path, "://") }

func encodeRecord(r *jobpb.Record) ([]byte, error) { return proto.Marshal(r) }

// encodeStanding writes down where a plan stands.
func encodeStanding(at standingAt) ([][]byte, error) {
	var kept [][]byte
	for _, r := range at.records() {
		b, err := encodeRecord(r)
		if err != nil {
			return nil, err
		}
		kept = append(kept, b)
	}
	return kept, nil
}

func decodeRecords(kept [][]byte) ([]*jobpb.Record, error) {
	records := make([]*jobpb.Record, len(kept))
	for i, b := range kept {
		records[i] = &jobpb.Record{}
		if err := proto.Unmarshal(b, records[i]); err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
	}
	return records, nil
}
