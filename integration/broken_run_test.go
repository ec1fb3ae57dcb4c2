package integration_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoa-project/stoa/frameworks/run"
	"github.com/stoa-project/stoa/integration"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
)

// The connection of a run to its master breaks. With a failover timeout its instances outlive that, and it goes on; without
// one they have ended with the connection, and it is told so.
func TestARunWhoseConnectionBreaks(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"with a failover timeout": time.Minute, "without one": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := integration.New(t, integration.Slaves(2), integration.Commands(func(containerizer.Spec) fake.Behaviour {
					return fake.Behaviour{Stdout: "hello\n", Lasts: time.Minute, Status: fake.Exited(0)}
				}))
				var out, errors bytes.Buffer
				var result run.Result
				var failure error
				done := make(chan struct{})
				go func() {
					defer close(done)
					result, failure = run.Run(t.Context(), run.Options{
						Command: []string{"/bin/cmd"}, Instances: 2, FailoverTimeout: timeout, Roles: []string{"web", "db"},
						Master: c.Master(), Network: c.Network("laptop"),
					}, &out, &errors)
				}()
				c.Await("both run", func() bool { return c.Running() == 2 })
				c.Break("laptop", "master")
				<-done
				if timeout > 0 && (failure != nil || result.ExitCode != 0 || strings.Count(out.String(), "hello\n") != 2) {
					t.Errorf("result %+v, error %v, output %q", result, failure, out.String())
				}
				if timeout == 0 && (failure == nil || result.ExitCode != run.ExitFailed || !strings.Contains(failure.Error(), "Framework has been removed")) {
					t.Errorf("result %+v, error %v, want to be told that the framework was removed", result, failure)
				}
				if len(c.Started()) != 2 {
					t.Errorf("%d commands were started, want 2", len(c.Started()))
				}
			})
		})
	}
}
