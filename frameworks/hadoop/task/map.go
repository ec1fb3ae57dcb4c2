package task

import (
	"context"
	"io"
	"path/filepath"
	"strconv"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// Map streams the order's chunks to its mapper and keeps what the mapper prints as one sorted file of records for each
// partition, and a summary, below the sandbox. Errors: *CommandError when the mapper fails; else what names the input
// file or the sandbox's file that could not be read or written. A mapper that ends with status 0 before it has read
// all its input is no error.
func Map(ctx context.Context, order *taskpb.MapTask, env Env) (*taskpb.MapSummary, error) {
	dir, err := env.freshDir("map")
	if err != nil {
		return nil, err
	}
	mapper, err := startCommand(ctx, "mapper", order.GetMapper(), env, mapVariables(order))
	if err != nil {
		return nil, err
	}
	var input *splitWriter
	partitions := max(1, int(order.GetPartitions()))
	sorted := newSorter(dir, partitions, sortBuffer(order.GetSortBufferBytes()))
	err = mapper.run(func(stdin io.Writer) error {
		input = newSplitWriter(stdin)
		return input.all(order.GetChunks())
	}, sorted.readFrom)
	if err != nil {
		return nil, err
	}
	parts, err := sorted.finish(func(p int) string { return env.path(MapPartFile(p)) })
	if err != nil {
		return nil, err
	}
	summary := &taskpb.MapSummary{
		Parts:          parts,
		InputFiles:     input.files,
		InputBytes:     input.bytes,
		InputRecords:   input.lines,
		OutputRecords:  sorted.records,
		OutputBytes:    sorted.bytes,
		SpilledRecords: sorted.spilled,
	}
	return summary, writeMessage(filepath.Join(env.Sandbox, MapSummaryFile), summary)
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
		more = []string{
			"mapreduce_map_input_file=" + string(chunks[0].GetPath()),
			"mapreduce_map_input_start=" + strconv.FormatInt(chunks[0].GetOffset(), 10),
			"mapreduce_map_input_length=" + strconv.FormatInt(chunks[0].GetLength(), 10),
		}
	}
	return attemptVariables(order.GetAttempt(), true, more...)
}
