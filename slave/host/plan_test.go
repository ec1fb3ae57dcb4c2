package host

import (
	"errors"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer"
)

// request is a StartContainer that works, changed as a test wants.
func request(change func(*wire.StartContainer)) *wire.StartContainer {
	start := &wire.StartContainer{
		ContainerId: mesos.NewContainerID("c1"),
		Command:     &mesos.CommandInfo{Value: proto.String("echo hello")},
		Directory:   "/work/s/c1",
		Environment: map[string]string{"MESOS_SANDBOX": "/work/s/c1"},
		Resources:   resource.MustParse("cpus:1.5;mem:64;disk:10").ToProto(),
	}
	if change != nil {
		change(start)
	}
	return start
}

func variables(pairs ...string) *mesos.Environment {
	environment := &mesos.Environment{}
	for i := 0; i < len(pairs); i += 2 {
		environment.Variables = append(environment.Variables, &mesos.Environment_Variable{Name: &pairs[i], Value: &pairs[i+1]})
	}
	return environment
}

func mesosContainer(volumes ...*mesos.Volume) *mesos.ContainerInfo {
	return &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Volumes: volumes}
}

func TestARequestBecomesASpec(t *testing.T) {
	plain := containerizer.Spec{
		ID: "c1", Executable: "/bin/sh", Args: []string{"sh", "-c", "echo hello"}, Sandbox: "/work/s/c1",
		Env:       []string{"HOME=/work/s/c1", "MESOS_SANDBOX=/work/s/c1", "PATH=" + DefaultPath, "STOA_BINARY=/run/stoa", "USER=daemon"},
		MilliCPUs: 1500, MemoryBytes: 64 << 20, PIDs: DefaultPIDs,
	}
	for name, test := range map[string]struct {
		change func(*wire.StartContainer)
		want   func(*containerizer.Spec)
	}{
		"a line for the shell runs under sh -c": {},
		"without shell the value is the executable and arguments all of its argv": {
			change: func(s *wire.StartContainer) {
				s.Command = &mesos.CommandInfo{Shell: proto.Bool(false), Value: proto.String("/bin/ls"), Arguments: []string{"ls", "-l", "a b"}}
			},
			want: func(s *containerizer.Spec) { s.Executable, s.Args = "/bin/ls", []string{"ls", "-l", "a b"} },
		},
		"without shell and arguments the executable stands alone": {
			change: func(s *wire.StartContainer) {
				s.Command = &mesos.CommandInfo{Shell: proto.Bool(false), Value: proto.String("/bin/true")}
			},
			want: func(s *containerizer.Spec) { s.Executable, s.Args = "/bin/true", []string{"/bin/true"} },
		},
		"a user of its own runs it and is its USER": {
			change: func(s *wire.StartContainer) { s.User = "nobody" },
			want: func(s *containerizer.Spec) {
				s.User, s.Env = "nobody", []string{"HOME=/work/s/c1", "MESOS_SANDBOX=/work/s/c1", "PATH=" + DefaultPath, "STOA_BINARY=/run/stoa", "USER=nobody"}
			},
		},
		"the command's environment covers what lies beneath": {
			change: func(s *wire.StartContainer) {
				s.Command.Environment = variables("PATH", "/bin", "MESOS_SANDBOX", "mine", "EMPTY", "")
			},
			want: func(s *containerizer.Spec) {
				s.Env = []string{"EMPTY=", "HOME=/work/s/c1", "MESOS_SANDBOX=mine", "PATH=/bin", "STOA_BINARY=/run/stoa", "USER=daemon"}
			},
		},
		"a secret by value is a variable like others": {
			change: func(s *wire.StartContainer) {
				s.Command.Environment = &mesos.Environment{Variables: []*mesos.Environment_Variable{{
					Name: proto.String("KEY"), Type: mesos.Environment_Variable_SECRET.Enum(),
					Secret: &mesos.Secret{Type: mesos.Secret_VALUE.Enum(), Value: &mesos.Secret_Value{Data: []byte("s3")}},
				}}}
			},
			want: func(s *containerizer.Spec) {
				s.Env = []string{"HOME=/work/s/c1", "KEY=s3", "MESOS_SANDBOX=/work/s/c1", "PATH=" + DefaultPath, "STOA_BINARY=/run/stoa", "USER=daemon"}
			},
		},
		"volumes are host paths, absolute or in the sandbox, by host_path or by source": {
			change: func(s *wire.StartContainer) {
				s.Container = mesosContainer(
					&mesos.Volume{Mode: mesos.Volume_RO.Enum(), ContainerPath: proto.String("/in"), HostPath: proto.String("/data//x/")},
					&mesos.Volume{Mode: mesos.Volume_RW.Enum(), ContainerPath: proto.String("out"), Source: &mesos.Volume_Source{
						Type: mesos.Volume_Source_HOST_PATH.Enum(), HostPath: &mesos.Volume_Source_HostPath{Path: proto.String("/data/y")},
					}},
				)
			},
			want: func(s *containerizer.Spec) {
				s.Volumes = []containerizer.Volume{
					{HostPath: "/data/x", ContainerPath: "/in", ReadOnly: true},
					{HostPath: "/data/y", ContainerPath: "/work/s/c1/out"},
				}
			},
		},
		"no resources are no limits": {
			change: func(s *wire.StartContainer) { s.Resources = nil },
			want:   func(s *containerizer.Spec) { s.MilliCPUs, s.MemoryBytes = 0, 0 },
		},
		"as many processes as are asked for": {
			change: func(s *wire.StartContainer) { s.Pids = 7 },
			want:   func(s *containerizer.Spec) { s.PIDs = 7 },
		},
		"limits of cpus and mem are the ceilings, its resources the share": {
			change: func(s *wire.StartContainer) { s.Limits = limits("cpus", 2.5, "mem", 128) },
			want:   func(s *containerizer.Spec) { s.MilliCPULimit, s.MemoryBytes = 2500, 128<<20 },
		},
		"an infinite limit is none": {
			change: func(s *wire.StartContainer) { s.Limits = limits("cpus", math.Inf(1), "mem", math.Inf(1)) },
			want:   func(s *containerizer.Spec) { s.MemoryBytes = 0 },
		},
		"limits of its processes are soft and hard, or none at all": {
			change: func(s *wire.StartContainer) {
				s.Container = mesosContainer()
				s.Container.RlimitInfo = &mesos.RLimitInfo{Rlimits: []*mesos.RLimitInfo_RLimit{
					{Type: mesos.RLimitInfo_RLimit_RLMT_NOFILE.Enum(), Soft: proto.Uint64(64), Hard: proto.Uint64(128)},
					{Type: mesos.RLimitInfo_RLimit_RLMT_CORE.Enum()},
				}}
			},
			want: func(s *containerizer.Spec) {
				s.Rlimits = []containerizer.Rlimit{
					{Resource: unix.RLIMIT_NOFILE, Soft: 64, Hard: 128},
					{Resource: unix.RLIMIT_CORE, Soft: containerizer.RlimitInfinity, Hard: containerizer.RlimitInfinity},
				}
			},
		},
		"resources of one name are added up": {
			change: func(s *wire.StartContainer) { s.Resources = resource.MustParse("mem:64;mem(web):0.5").ToProto() },
			want:   func(s *containerizer.Spec) { s.MilliCPUs, s.MemoryBytes = 0, 64<<20+512<<10 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := plain
			if test.want != nil {
				test.want(&want)
			}
			got, err := specFor(request(test.change), surroundings{user: "daemon", binary: "/run/stoa"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

// limits makes limits of names and values in turn.
func limits(pairs ...any) map[string]*mesos.Value_Scalar {
	all := map[string]*mesos.Value_Scalar{}
	for i := 0; i+1 < len(pairs); i += 2 {
		value, isFloat := pairs[i+1].(float64)
		if !isFloat {
			value = float64(pairs[i+1].(int))
		}
		all[pairs[i].(string)] = &mesos.Value_Scalar{Value: &value}
	}
	return all
}

func TestCpusAreACeilingWhereTheSlaveSaysSo(t *testing.T) {
	for name, test := range map[string]struct {
		limits map[string]*mesos.Value_Scalar
		want   int64
	}{
		"its cpus":                     {want: 1500},
		"its own limit, if it has one": {limits: limits("cpus", 2), want: 2000},
		"none, if it asks for none":    {limits: limits("cpus", math.Inf(1))},
	} {
		spec, err := specFor(request(func(s *wire.StartContainer) { s.Limits = test.limits }), surroundings{cfs: true})
		if err != nil || spec.MilliCPULimit != test.want || spec.MilliCPUs != 1500 {
			t.Errorf("%s: got a share of %d and a ceiling of %d, %v; want %d", name, spec.MilliCPUs, spec.MilliCPULimit, err, test.want)
		}
	}
}

func TestALimitAboveTheSlavesOwnIsRefused(t *testing.T) {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	within := containerizer.Rlimit{Resource: unix.RLIMIT_NOFILE, Soft: 1, Hard: own.Max}
	if err := withinOwn([]containerizer.Rlimit{within}); err != nil {
		t.Error(err)
	}
	above := within
	above.Hard = containerizer.RlimitInfinity
	if err := withinOwn([]containerizer.Rlimit{within, above}); own.Max != above.Hard &&
		(err == nil || !strings.Contains(err.Error(), "rlimit nofile: its hard limit unlimited")) {
		t.Errorf("got %v", err)
	}
}

func TestWhatCanNotBeIsSaidWithItsValue(t *testing.T) {
	volume := func(v *mesos.Volume) func(*wire.StartContainer) {
		return func(s *wire.StartContainer) {
			v.Mode = mesos.Volume_RW.Enum()
			s.Container = mesosContainer(v)
		}
	}
	container := func(change func(*mesos.ContainerInfo)) func(*wire.StartContainer) {
		return func(s *wire.StartContainer) {
			s.Container = mesosContainer()
			change(s.Container)
		}
	}
	rlimit := func(kind mesos.RLimitInfo_RLimit_Type, soft, hard *uint64) func(*wire.StartContainer) {
		return container(func(c *mesos.ContainerInfo) {
			c.RlimitInfo = &mesos.RLimitInfo{Rlimits: []*mesos.RLimitInfo_RLimit{{Type: kind.Enum(), Soft: soft, Hard: hard}}}
		})
	}
	for name, test := range map[string]struct {
		change func(*wire.StartContainer)
		want   string
	}{
		"an empty line":        {func(s *wire.StartContainer) { s.Command = &mesos.CommandInfo{} }, "/bin/sh"},
		"an empty executable":  {func(s *wire.StartContainer) { s.Command = &mesos.CommandInfo{Shell: proto.Bool(false)} }, "the executable"},
		"a bad container id":   {func(s *wire.StartContainer) { s.ContainerId = mesos.NewContainerID("../x") }, `"../x"`},
		"a relative sandbox":   {func(s *wire.StartContainer) { s.Directory = "here" }, `"here"`},
		"a variable with =":    {func(s *wire.StartContainer) { s.Command.Environment = variables("A=B", "c") }, `"A=B"`},
		"a variable with NUL":  {func(s *wire.StartContainer) { s.Command.Environment = variables("A", "c\x00") }, `"A"`},
		"a relative host path": {volume(&mesos.Volume{ContainerPath: proto.String("/x"), HostPath: proto.String("data")}), `"data"`},
		"a container path out of the sandbox": {
			volume(&mesos.Volume{ContainerPath: proto.String("../x"), HostPath: proto.String("/data")}), `"../x"`,
		},
		"a volume of another kind": {
			volume(&mesos.Volume{ContainerPath: proto.String("/x"), Source: &mesos.Volume_Source{Type: mesos.Volume_Source_SECRET.Enum()}}), "SECRET",
		},
		"a docker container": {container(func(c *mesos.ContainerInfo) { c.Type = mesos.ContainerInfo_DOCKER.Enum() }), "DOCKER"},
		"an image": {
			container(func(c *mesos.ContainerInfo) {
				c.Mesos = &mesos.ContainerInfo_MesosInfo{Image: &mesos.Image{Type: mesos.Image_DOCKER.Enum()}}
			}), "image",
		},
		"a host name": {container(func(c *mesos.ContainerInfo) { c.Hostname = proto.String("web1") }), `"web1"`},
		"a network": {
			container(func(c *mesos.ContainerInfo) {
				c.NetworkInfos = []*mesos.NetworkInfo{{Name: proto.String("dmz")}}
			}), `"dmz"`,
		},
		"a limit of something else":       {func(s *wire.StartContainer) { s.Limits = limits("disk", 1) }, `"disk"`},
		"a ceiling below its cpus":        {func(s *wire.StartContainer) { s.Limits = limits("cpus", 1) }, "cpus 1: it must be at least the 1.5"},
		"a limit below its mem":           {func(s *wire.StartContainer) { s.Limits = limits("mem", 63.5) }, "mem 63.5"},
		"a limit that is no number":       {func(s *wire.StartContainer) { s.Limits = limits("mem", math.NaN()) }, "mem NaN"},
		"a soft limit above the hard one": {rlimit(mesos.RLimitInfo_RLimit_RLMT_CPU, proto.Uint64(2), proto.Uint64(1)), "rlimit cpu: its soft limit 2"},
		"half a limit":                    {rlimit(mesos.RLimitInfo_RLimit_RLMT_CPU, proto.Uint64(2), nil), "rlimit cpu"},
		"a limit that is given twice": {
			container(func(c *mesos.ContainerInfo) {
				once := &mesos.RLimitInfo_RLimit{Type: mesos.RLimitInfo_RLimit_RLMT_CORE.Enum()}
				c.RlimitInfo = &mesos.RLimitInfo{Rlimits: []*mesos.RLimitInfo_RLimit{once, once}}
			}), "rlimit core: it is given twice",
		},
		"a limit that nobody knows": {rlimit(mesos.RLimitInfo_RLimit_UNKNOWN, nil, nil), "UNKNOWN"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := specFor(request(test.change), surroundings{user: "daemon", binary: "/run/stoa"})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

// Nobody gets more of the machine than containers have because a master let his wish pass.
func TestCVE_2026_14891_AndCVE_2019_15928_NamespacesOfTheMachineAndWhatIsNotHereAreRefused(t *testing.T) {
	for want, change := range map[string]func(c *mesos.ContainerInfo){
		"share_pid_namespace": func(c *mesos.ContainerInfo) { c.LinuxInfo.SharePidNamespace = proto.Bool(true) },
		"SHARE_PARENT":        func(c *mesos.ContainerInfo) { c.LinuxInfo.IpcMode = mesos.LinuxInfo_SHARE_PARENT.Enum() },
		"shm_size 64":         func(c *mesos.ContainerInfo) { c.LinuxInfo.ShmSize = proto.Uint32(64) },
		"capabilities":        func(c *mesos.ContainerInfo) { c.LinuxInfo.EffectiveCapabilities = &mesos.CapabilityInfo{} },
		"they can't be":       func(c *mesos.ContainerInfo) { c.LinuxInfo.BoundingCapabilities = &mesos.CapabilityInfo{} },
		"root has those":      func(c *mesos.ContainerInfo) { c.LinuxInfo.CapabilityInfo = &mesos.CapabilityInfo{} },
		`profile "mine"`: func(c *mesos.ContainerInfo) {
			c.LinuxInfo.Seccomp = &mesos.SeccompInfo{ProfileName: proto.String("mine")}
		},
		"DOCKER":         func(c *mesos.ContainerInfo) { c.Type = mesos.ContainerInfo_DOCKER.Enum() },
		`network "host"`: func(c *mesos.ContainerInfo) { c.NetworkInfos = []*mesos.NetworkInfo{{Name: proto.String("host")}} },
	} {
		ask := func(change func(c *mesos.ContainerInfo)) error {
			_, err := specFor(request(func(s *wire.StartContainer) {
				s.Container = mesosContainer()
				s.Container.LinuxInfo = &mesos.LinuxInfo{}
				change(s.Container)
			}), surroundings{user: "daemon", binary: "/run/stoa"})
			return err
		}
		if err := ask(change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
		// What every container has anyway may be asked for.
		if err := ask(func(c *mesos.ContainerInfo) {
			c.LinuxInfo.SharePidNamespace, c.LinuxInfo.IpcMode = proto.Bool(false), mesos.LinuxInfo_PRIVATE.Enum()
			c.LinuxInfo.Seccomp = &mesos.SeccompInfo{Unconfined: proto.Bool(true)}
		}); err != nil {
			t.Error(err)
		}
	}
}

func TestTheContainerOfACustomExecutorHasItsSecretAndAllItsTasksResources(t *testing.T) {
	start := executorContainer(&wire.LaunchExecutor{
		Resources:   resource.MustParse("cpus:1;mem:96").ToProto(), // and not the executor's own alone
		ContainerId: mesos.NewContainerID("c1"), Secret: []byte{0xab, 0x01}, Environment: map[string]string{"MESOS_EXECUTOR_ID": "e"},
		Limits:    map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(2)}},
		Executor:  &mesos.ExecutorInfo{Command: &mesos.CommandInfo{Value: proto.String("run")}, Labels: mesos.MakeLabels(mesos.LabelPIDs, "40")},
		Directory: "/work/s/c1", User: "nobody",
	})
	want := &wire.StartContainer{
		ContainerId: mesos.NewContainerID("c1"), Command: &mesos.CommandInfo{Value: proto.String("run")}, Directory: "/work/s/c1", User: "nobody",
		Resources: resource.MustParse("cpus:1;mem:96").ToProto(), Limits: map[string]*mesos.Value_Scalar{"cpus": {Value: proto.Float64(2)}}, Pids: 40,
		Environment: map[string]string{"MESOS_EXECUTOR_ID": "e", "MESOS_EXECUTOR_AUTHENTICATION_TOKEN": "ab01"},
	}
	if diff := cmp.Diff(want, start, protocmp.Transform()); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestHowAContainerEndedIsSaidInOneWord(t *testing.T) {
	exited := func(code int) syscall.WaitStatus { return syscall.WaitStatus(code << 8) }
	signaled := func(s syscall.Signal) syscall.WaitStatus { return syscall.WaitStatus(s) }
	for name, test := range map[string]struct {
		ending  ending
		cause   wire.ContainerExit_Cause
		message string
	}{
		"it exited":         {ending{exit: containerizer.Exit{Status: exited(7)}}, wire.ContainerExit_EXITED, ""},
		"a signal ended it": {ending{exit: containerizer.Exit{Status: signaled(syscall.SIGTERM)}}, wire.ContainerExit_EXITED, ""},
		"it was refused a process": {
			ending{exit: containerizer.Exit{Status: exited(2), OutOfPIDs: true, PIDsLimit: 9}}, wire.ContainerExit_PIDS, "",
		},
		"it outgrew":                   {ending{exit: containerizer.Exit{Status: signaled(syscall.SIGKILL), OutOfMemory: true}}, wire.ContainerExit_MEMORY, ""},
		"a child outgrew":              {ending{exit: containerizer.Exit{Status: exited(1), OutOfMemory: true}}, wire.ContainerExit_MEMORY, ""},
		"it was killed":                {ending{killed: true, exit: containerizer.Exit{Status: signaled(syscall.SIGKILL), Killed: true}}, wire.ContainerExit_KILLED, ""},
		"it beat the kill":             {ending{killed: true, exit: containerizer.Exit{Status: exited(0), Killed: true}}, wire.ContainerExit_EXITED, ""},
		"it filled the disk":           {ending{diskUsed: 9, diskLimit: 8, exit: containerizer.Exit{Status: signaled(syscall.SIGKILL), Killed: true}}, wire.ContainerExit_DISK, ""},
		"it beat the look at its disk": {ending{diskUsed: 9, diskLimit: 8, exit: containerizer.Exit{Status: exited(0)}}, wire.ContainerExit_EXITED, ""},
		"killed and outgrew":           {ending{killed: true, exit: containerizer.Exit{Status: signaled(syscall.SIGKILL), OutOfMemory: true}}, wire.ContainerExit_KILLED, ""},
		"the kill came while its child had outgrown": {
			ending{killed: true, exit: containerizer.Exit{Status: exited(1), OutOfMemory: true}}, wire.ContainerExit_MEMORY, "",
		},
		"its output was lost": {
			ending{lost: "stdout lost: no space left on device", exit: containerizer.Exit{Status: exited(0)}},
			wire.ContainerExit_EXITED, "stdout lost: no space left on device",
		},
		"the command does not exist": {
			ending{command: "nope", startErr: &containerizer.ExecError{Path: "nope", Err: syscall.ENOENT}},
			wire.ContainerExit_NOT_FOUND, `command "nope" was not found`,
		},
		"the command may not be executed": {
			ending{command: "/etc/passwd", startErr: &containerizer.ExecError{Path: "/etc/passwd", Err: syscall.EACCES}},
			wire.ContainerExit_NOT_EXECUTABLE, `command "/etc/passwd" can't be executed: permission denied`,
		},
		"the container could not be made": {
			ending{startErr: &containerizer.StartError{ID: "c1", Step: "mounting /x", Err: errors.New("no such directory")}},
			wire.ContainerExit_LAUNCH_FAILED, "start container c1: mounting /x: no such directory",
		},
		"it was killed before it ran": {
			ending{killed: true, startErr: errors.New("whatever")}, wire.ContainerExit_KILLED, "killed while it was being started",
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.ending.now = time.Unix(100, 0)
			exit := exitOf(test.ending)
			if exit.GetCause() != test.cause || exit.GetMessage() != test.message {
				t.Errorf("got %s %q, want %s %q", exit.GetCause(), exit.GetMessage(), test.cause, test.message)
			}
			if test.ending.startErr == nil && exit.GetWaitStatus() != int32(test.ending.exit.Status) {
				t.Errorf("wait status %#x, want %#x", exit.GetWaitStatus(), test.ending.exit.Status)
			}
		})
	}
}

func TestWhatAContainerUsedIsInItsExit(t *testing.T) {
	began := time.Unix(100, 5)
	exit := exitOf(ending{exit: containerizer.Exit{
		MemoryPeakBytes: 3 << 20, MemoryLimitBytes: 64 << 20, CPUSeconds: 1.25, Started: began, Finished: began.Add(time.Second),
	}})
	want := &wire.ContainerExit{
		MemoryPeakBytes: 3 << 20, MemoryLimitBytes: 64 << 20, CpuSeconds: 1.25,
		StartedUnixNanos: began.UnixNano(), FinishedUnixNanos: began.Add(time.Second).UnixNano(),
	}
	if diff := cmp.Diff(want, exit, protocmp.Transform()); diff != "" {
		t.Errorf("exit (-want +got):\n%s", diff)
	}
}

func TestTheExitRecordLiesWhereNoTaskCanReachIt(t *testing.T) {
	for _, test := range []struct{ workDir, sandbox, want string }{
		{"/w", "/w/slaves/S/frameworks/F/executors/E/runs/C", "/w/meta/slaves/S/frameworks/F/executors/E/runs/C/exit"},
		{"/w/", "/w/a/../b", "/w/meta/b/exit"},
		{"/w", "/w", ""},
		{"/w", "/w2/x", ""},
		{"/w", "/w/../x", ""},
		{"/w", "x", ""},
	} {
		got, err := ExitPath(test.workDir, test.sandbox)
		if got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("ExitPath(%q, %q) = %q, %v; want %q", test.workDir, test.sandbox, got, err, test.want)
		}
	}
}
