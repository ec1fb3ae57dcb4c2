package integration_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// A framework whose tasks fetch from each other needs a network that commands can reach.
func TestAHadoopJobRunsOnAClusterInThisProcess(t *testing.T) {
	needsProcesses(t)
	program := stoaProgram(t)
	in := t.TempDir()
	var text strings.Builder
	for range 1000 {
		text.WriteString("b a c a b a\n")
	}
	for _, name := range []string{"one", "two", "three"} {
		if err := os.WriteFile(filepath.Join(in, name), []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := integration.New(t, integration.Slaves(3), integration.TCP(), integration.Processes(program))
	out := filepath.Join(t.TempDir(), "out")
	result, err := hadoop.Run(t.Context(), hadoop.Options{
		Master: c.Master(), Network: c.Network("job"), Input: []string{in}, Output: out,
		Mapper: "stoa hadoop wordcount-mapper", Reducer: "stoa hadoop wordcount-reducer", Reduces: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	expectSameWords(t, readParts(t, result.Output), "a\t9000\nb\t6000\nc\t3000\n")
	c.Await("the framework has gone", func() bool {
		return len(c.Ask(masterpb.Call_GET_FRAMEWORKS).GetGetFrameworks().GetFrameworks()) == 0
	})
}
