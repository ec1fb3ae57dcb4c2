package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/core"
)

func TestOutputsThatHaveChangedAreListed(t *testing.T) {
	w := &world{T: t, workDir: filepath.Join(t.TempDir(), "work")}
	if err := os.Mkdir(w.workDir, 0o755); err != nil {
		t.Fatal(err)
	}
	framework := core.FrameworkView{Info: &mesos.FrameworkInfo{Id: mesos.NewFrameworkID("F")}}
	sandboxes := map[string]string{}
	for _, id := range []string{"e1", "e2", "none"} {
		sandboxes[id] = w.make(checkpoint.Run{SlaveID: "K-S0", FrameworkID: "F", ExecutorID: id, ContainerID: "C"})
		framework.Executors = append(framework.Executors, core.ExecutorView{Info: &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String(id)}}, ContainerID: "C"})
	}
	view := &core.View{SlaveID: "K-S0", Frameworks: []core.FrameworkView{framework}}
	w.server = httptest.NewServer(New(Options{View: func() *core.View { return view }, WorkDir: w.workDir}))
	t.Cleanup(w.server.Close)
	changed := func(since string) (now string, files []string) {
		t.Helper()
		answer, body := w.get("/files/changed", "framework=F&since="+since)
		var list changes
		if err := json.Unmarshal([]byte(body), &list); err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", answer.Status, body)
		}
		for _, c := range list.Changed {
			files = append(files, c.ExecutorID+"/"+c.ContainerID+"/"+c.File)
		}
		return list.Now, files
	}
	// atRest waits until what was written is too long ago to be told of again.
	atRest := func() (now string) {
		t.Helper()
		now, files := changed("0")
		for deadline := time.Now().Add(10 * time.Second); len(files) > 0; now, files = changed(now) {
			if time.Now().After(deadline) {
				t.Fatalf("%q go on changing", files)
			}
		}
		return now
	}
	w.write(sandboxes["e1"]+"/stdout", "1")
	w.write(sandboxes["e2"]+"/stderr", "2")
	w.write(sandboxes["e2"]+"/another", "3")
	if _, all := changed("0"); !slices.Equal(all, []string{"e1/C/stdout", "e2/C/stderr"}) {
		t.Errorf("all are %q", all)
	}
	since := atRest()
	w.write(sandboxes["e1"]+"/stdout", "more")
	if _, files := changed(since); !slices.Equal(files, []string{"e1/C/stdout"}) {
		t.Errorf("one has grown, and %q have changed", files)
	}
	// No task can hide a change, nor have another file looked at.
	since = atRest()
	w.write(sandboxes["e1"]+"/stdout", "and more")
	if err := os.Chtimes(sandboxes["e1"]+"/stdout", time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, files := changed(since); !slices.Equal(files, []string{"e1/C/stdout"}) {
		t.Errorf("one has grown and its times are old, and %q have changed", files)
	}
	if err := os.Symlink(w.workDir+"/secret", sandboxes["none"]+"/stdout"); err != nil {
		t.Fatal(err)
	}
	since = atRest()
	w.write(w.workDir+"/secret", secret)
	if _, files := changed(since); len(files) > 0 {
		t.Errorf("a link was followed: %q", files)
	}
	for query, want := range map[string]string{
		"framework=F":              `since "": it must be 0, or what the last answer has as now`,
		"framework=F&since=-1":     `since "-1": it must be 0`,
		"framework=other&since=0":  `framework "other": it has nothing here`,
		"framework=../../&since=0": `framework "../../": it has nothing here`,
	} {
		if answer, body := w.get("/files/changed", query); answer.StatusCode < 400 || answer.StatusCode > 499 || !strings.Contains(body, want) {
			t.Errorf("%s: %s, %q, want %q", query, answer.Status, body, want)
		}
	}
}
