package integration_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func splitLines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

// listed is what a list of tasks has of each.
type listed struct {
	ID          string `json:"id"`
	State       string `json:"state"`
	SlaveID     string `json:"slave_id"`
	FrameworkID string `json:"framework_id"`
	ExecutorID  string `json:"executor_id"`
}

func (c *localCluster) listTasks(args ...string) map[string]listed {
	c.g.t.Helper()
	p := c.on("task", append([]string{"list", "--json"}, args...)...)
	p.expect(0)
	var list []listed
	if err := json.Unmarshal([]byte(p.out.String()), &list); err != nil {
		c.g.t.Fatalf("task list said %s: %v", p.out.String(), err)
	}
	tasks := map[string]listed{}
	for _, t := range list {
		tasks[t.ID] = t
	}
	return tasks
}

func TestTasksAreListedFollowedAndKilled(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--resources", "cpus:4;mem:1024")
	run := g.start("run", "--master", c.master, "--name", "job", "--", "sh", "-c", "echo out; echo err >&2; trap 'echo asked; exit 3' TERM; sleep 1000 & wait")
	g.await("it runs", func() bool { return strings.Contains(run.out.String(), "out\n") })
	if got := c.listTasks(); len(got) != 1 || got["job-0"].State != "TASK_RUNNING" {
		t.Errorf("the list is %v, want job-0 running", got)
	}
	follow := g.start("task", "logs", "--master", c.master, "-f", "job-0")
	g.await("the log is followed", func() bool { return follow.out.String() == "out\n" })
	if p := c.on("task", "logs", "--stderr", "job-0"); p.out.String() != "err\n" {
		t.Errorf("task logs --stderr said %q", p.out.String())
	}
	c.on("task", "kill", "job-0").expect(0)
	run.expect(143, "killed")
	follow.expect(0)
	if got := follow.out.String(); got != "out\nasked\n" {
		t.Errorf("the followed log is %q", got)
	}
	if got := c.listTasks(); len(got) != 0 {
		t.Errorf("after the end the list is %v", got)
	}
	if got := c.listTasks("--all"); got["job-0"].State != "TASK_KILLED" {
		t.Errorf("among all tasks job-0 is %v, want killed", got["job-0"])
	}
	c.on("task", "kill", "no-such-task").expect(1, "no-such-task")
	c.on("task", "logs", "no-such-task").expect(1, "no-such-task")
	c.interrupt()
}

// get fetches a page of a daemon.
func get(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestDaemonsAnswerOverHTTPOnThePortOfTheirPeers(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--resources", "cpus:4;mem:1024")
	c.on("run", "--name", "job", "--", "sh", "-c", "printf hello").expect(0)
	var nodes []struct {
		Hostname string
		Port     int
	}
	if err := json.Unmarshal([]byte(c.on("node", "list", "--json").out.String()), &nodes); err != nil || len(nodes) != 1 {
		t.Fatalf("the nodes are %v (%v)", nodes, err)
	}
	slave := fmt.Sprintf("127.0.0.1:%d", nodes[0].Port)
	for _, page := range []struct{ address, path, has string }{
		{c.master, "/health", `"healthy"`},
		{c.master, "/version", `"version"`},
		{c.master, "/metrics", "stoa_master_"},
		{slave, "/health", `"healthy"`},
		{slave, "/version", `"version"`},
		{slave, "/metrics", "stoa_slave_"},
	} {
		if status, body := get(t, page.address, page.path); status != 200 || !strings.Contains(body, page.has) {
			t.Errorf("%s of %s: %d, %q; want %s in it", page.path, page.address, status, body, page.has)
		}
	}
	task := c.listTasks("--all")["job-0"]
	sandbox := fmt.Sprintf("/slaves/%s/frameworks/%s/executors/job-0/runs/latest", task.SlaveID, task.FrameworkID)
	for path, has := range map[string]string{
		"/files/browse?path=" + url.QueryEscape(sandbox):                                   `stdout`,
		"/files/read?path=" + url.QueryEscape(sandbox+"/stdout") + "&offset=1&length=2":    `"el"`,
		"/files/read?path=" + url.QueryEscape(sandbox+"/stdout") + "&offset=-1":            `5`,
		"/files/download?path=" + url.QueryEscape(sandbox+"/stdout"):                       "hello",
		"/files/download?path=" + url.QueryEscape(sandbox+"/../../../../../../../../lock"): "",
	} {
		status, body := get(t, slave, path)
		if has == "" {
			if status < 400 {
				t.Errorf("%s: %d, %q; want it refused", path, status, body)
			}
		} else if status != 200 || !strings.Contains(body, has) {
			t.Errorf("%s: %d, %q; want %s in it", path, status, body, has)
		}
	}
	c.interrupt()
}

func TestPlainProcessesDoNotOutliveTheirHostEither(t *testing.T) {
	g := newGround(t)
	t.Parallel()
	c := g.local("--slaves", "1", "--isolation", "process")
	runaway := `setsid sh -c 'trap "" TERM; sleep 1001' & setsid sleep 1002; wait`
	run := g.start("run", "--master", c.master, "--", "sh", "-c", runaway)
	g.await("it runs", func() bool { return len(g.tasksNamed("sleep")) == 2 })
	for _, p := range g.daemons("host") {
		g.kill(p)
	}
	run.expect(125, "the host process ended")
	g.await("nothing of the task is left", func() bool { return len(g.tasks()) == 0 })

	again := g.start("run", "--master", c.master, "--", "sh", "-c", runaway)
	g.await("it runs", func() bool { return len(g.tasksNamed("sleep")) == 2 })
	c.interrupt()
	again.end()
}
