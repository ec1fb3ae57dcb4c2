package task

import (
	"bufio"
	"context"
	"io"
	"path/filepath"
	"strconv"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"google.golang.org/protobuf/proto"
)

// Map streams the order's chunks to its mapper and keeps what the mapper prints as one sorted file of records for each
// partition, or as it is if the job has no reduces, and a summary, below the sandbox. Errors: *CommandError when the
// mapper or the combiner fails; else what names the input file or the sandbox's file that could not be read or written.
// A mapper that ends with status 0 before it has read all its input is no error.
func Map(ctx context.Context, order *taskpb.MapTask, env Env) (*taskpb.MapSummary, error) {
	if order.GetProgram() != nil && env.Functions == nil {
		return mapByProgram(ctx, order, env)
	}
	dir, err := env.freshDir("map")
	if err != nil {
		return nil, err
	}
	m := &mapRun{
		order: order, env: env, bufferBytes: sortBuffer(order.GetSortBufferBytes()), input: newSplitWriter(order),
		variables: mapVariables(order), reports: newReports(),
	}
	if m.keys, err = newKeyRules(order.GetKeys()); err != nil {
		return nil, err
	}
	if m.env, err = env.withKit(order.GetKit()); err != nil {
		return nil, err
	}
	m.input.environ = m.env.Environ
	var summary *taskpb.MapSummary
	if order.GetMapOnly() {
		summary, err = m.only(ctx)
	} else {
		summary, err = m.sorted(ctx, dir)
	}
	if err != nil {
		return nil, err
	}
	summary.InputFiles, summary.InputBytes, summary.InputRecords = m.input.files, m.input.bytes, m.input.lines
	summary.InputsSeen = m.input.seen
	summary.CombineInputRecords, summary.CombineOutputRecords = m.combineInput, m.combineOutput
	if summary.Reports, err = m.reports.summary(); err != nil {
		return nil, err
	}
	return summary, writeMessage(filepath.Join(env.Sandbox, MapSummaryFile), summary)
}

// mapByProgram has the order's program do the map.
func mapByProgram(ctx context.Context, order *taskpb.MapTask, env Env) (*taskpb.MapSummary, error) {
	env, err := env.withKit(order.GetKit())
	if err != nil {
		return nil, err
	}
	inner := proto.CloneOf(order)
	inner.Kit = nil
	reports, err := env.runProgram(ctx, "map", order.GetProgram(), inner, mapVariables(order))
	if err != nil {
		return nil, err
	}
	summary := &taskpb.MapSummary{}
	if err := readMessage(env.path(MapSummaryFile), summary); err != nil {
		return nil, err
	}
	summary.Reports = reports
	return summary, writeMessage(env.path(MapSummaryFile), summary)
}

// mapRun is a map that runs.
type mapRun struct {
	order       *taskpb.MapTask
	env         Env
	keys        *keyRules
	bufferBytes int64
	variables   []string
	reports     *reports
	input       *splitWriter

	combineInput, combineOutput, spilled int64
}

// only keeps what the mapper prints.
func (m *mapRun) only(ctx context.Context) (*taskpb.MapSummary, error) {
	out, err := createLines(m.env.path(MapPartFile(0)))
	if err != nil {
		return nil, err
	}
	defer out.file.Close()
	if m.env.Functions != nil {
		w := bufio.NewWriterSize(out, blockBytes)
		if err = m.callAll(emitLines(w)); err == nil {
			err = w.Flush()
		}
	} else {
		err = m.mapAll(ctx, out.readFrom)
	}
	if err != nil {
		return nil, err
	}
	part, err := out.close()
	if err != nil {
		return nil, err
	}
	return &taskpb.MapSummary{Parts: []*taskpb.Part{part}, OutputRecords: part.GetRecords(), OutputBytes: part.GetBytes()}, nil
}

// sorted keeps what the mapper prints as sorted records, combined if there is a combiner.
func (m *mapRun) sorted(ctx context.Context, dir string) (*taskpb.MapSummary, error) {
	combines := m.order.GetCombiner() != ""
	if combines {
		m.bufferBytes /= 2 // the other half is for what the combiner prints
	}
	sorted, err := newSorter(dir, max(1, int(m.order.GetPartitions())), m.bufferBytes, m.keys)
	if err != nil {
		return nil, err
	}
	defer sorted.close()
	if m.env.Functions != nil {
		sorted.gap = 0
		err = m.callAll(sorted.put)
	} else {
		err = m.mapAll(ctx, sorted.readFrom)
	}
	if err != nil {
		return nil, err
	}
	var parts []*taskpb.Part
	if combines {
		parts, err = m.combineParts(ctx, sorted)
	} else {
		parts, err = sorted.finish(func(p int) string { return m.env.path(MapPartFile(p)) })
	}
	return &taskpb.MapSummary{
		Parts: parts, OutputRecords: sorted.records, OutputBytes: sorted.bytes, SpilledRecords: sorted.spilled + m.spilled,
	}, err
}

// mapAll runs the mapper over all chunks, or one for each file if files are given whole.
func (m *mapRun) mapAll(ctx context.Context, read func(io.Reader) error) error {
	if m.order.GetInputFormat() != taskpb.InputFormat_INPUT_FORMAT_WHOLE_FILE {
		return m.mapper(ctx, m.order.GetChunks(), m.variables, read)
	}
	for _, c := range m.order.GetChunks() {
		variables := append(attemptVariables(m.order.GetAttempt(), true), chunkVariables(c)...)
		if err := m.mapper(ctx, []*taskpb.Chunk{c}, variables, read); err != nil {
			return err
		}
	}
	return nil
}

// callAll is mapAll with functions.
func (m *mapRun) callAll(emit func(key, value []byte) error) error {
	if m.order.GetInputFormat() != taskpb.InputFormat_INPUT_FORMAT_WHOLE_FILE {
		return m.mapFunction(m.order.GetChunks(), emit)
	}
	for _, c := range m.order.GetChunks() {
		if err := m.mapFunction([]*taskpb.Chunk{c}, emit); err != nil {
			return err
		}
	}
	return nil
}

func (m *mapRun) mapper(ctx context.Context, chunks []*taskpb.Chunk, variables []string, read func(io.Reader) error) error {
	mapper, err := startCommand(ctx, "mapper", m.order.GetMapper(), m.env, variables, m.reports)
	if err != nil {
		return err
	}
	return mapper.run(func(stdin io.Writer) error {
		m.input.to(stdin)
		return m.input.all(chunks)
	}, read)
}

// all writes every chunk.
func (s *splitWriter) all(chunks []*taskpb.Chunk) error {
	for _, c := range chunks {
		if err := s.chunk(c); err != nil {
			return err
		}
	}
	return s.flush()
}

func mapVariables(order *taskpb.MapTask) []string {
	var more []string
	if chunks := order.GetChunks(); len(chunks) == 1 {
		more = chunkVariables(chunks[0])
	}
	return attemptVariables(order.GetAttempt(), true, more...)
}

func chunkVariables(c *taskpb.Chunk) []string {
	return []string{
		"mapreduce_map_input_file=" + string(c.GetPath()),
		"mapreduce_map_input_start=" + strconv.FormatInt(c.GetOffset(), 10),
		"mapreduce_map_input_length=" + strconv.FormatInt(c.GetLength(), 10),
	}
}
