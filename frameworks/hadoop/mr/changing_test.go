package mr

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// A large file of several splits that changes while functions are in the middle of each: a map reads what the file was when it
// was listed, or ends and says what has happened.
func TestMapsWhoseLargeInputChanges(t *testing.T) {
	const size, line, splits, shrunk = 80 << 20, "sixteen bytes a\n", 5, 20 << 20
	for name, test := range map[string]struct {
		change func(path string) error
		fails  int // of the splits, the last ones
	}{
		"grows": {func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("later\n")
				_ = f.Close()
			}
			return err
		}, 0},
		"vanishes": {os.Remove, 0},                                                    // all have it open
		"shrinks":  {func(path string) error { return os.Truncate(path, shrunk) }, 4}, // within the second
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "in")
			if err := os.WriteFile(path, bytes.Repeat([]byte(line), size/len(line)), 0o600); err != nil {
				t.Fatal(err)
			}
			var begun, ended sync.WaitGroup
			goOn := make(chan struct{})
			begun.Add(splits)
			summaries, errs := [splits]*taskpb.MapSummary{}, [splits]error{}
			for i := range splits {
				ended.Go(func() {
					job := Job[[]byte, int64]{Key: Bytes{}, Value: Int{}}
					first := true
					job.Map = func([]byte, func([]byte, int64)) error {
						if first {
							first = false
							begun.Done()
							<-goOn
						}
						return nil
					}
					summaries[i], errs[i] = task.Map(context.Background(), &taskpb.MapTask{
						Attempt: &taskpb.Attempt{TaskId: "map"}, Program: &taskpb.Program{}, Partitions: 1,
						Chunks: []*taskpb.Chunk{{Path: []byte(path), Offset: int64(i) * size / splits, Length: size / splits, FileSize: size}},
					}, task.Env{Sandbox: t.TempDir(), Environ: os.Environ(), Functions: new(job.functions())})
				})
			}
			begun.Wait()
			err := test.change(path)
			close(goOn)
			ended.Wait()
			if err != nil {
				t.Fatal(err)
			}
			for i, err := range errs {
				want := "input file " + path + " has changed: it ends after "
				switch fails := i >= splits-test.fails; {
				case fails && (err == nil || !strings.Contains(err.Error(), want)):
					t.Errorf("split %d ends with %v, want %q", i, err, want)
				case !fails && (err != nil || summaries[i].GetInputRecords() != size/splits/int64(len(line))):
					t.Errorf("split %d has read %d lines, %v", i, summaries[i].GetInputRecords(), err)
				}
			}
		})
	}
}
