package hadoop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stoa-project/stoa/frameworks/hadoop/apache"
	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
)

// realHDFS starts one, or skips the test by name.
func realHDFS(t *testing.T, blockBytes int) (*apache.HDFS, *hdfs.System) {
	t.Helper()
	if testing.Short() {
		t.Skip("two Java machines")
	}
	hadoop, err := apache.Find(t.TempDir())
	if errors.Is(err, apache.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := hadoop.StartHDFS(t.Context(), blockBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	system := &hdfs.System{HTTP: server.HTTP}
	t.Cleanup(system.Close)
	return server, system
}

// writeFile writes a file, anew while the name node has not yet heard of one of its blocks: with blocks this small its data node may be
// slower to tell than the next block is to come, and the client can't go on then.
func writeFile(t *testing.T, system *hdfs.System, at hdfs.Location, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		w, err := system.Create(at)
		if err == nil {
			if _, err = io.WriteString(w, text); err != nil {
				_ = w.Close()
			} else {
				err = w.Close()
			}
		}
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "NotReplicatedYetException") || time.Now().After(deadline) {
			t.Fatal(err)
		}
		if err := system.Remove(at); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAJobFromAndToHDFS(t *testing.T) {
	const blockBytes = 64 << 10
	server, system := realHDFS(t, blockBytes)
	at := func(path string) hdfs.Location { return hdfs.Location{NameNode: server.NameNode, Path: path} }
	var all strings.Builder
	for i := range 3 {
		var text strings.Builder
		for j := range 9000 { // several blocks, whose ends are within lines
			fmt.Fprintf(&text, "word%d of file %d\n", j*j%977, i)
		}
		all.WriteString(text.String())
		writeFile(t, system, at(fmt.Sprintf("/in/day%d/log", i)), text.String())
	}
	o := Options{
		Input: []string{at("/in/day[01]").String(), at("/in/day2/log").String()}, NameNodeHTTP: server.HTTP,
		Output: at("/new/out").String(), Mapper: WordCountMapper, Reducer: WordCountReducer, Reduces: 2, MinSplit: blockBytes,
	}
	t.Run("a split is a block, and says who has it", func(t *testing.T) {
		full, err := o.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		j, err := full.job(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if len(j.splits) < 6 {
			t.Fatalf("%d splits", len(j.splits))
		}
		for _, s := range j.splits {
			c := s.chunks[0]
			if len(s.hosts) == 0 || len(s.roots) > 0 || c.GetOffset()%blockBytes != 0 || c.GetLength() > blockBytes {
				t.Errorf("split %v on %v", s.chunks, s.hosts)
			}
		}
	})
	t.Run("the output is there, and nothing beside it", func(t *testing.T) {
		if _, err := newCluster(t, 2).run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		entries, err := system.List(at("/new/out"))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		var got bytes.Buffer
		for _, e := range entries {
			names = append(names, strings.TrimPrefix(e.Path, "/new/out/"))
			f, err := system.Open(e.Location)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(&got, f); err != nil && e.Size > 0 {
				t.Fatal(err)
			}
			f.Close()
		}
		if diff := cmp.Diff([]string{"_SUCCESS", "part-00000", "part-00001"}, names); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(pipelineOf(t, countWords, all.String()), pipelineOf(t, "sort", got.String())); diff != "" {
			t.Errorf("(-want +got):\n%.1000s", diff)
		}
	})
	t.Run("an output that exists is refused", func(t *testing.T) {
		if _, err := newCluster(t, 1).run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "already exists") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a job that fails leaves nothing", func(t *testing.T) {
		failing := o
		failing.Output, failing.Reducer, failing.MaxReduceAttempts = at("/failed").String(), "exit 3", 1
		if _, err := newCluster(t, 2).run(t.Context(), failing); err == nil {
			t.Error("it did not fail")
		}
		if e, err := system.Stat(at("/failed")); err == nil {
			t.Errorf("left %+v", e)
		}
	})
	t.Run("a path that is there is no pattern", func(t *testing.T) {
		odd := at("/odd{name[*")
		writeFile(t, system, odd, "x")
		for input, want := range map[string][]string{
			odd.String():               {odd.String()},
			at("/od[!a]*").String():    {odd.String()},
			at("/in/day[!1]").String(): {at("/in/day0").String(), at("/in/day2").String()},
		} {
			if found, err := (remoteFiles{system: system}).glob(input); err != nil || !slices.Equal(found, want) {
				t.Errorf("%s: got %v, %v", input, found, err)
			}
		}
	})
	t.Run("inputs that can not be are named", func(t *testing.T) {
		for input, want := range map[string]string{
			at("/none").String():     "input " + at("/none").String() + " does not exist",
			at("/in/x*").String():    "input " + at("/in/x*").String() + " matches no file and no folder",
			"hdfs:///in":             `input "hdfs:///in": wanted is hdfs://HOST:PORT/PATH`,
			"hdfs://127.0.0.1:1/in":  "input on the name node 127.0.0.1:1: ",
			at("/in/day[0").String(): "input " + at("/in/day[0").String() + ": a [ has no ]",
		} {
			bad := o
			bad.Input, bad.Output = []string{input}, at("/other").String()
			if _, err := Run(t.Context(), bad); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	})
}
