package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/master/api"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

func get(t *testing.T, h http.Handler, method, path string) (int, http.Header, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(method, path, nil))
	body, err := io.ReadAll(recorder.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return recorder.Code, recorder.Header(), string(body)
}

func TestEndpoints(t *testing.T) {
	h := api.New(api.Options{Published: &master.Published{}})
	for name, test := range map[string]struct {
		method, path string
		code         int
		body         string // regular expression
	}{
		"health is 200":                         {"GET", "/health", 200, `^{"healthy":true}\n$`},
		"health is there for HEAD too":          {"HEAD", "/health", 200, ``},
		"the version is digits and dots":        {"GET", "/version", 200, `^{"version":"[0-9]+\.[0-9]+\.[0-9]+"}\n$`},
		"Mesos's paths with a prefix work":      {"GET", "/master/version", 200, `version`},
		"metrics are there before there is any": {"GET", "/metrics", 200, `stoa_master_step_seconds_count 0`},
		"what is not there is a 404":            {"GET", "/nonsense", 404, `404`},
		"nothing can be posted":                 {"POST", "/health", 405, ``},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, body := get(t, h, test.method, test.path)
			if code != test.code || !regexp.MustCompile(test.body).MatchString(body) {
				t.Errorf("%s %s: %d %q, want %d and %q", test.method, test.path, code, body, test.code, test.body)
			}
		})
	}
}

func TestVersionIsWhatTheProgramSays(t *testing.T) {
	_, header, body := get(t, api.New(api.Options{Published: &master.Published{}}), "GET", "/version")
	var answer struct{ Version string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Version != wire.Version {
		t.Errorf("version is %q (%v), want %q", answer.Version, err, wire.Version)
	}
	if kind := header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("content type is %q, want application/json", kind)
	}
}

// TestMetricsFollowTheMaster has a real master with a slave.
func TestMetricsFollowTheMaster(t *testing.T) {
	sys := actor.NewSystem(actor.SystemOptions{Node: "test", Role: wire.RoleMaster})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := sys.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	published := &master.Published{}
	sys.Spawn(master.Name, master.New(master.Config{Published: published}))
	h := api.New(api.Options{Published: published, Stats: sys.Stats})
	slave := actortest.NewProbe(t, sys)
	slave.Send(actor.At("", master.Name), &wire.RegisterSlave{Slave: &mesos.AgentInfo{
		Hostname: proto.String("s1"), Resources: resource.MustParse("cpus:4;mem:1024").ToProto(),
	}})
	actortest.Await[*wire.SlaveRegistered](t, slave)
	want := []string{
		`stoa_master_slaves{state="connected"} 1`,
		`stoa_master_slave_registrations_total 1`,
		`stoa_master_resources_total{name="cpus"} 4`,
		`stoa_master_tasks{state="running"} 0`,
		`stoa_master_frameworks{state="connected"} 0`,
		`stoa_master_dead_letters_total 0`,
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, _, body := get(t, h, "GET", "/metrics")
		missing := ""
		for _, line := range want {
			if !strings.Contains(body, line+"\n") {
				missing = line
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in\n%s", missing, body)
		}
		time.Sleep(5 * time.Millisecond) // Between two looks at a condition that has a deadline.
	}
}
