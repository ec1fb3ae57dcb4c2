package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer/process"
)

func TestHowSoonASandboxIsLookedAtAgain(t *testing.T) {
	at := func(seconds, used int64, took time.Duration) diskLook {
		return diskLook{used: used, at: time.Unix(seconds, 0), took: took}
	}
	for name, test := range map[string]struct {
		before, now diskLook
		waited      time.Duration
		want        time.Duration
	}{
		"it does not grow":             {at(0, 50, 0), at(2, 50, 0), 2 * time.Second, 4 * time.Second},
		"it never did":                 {at(0, 50, 0), at(9, 50, 0), 9 * time.Second, DiskLookMost},
		"it shrinks":                   {at(0, 80, 0), at(2, 50, 0), 2 * time.Second, 4 * time.Second},
		"it is full in 10 s":           {at(0, 50, 0), at(5, 75, 0), time.Second, 2500 * time.Millisecond},
		"it is full in a moment":       {at(0, 0, 0), at(1, 99, 0), time.Second, DiskLookFirst},
		"it is full in an hour":        {at(0, 0, 0), at(60, 1, 0), time.Second, DiskLookMost},
		"a look takes long":            {at(0, 50, 0), at(2, 50, 2*time.Second), 2 * time.Second, 100 * time.Second},
		"it is full, and just allowed": {at(0, 50, 0), at(2, 100, 0), 2 * time.Second, DiskLookFirst},
	} {
		t.Run(name, func(t *testing.T) {
			if got := nextLook(test.before, test.now, test.waited, 100); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestTheDiskOfAContainerIsThatWithoutAVolume(t *testing.T) {
	resources := resource.MustParse("cpus:1;disk:10;disk(web):5").ToProto()
	volume := resource.MustParse("disk:100").ToProto()
	volume[0].Disk = &mesos.Resource_DiskInfo{Volume: &mesos.Volume{}}
	if got, want := mesos.SandboxBytes(append(resources, volume...)), int64(15<<20); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	if got := mesos.SandboxBytes(nil); got != 0 {
		t.Errorf("without resources: got %d", got)
	}
}

// TestACommandThatFillsTheDiskIsEnded has the limit come with the container, and while it runs as that of an executor's
// tasks does; and has files that no walk of the sandbox finds.
func TestACommandThatFillsTheDiskIsEnded(t *testing.T) {
	const fill = "head -c 8388608 /dev/zero"
	for name, test := range map[string]struct {
		line     string
		late     bool
		unlinked uint64 // at least
	}{
		"from the start":                {fill + " >large; sleep 20", false, 0},
		"with a task that comes later":  {fill + " >large; sleep 20", true, 0},
		"in a file without a name":      {"exec 3>large; rm large; " + fill + " >&3; sleep 20", false, 8 << 20},
		"in one that a child has":       {"(exec 3>large; rm large; " + fill + " >&3; sleep 20) & wait", false, 8 << 20},
		"in output that it has removed": {"rm stdout; " + fill + "; sleep 20", false, 8 << 20},
		"half in a name, half in none":  {"exec 3>large; rm large; head -c 3145728 /dev/zero | tee other >&3; sleep 20", false, 3 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			sandbox := filepath.Join(work, "s", "c1")
			if err := os.MkdirAll(sandbox, 0o755); err != nil {
				t.Fatal(err)
			}
			containers, err := process.New(process.Options{})
			if err != nil {
				t.Skip(err)
			}
			defer containers.Close()
			m := &means{containerizer: containers, workDir: work, starts: make(chan struct{}, 1), buffers: &buffers{}}
			limited := resource.MustParse("mem:32;disk:4").ToProto()
			l := newLife(m, request(func(s *wire.StartContainer) {
				s.Directory, s.Container, s.Environment, s.User = sandbox, nil, nil, ""
				s.Command = &mesos.CommandInfo{Value: &test.line}
				if s.Resources = resource.MustParse("mem:32").ToProto(); !test.late {
					s.Resources = limited
				}
			}))
			if _, err := l.begin(); err != nil {
				t.Fatal(err)
			}
			if test.late {
				if err := l.resize(&wire.ResizeExecutor{Resources: limited}); err != nil {
					t.Fatal(err)
				}
			}
			exit, err := l.end()
			if err != nil || exit.GetCause() != wire.ContainerExit_DISK || exit.GetDiskLimitBytes() != 4<<20 || exit.GetDiskUsedBytes() < 6<<20 {
				t.Errorf("got %v, %v", exit, err)
			}
			if got := exit.GetDiskUnlinkedBytes(); got < test.unlinked || got > test.unlinked+1<<20 {
				t.Errorf("%d bytes of it had no name, want %d", got, test.unlinked)
			}
		})
	}
}
