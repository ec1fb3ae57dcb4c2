package mesos_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

// check wants no error if want is empty, else one line that contains want.
func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("want no error, got: %v", err)
	case want != "" && err == nil:
		t.Errorf("want an error with %q, got none", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("want an error with %q, got: %v", want, err)
	case err != nil && strings.Contains(err.Error(), "\n"):
		t.Errorf("the error has more than one line: %q", err)
	}
}

// parse reads a message from its text form.
func parse[M proto.Message](t *testing.T, m M, text string) M {
	t.Helper()
	if err := (prototext.UnmarshalOptions{AllowPartial: true}).Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("bad test: %v", err)
	}
	return m
}

func TestIDs(t *testing.T) {
	for _, test := range []struct{ name, id, want string }{
		{"a plain one is allowed", "web.1-a_b", ""},
		{"spaces and colons are allowed", "ct:1436:0:nightly backup", ""},
		{"255 bytes are allowed", strings.Repeat("x", 255), ""},
		{"an empty one is not", "", "task id is empty: it must have 1 to 255 bytes"},
		{"256 bytes are not", strings.Repeat("x", 256), "has 256 bytes: it may have at most 255"},
		{"one dot is not", ".", `task id "." is the name of a folder`},
		{"two dots are not", "..", `task id ".." is the name of a folder`},
		{"three dots are allowed", "...", ""},
		{"a slash is not", "a/b", `task id "a/b" has '/' at byte 1`},
		{"a backslash is not", `a\b`, `has '\\' at byte 1`},
		{"a newline is not", "ab\n", `has '\n' at byte 2`},
		{"a zero byte is not", "\x00", `has '\x00' at byte 0`},
		{"delete is not", "a\x7f", `has '\x7f' at byte 1`},
		{"other scripts are allowed", "στοά", ""},
	} {
		t.Run(test.name, func(t *testing.T) { check(t, mesos.ValidateTaskID(mesos.NewTaskID(test.id)), test.want) })
	}
}

func TestRoles(t *testing.T) {
	for _, test := range []struct{ name, role, want string }{
		{"the default role is allowed", "*", ""},
		{"a name is allowed", "eng", ""},
		{"a path is allowed", "eng/web-1/staging.eu", ""},
		{"a dash inside is allowed", "e-ng", ""},
		{"an empty one is not", "", "role is empty"},
		{"a leading slash is not", "/eng", "starts or ends with a slash"},
		{"a trailing slash is not", "eng/", "starts or ends with a slash"},
		{"two slashes are not", "eng//web", "empty name between two slashes"},
		{"a leading dash is not", "eng/-web", `the name "-web" in its path: a name must not start with a dash`},
		{"a dot as a name is not", "eng/./web", `has the name "." in its path`},
		{"two dots as a name are not", "..", `has the name ".." in its path`},
		{"a star within a path is not", "eng/*", `has the name "*" in its path`},
		{"a space is not", "eng web", `has ' ' at byte 3`},
		{"a tab is not", "eng\tweb", `has '\t' at byte 3`},
		{"a backslash is not", `eng\web`, `has '\\' at byte 3`},
	} {
		t.Run(test.name, func(t *testing.T) { check(t, mesos.ValidateRole(test.role), test.want) })
	}
}

func TestASubroleLiesStrictlyBelowItsParent(t *testing.T) {
	for _, test := range []struct {
		role, parent string
		want         bool
	}{
		{"eng/web", "eng", true},
		{"eng/web/a", "eng", true},
		{"eng", "eng", false},
		{"engine", "eng", false},
		{"eng", "eng/web", false},
		{"eng", "*", false},
	} {
		if got := mesos.IsSubrole(test.role, test.parent); got != test.want {
			t.Errorf("IsSubrole(%q, %q) is %v, want %v", test.role, test.parent, got, test.want)
		}
	}
}

func TestFrameworkInfo(t *testing.T) {
	for _, test := range []struct{ name, info, want string }{
		{"user and name are enough", `user: "root" name: "web"`, ""},
		{"the name may be empty", `user: "root" name: ""`, ""},
		{"the user may not be empty", `user: "" name: "web"`, "framework_info.user is empty"},
		{"a newline in the name is not allowed", `user: "root" name: "a\nb"`, `framework_info.name "a\nb" has '\n' at byte 1`},
		{"an empty id means none yet", `user: "root" name: "web" id { value: "" }`, ""},
		{"an id must be valid", `user: "root" name: "web" id { value: "a/b" }`, `framework id "a/b"`},
		{"one role is allowed", `user: "root" name: "web" role: "eng/web"`, ""},
		{"roles need the capability", `user: "root" name: "web" roles: "eng"`, "needs the capability MULTI_ROLE"},
		{"roles are allowed with it", `user: "root" name: "web" roles: ["ops", "eng"] capabilities { type: MULTI_ROLE }`, ""},
		{"no roles are allowed with it", `user: "root" name: "web" capabilities { type: MULTI_ROLE }`, ""},
		{"role and roles together are not allowed", `user: "root" name: "web" role: "a" roles: "b" capabilities { type: MULTI_ROLE }`, `both role "a" and roles ["b"]`},
		{"role is not allowed with the capability", `user: "root" name: "web" role: "a" capabilities { type: MULTI_ROLE }`, `framework_info.role is "a"`},
		{"a role twice is not allowed", `user: "root" name: "web" roles: ["a", "b", "a"] capabilities { type: MULTI_ROLE }`, `framework_info.roles has "a" twice`},
		{"a role must be valid", `user: "root" name: "web" role: "/a"`, `role "/a" starts or ends with a slash`},
		{"a failover timeout of ten years is allowed", `user: "root" name: "web" failover_timeout: 315360000`, ""},
		{"a negative failover timeout is not", `user: "root" name: "web" failover_timeout: -1`, "failover_timeout is -1: allowed are 0 to 9223372037 seconds"},
		{"an endless failover timeout is not", `user: "root" name: "web" failover_timeout: inf`, "failover_timeout is +Inf"},
		{"a failover timeout must be a number", `user: "root" name: "web" failover_timeout: nan`, "failover_timeout is NaN"},
		{"offer filters are for the framework's roles", `user: "root" name: "web" role: "a" offer_filters { key: "b" value {} }`, `offer_filters has the role "b": the framework's roles are ["a"]`},
		{"quantities in offer filters must not be negative", `user: "root" name: "web" role: "a" offer_filters { key: "a" value { min_allocatable_resources { quantities { quantities { key: "cpus" value { value: -1 } } } } } }`, `"cpus" is -1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			check(t, mesos.ValidateFrameworkInfo(parse(t, &mesos.FrameworkInfo{}, test.info)), test.want)
		})
	}
	check(t, mesos.ValidateFrameworkInfo(nil), "framework_info is missing")
}

func TestRolesOfAFramework(t *testing.T) {
	for _, test := range []struct {
		name, info string
		want       []string
	}{
		{"without anything it is the default role", ``, []string{"*"}},
		{"without the capability it is its role", `role: "a"`, []string{"a"}},
		{"with the capability it is its roles, sorted", `roles: ["b", "a"] capabilities { type: MULTI_ROLE }`, []string{"a", "b"}},
		{"with the capability it may be none", `capabilities { type: MULTI_ROLE }`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, mesos.RolesOf(parse(t, &mesos.FrameworkInfo{}, test.info))); diff != "" {
				t.Errorf("roles (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTaskInfo(t *testing.T) {
	const ids = `name: "n" task_id { value: "t1" } agent_id { value: "S0" } `
	const command = `command { value: "true" } `
	const executor = `executor { executor_id { value: "e" } command { value: "run" } `
	for _, test := range []struct{ name, task, want string }{
		{"a command is enough", ids + command, ""},
		{"an executor is enough", ids + executor + `}`, ""},
		{"both are too many", ids + command + executor + `}`, `task "t1": it has both a command and an executor`},
		{"neither is too little", ids, `task "t1": it has neither a command nor an executor`},
		{"the task id must be valid", `name: "n" task_id { value: "a/b" } agent_id { value: "S0" }` + command, `task id "a/b" has '/'`},
		{"the agent id must be there", `name: "n" task_id { value: "t1" }` + command, `task "t1": agent id is empty`},
		{"the executor id must be valid", ids + `executor { executor_id { value: ".." } command { value: "run" } }`, `executor id ".."`},
		{"an executor needs a command", ids + `executor { executor_id { value: "e" } }`, `executor "e": it has no command`},
		{"the built-in executor has none", ids + `executor { type: DEFAULT executor_id { value: "e" } command { value: "x" } }`, "its type is DEFAULT and it has a command"},
		{"the built-in executor needs none", ids + `executor { type: DEFAULT executor_id { value: "e" } }`, ""},
		{"the built-in executor runs in no DOCKER container", ids + `executor { type: DEFAULT executor_id { value: "e" } container { type: DOCKER docker { image: "x" } } }`, "its container's DOCKER"},
		{"an executor's framework id must be valid", ids + executor + `framework_id { value: "a/b" } }`, `framework id "a/b"`},
		{"an executor's resources must be valid", ids + executor + `resources { name: "cpus" type: SCALAR scalar { value: -1 } } }`, `executor "e": resource "cpus": its amount is -1`},
		{"an executor's shutdown grace must not be negative", ids + executor + `shutdown_grace_period { nanoseconds: -1 } }`, "shutdown_grace_period is -1 ns"},
		{"resources must be valid", ids + command + `resources { name: "cpus" type: SCALAR scalar { value: nan } }`, `resource "cpus": its amount is NaN`},
		{"a grace period must not be negative", ids + command + `kill_policy { grace_period { nanoseconds: -5 } }`, "kill_policy.grace_period is -5 ns"},
		{"a completion time must not be negative", ids + command + `max_completion_time { nanoseconds: -5 }`, "max_completion_time is -5 ns"},
		{"a shell line must not be empty", ids + `command {}`, "command.value is empty"},
		{"without shell the value may be empty", ids + `command { shell: false arguments: "true" }`, ""},
		{"an argument must not contain a zero byte", ids + `command { shell: false value: "x" arguments: "a\x00" }`, `command.arguments has "a\x00"`},
		{"the user's name must be one line", ids + `command { value: "x" user: "a\n" }`, "command.user"},
		{"a URI must not be empty", ids + `command { value: "x" uris { value: "" } }`, "command.uris has an empty value"},
		{"an output file must not be absolute", ids + `command { value: "x" uris { value: "/a" output_file: "/etc/passwd" } }`, `output_file "/etc/passwd" of URI "/a" starts or ends with a slash`},
		{"an output file must not lead out of the sandbox", ids + `command { value: "x" uris { value: "/a" output_file: "b/../../c" } }`, "leads out of the sandbox"},
		{"a variable may be empty", ids + `command { value: "x" environment { variables { name: "A" value: "" } } }`, ""},
		{"a variable must have a value", ids + `command { value: "x" environment { variables { name: "A" } } }`, `environment variable "A" has no value`},
		{"a variable must have a name", ids + `command { value: "x" environment { variables { name: "A=B" value: "c" } } }`, `environment variable name "A=B"`},
		{"a variable cannot contain a zero byte", ids + `command { value: "x" environment { variables { name: "A" value: "\x00" } } }`, "zero byte in its value"},
		{"a secret variable must have a secret", ids + `command { value: "x" environment { variables { name: "A" type: SECRET } } }`, "has no secret"},
		{"a secret variable must not have a plain value", ids + `command { value: "x" environment { variables { name: "A" type: SECRET value: "b" } } }`, "has a plain value"},
		{"a host path is a volume", ids + command + `container { type: MESOS volumes { mode: RO container_path: "/in" host_path: "/data" } }`, ""},
		{"a volume must have a path in the container", ids + command + `container { type: MESOS volumes { mode: RO container_path: "" host_path: "/data" } }`, `container_path ""`},
		{"a volume must not lead upwards", ids + command + `container { type: MESOS volumes { mode: RO container_path: "a/../.." host_path: "/data" } }`, `has ".." in it`},
		{"a volume has one source", ids + command + `container { type: MESOS volumes { mode: RO container_path: "/in" host_path: "/data" source { type: SECRET } } }`, `the volume at "/in" has 2 of host_path, image and source`},
		{"a DOCKER container must say which", ids + command + `container { type: DOCKER }`, "container.docker is missing"},
		{"a limit may be infinite", ids + command + `resources { name: "mem" type: SCALAR scalar { value: 64 } } limits { key: "mem" value { value: inf } }`, ""},
		{"a limit must not be below the resources", ids + command + `resources { name: "mem" type: SCALAR scalar { value: 64 } } limits { key: "mem" value { value: 32 } }`, `limits of "mem" is 32: it must be at least what the task has in resources, 64`},
		{"only cpus and memory can be limited", ids + command + `limits { key: "disk" value { value: 32 } }`, `limits has "disk"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			check(t, mesos.ValidateTaskInfo(parse(t, &mesos.TaskInfo{}, test.task)), test.want)
		})
	}
	check(t, mesos.ValidateTaskInfo(nil), "task is missing")
}

func TestResource(t *testing.T) {
	const disk = `name: "disk" type: SCALAR scalar { value: 10 } `
	const cpus = `name: "cpus" type: SCALAR scalar { value: 1 } `
	for _, test := range []struct{ name, resource, want string }{
		{"a scalar", cpus, ""},
		{"zero", `name: "cpus" type: SCALAR scalar { value: 0 }`, ""},
		{"a resource that Stoa does not know", `name: "bugs" type: SET set { item: "a" item: "b" }`, ""},
		{"ranges", `name: "ports" type: RANGES ranges { range { begin: 1 end: 1 } range { begin: 3 end: 65535 } }`, ""},
		{"no ranges", `name: "ports" type: RANGES ranges {}`, ""},
		{"a name is needed", `name: "" type: SCALAR scalar { value: 1 }`, "empty name"},
		{"a name must not contain punctuation of the text form", `name: "a:b" type: SCALAR scalar { value: 1 }`, `resource name "a:b" has ':' at byte 1`},
		{"a name must not contain spaces", `name: "a b" type: SCALAR scalar { value: 1 }`, `has ' ' at byte 1`},
		{"a negative amount", `name: "cpus" type: SCALAR scalar { value: -0.5 }`, "its amount is -0.5: allowed are 0 to 1e+11"},
		{"not a number", `name: "cpus" type: SCALAR scalar { value: nan }`, "its amount is NaN"},
		{"infinity", `name: "cpus" type: SCALAR scalar { value: inf }`, "its amount is +Inf"},
		{"too much", `name: "mem" type: SCALAR scalar { value: 1e12 }`, "its amount is 1e+12"},
		{"half a gpu", `name: "gpus" type: SCALAR scalar { value: 0.5 }`, "only whole gpus"},
		{"cpus that are a set", `name: "cpus" type: SET set { item: "a" }`, "its type is SET: it must be SCALAR"},
		{"a text", `name: "x" type: TEXT`, "its type is TEXT"},
		{"a value of another type", `name: "x" type: SCALAR ranges {}`, "exactly the value of that type must be set"},
		{"two values", `name: "x" type: SCALAR scalar { value: 1 } ranges {}`, "exactly the value of that type must be set"},
		{"a range that ends before it begins", `name: "ports" type: RANGES ranges { range { begin: 2 end: 1 } }`, "range 2-1 ends before it begins"},
		{"a port that does not exist", `name: "ports" type: RANGES ranges { range { begin: 2 end: 65536 } }`, "ends beyond the last port"},
		{"the same item twice", `name: "x" type: SET set { item: "a" item: "a" }`, `item "a" is twice in the set`},
		{"an item with a comma", `name: "x" type: SET set { item: "a,b" }`, `item "a,b" of the set`},
		{"a static reservation", cpus + `reservations { type: STATIC role: "eng" }`, ""},
		{"a refined reservation", cpus + `reservations { type: STATIC role: "eng" } reservations { type: DYNAMIC role: "eng/web" principal: "p" }`, ""},
		{"a refinement must lie below", cpus + `reservations { type: STATIC role: "eng" } reservations { type: DYNAMIC role: "ops" }`, `reservation 1 is for role "ops": it must lie below "eng"`},
		{"a refinement must be dynamic", cpus + `reservations { type: STATIC role: "eng" } reservations { type: STATIC role: "eng/web" }`, "reservation 1 is STATIC"},
		{"a reservation must have a type", cpus + `reservations { role: "eng" }`, "type of reservation 0 is UNKNOWN"},
		{"nothing is reserved for the default role", cpus + `reservations { type: STATIC role: "*" }`, "a reservation must name a role"},
		{"the older form, static", cpus + `role: "eng"`, ""},
		{"the older form, dynamic", cpus + `role: "eng" reservation { principal: "p" }`, ""},
		{"the older form without a role", cpus + `reservation { principal: "p" }`, "a reservation must name a role"},
		{"the older form with a type", cpus + `role: "eng" reservation { type: DYNAMIC }`, "its reservation has a type or a role"},
		{"both forms: role", cpus + `role: "eng" reservations { type: STATIC role: "eng" }`, `both role "eng" and reservations`},
		{"both forms: reservation", cpus + `reservation {} reservations { type: STATIC role: "eng" }`, "both reservation and reservations"},
		{"an allocation to a bad role", cpus + `allocation_info { role: "/" }`, "allocation_info: role \"/\""},
		{"a persistent volume", disk + `role: "eng" disk { persistence { id: "v1" } }`, ""},
		{"a shared persistent volume", disk + `role: "eng" disk { persistence { id: "v1" } } shared {}`, ""},
		{"a persistent volume without a reservation", disk + `disk { persistence { id: "v1" } }`, `persistent volume "v1" is on an unreserved disk`},
		{"a persistent volume that can be revoked", disk + `role: "eng" disk { persistence { id: "v1" } } revocable {}`, "is revocable"},
		{"the id of a persistent volume is checked", disk + `role: "eng" disk { persistence { id: "a/b" } }`, "id of a persistent volume"},
		{"sharing anything else", cpus + `shared {}`, "only persistent volumes can be"},
		{"disk information on cpus", cpus + `disk {}`, `only the resource "disk"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			check(t, mesos.ValidateResource(parse(t, &mesos.Resource{}, test.resource)), test.want)
		})
	}
}

func TestRefuseDuration(t *testing.T) {
	for _, test := range []struct {
		name    string
		filters *mesos.Filters
		want    time.Duration
	}{
		{"no filters mean the default", nil, 5 * time.Second},
		{"no seconds mean the default", &mesos.Filters{}, 5 * time.Second},
		{"zero is zero", &mesos.Filters{RefuseSeconds: proto.Float64(0)}, 0},
		{"fractions count", &mesos.Filters{RefuseSeconds: proto.Float64(0.25)}, 250 * time.Millisecond},
		{"negative seconds mean the default", &mesos.Filters{RefuseSeconds: proto.Float64(-1)}, 5 * time.Second},
		{"what is not a number means the default", &mesos.Filters{RefuseSeconds: proto.Float64(math.NaN())}, 5 * time.Second},
		{"one year is allowed", &mesos.Filters{RefuseSeconds: proto.Float64(31536000)}, 365 * 24 * time.Hour},
		{"more is capped at one year", &mesos.Filters{RefuseSeconds: proto.Float64(1e18)}, 365 * 24 * time.Hour},
		{"for ever is capped at one year", &mesos.Filters{RefuseSeconds: proto.Float64(math.Inf(1))}, 365 * 24 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := mesos.RefuseDuration(test.filters); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestTerminalStates(t *testing.T) {
	terminal := map[string]bool{
		"TASK_FINISHED": true, "TASK_FAILED": true, "TASK_KILLED": true, "TASK_ERROR": true,
		"TASK_LOST": true, "TASK_DROPPED": true, "TASK_GONE": true, "TASK_GONE_BY_OPERATOR": true,
	}
	for number, name := range mesos.TaskState_name {
		if got := mesos.IsTerminal(mesos.TaskState(number)); got != terminal[name] {
			t.Errorf("%s is terminal: %v, want %v", name, got, terminal[name])
		}
	}
}
