package integration_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoa-project/stoa/frameworks/run"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
)

func TestARunInFakeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := integration.New(t, integration.Slaves(2), integration.Commands(func(containerizer.Spec) fake.Behaviour {
			return fake.Behaviour{Stdout: "hello\n", Stderr: "oh\n", Lasts: time.Minute, Status: fake.Exited(7)}
		}))
		var out, err bytes.Buffer
		began := time.Now()
		result, failure := run.Run(t.Context(), run.Options{
			Command: []string{"/bin/cmd"}, Master: c.Master(), Network: c.Network("laptop"),
		}, &out, &err)
		if failure != nil || result.ExitCode != 7 || out.String() != "hello\n" || err.String() != "oh\n" {
			t.Errorf("result %+v, error %v, stdout %q, stderr %q", result, failure, out.String(), err.String())
		}
		if took := time.Since(began); took < time.Minute || took > time.Minute+10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestARunOfRealProcesses(t *testing.T) {
	for name, options := range map[string][]integration.Option{
		"in memory": {integration.Processes("")},
		"over TCP":  {integration.Processes(""), integration.TCP()},
	} {
		t.Run(name, func(t *testing.T) {
			c := integration.New(t, options...)
			var out, err bytes.Buffer
			result, failure := run.Run(t.Context(), run.Options{
				Command: []string{"sh", "-c", "echo hello; echo oh >&2; exit 7"}, Master: c.Master(), Network: c.Network("laptop"),
			}, &out, &err)
			if failure != nil || result.ExitCode != 7 || out.String() != "hello\n" || err.String() != "oh\n" {
				t.Errorf("result %+v, error %v, stdout %q, stderr %q", result, failure, out.String(), err.String())
			}
		})
	}
}
