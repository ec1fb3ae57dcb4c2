//go:build linux && cgo

package libcontainer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
	"github.com/stoa-project/stoa/slave/disk"
)

// inside opens a containerizer for one test of isolation.
func inside(t *testing.T) (*containertest.Watch, *Containerizer) {
	t.Helper()
	containertest.Root(t)
	w := containertest.New(t)
	c := open(t, w, "host")
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, c
}

// outside makes a directory on the machine that is not hidden from containers.
func outside(t *testing.T, parent string) string {
	t.Helper()
	path, err := os.MkdirTemp(parent, "stoa-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// says runs a script and compares its output.
func says(t *testing.T, w *containertest.Watch, c containerizer.Containerizer, spec containerizer.Spec, want string) {
	t.Helper()
	got := containertest.Run(t, c, spec)
	if diff := cmp.Diff(want, got.Stdout); diff != "" {
		t.Errorf("%q\n(-want +got)\n%s\nstderr: %s", spec.Args[2], diff, got.Stderr)
	}
}

// refuses tells that none of the commands succeeds.
func refuses(t *testing.T, w *containertest.Watch, c containerizer.Containerizer, commands ...string) {
	t.Helper()
	var script strings.Builder
	for _, command := range commands {
		fmt.Fprintf(&script, "if ( %s ) 2>/dev/null; then echo %q; fi\n", command, command)
	}
	spec := w.Spec("refuses", script.String())
	if got := containertest.Run(t, c, spec); got.Stdout != "" || got.Exit.Status != 0 {
		t.Errorf("succeeded, and must not:\n%s(%#x %s)", got.Stdout, got.Exit.Status, got.Stderr)
	}
}

func TestTheMachinesFilesCantBeWritten(t *testing.T) {
	w, c := inside(t)
	mounted := outside(t, "/var")
	if err := unix.Mount("stoa-test", mounted, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(mounted, 0); err != nil {
			t.Error(err)
		}
	}()
	write(t, filepath.Join(mounted, "there"), "")
	says(t, w, c, w.Spec("sees", "ls "+mounted), "there\n")
	refuses(t, w, c, "touch /stoa-x", "touch /etc/stoa-x", "touch /usr/stoa-x", "touch /var/stoa-x", "mkdir /root/stoa-x",
		"touch "+mounted+"/stoa-x", "mkdir /sys/fs/cgroup/stoa-x", "mkdir /sys/fs/cgroup/memory/stoa-x",
		"mount -o remount,rw /", "mount -t tmpfs x /mnt", "umount /tmp")
}

func TestTheKernelIsSeenFromInsideAndCantBeChanged(t *testing.T) {
	w, c := inside(t)
	says(t, w, c, w.Spec("ps", `tr '\0' ' ' < /proc/1/cmdline; echo; [ "$(ls /proc | grep -c '^[0-9]')" -lt 10 ] && echo few`), "stoa reaper \nfew\n")
	refuses(t, w, c, "echo x > /proc/sys/kernel/hostname", "echo b > /proc/sysrq-trigger", "head -c1 /proc/kcore | grep -q .",
		"echo 1 > /sys/kernel/profiling", "ls /sys/firmware | grep -q .", "cat /proc/1/environ", "readlink /proc/1/fd/3", "readlink /proc/1/cwd", "hostname stoa-x",
		"kill -9 1 && sleep 0.1 && [ ! -d /proc/1 ]")
}

func TestOnlyTheUsualDevicesExist(t *testing.T) {
	w, c := inside(t)
	says(t, w, c, w.Spec("devices", "cd /dev; ls | grep -v core; head -c 4 /dev/zero | wc -c; echo x > /dev/null && [ -c /dev/pts/ptmx ] && echo fine; "+
		"stat -f -c %T /dev /dev/shm"),
		"fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n4\nfine\ntmpfs\ntmpfs\n")
	refuses(t, w, c, "mknod /tmp/kmsg c 1 11", "mknod /dev/kmsg c 1 11", "touch /dev/shm/x && [ ! -e /dev/shm/x ]")
}

// A node can be brought into a sandbox from outside. It takes the device's own permission to open it.
func TestADeviceOfTheMachineIsDeniedWhereverItsNodeLies(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("nodes", "for d in usual kmsg disk nothing; do head -c1 $d > /dev/null 2> why && echo $d; grep -o 'not permitted' why; done")
	for name, device := range map[string]struct {
		kind         uint32
		major, minor uint32
	}{
		"usual": {unix.S_IFCHR, 1, 5}, // as /dev/zero
		// No capability is asked for to open the last two; of one that nobody drives the kernel would say so, if it came so far.
		"kmsg": {unix.S_IFCHR, 1, 11}, "disk": {unix.S_IFBLK, 7, 0}, "nothing": {unix.S_IFCHR, 240, 0},
	} {
		if err := unix.Mknod(filepath.Join(spec.Sandbox, name), device.kind|0o666, int(unix.Mkdev(device.major, device.minor))); err != nil {
			t.Fatal(err)
		}
	}
	says(t, w, c, spec, "usual\n"+strings.Repeat("not permitted\n", 3))
}

// What was given to a daemon is empty inside, and root has no way round.
func TestTheFilesOfADaemonAreMasked(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	given := outside(t, "/var")
	var hide, commands []string
	for _, name := range []string{"key.pem", "cert.pem", "ca.pem", "slave.toml"} {
		path := filepath.Join(given, name)
		write(t, path, "content of "+name)
		if err := os.Symlink(path, path+".link"); err != nil {
			t.Fatal(err)
		}
		hide = append(hide, path+".link") // a flag may name a link: what counts is where it leads
		for _, at := range []string{path, path + ".link", "/proc/self/root" + path, "/proc/1/root" + path} {
			commands = append(commands, "grep -q content "+at, "umount "+at)
		}
		commands = append(commands, "mv "+path+" x", "ln "+path+" x", "rm "+path)
	}
	containers, err := New(Options{StateDir: w.State, HostID: "host", CgroupParent: w.Cgroup + "/host", WorkDir: w.Work, Hide: hide})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := containers.Close(); err != nil {
			t.Error(err)
		}
	}()
	refuses(t, w, containers.(*Containerizer), commands...)
	if got, err := os.ReadFile(filepath.Join(given, "key.pem")); err != nil || string(got) != "content of key.pem" {
		t.Errorf("on the machine: %q, %v", got, err)
	}
}

// A key that is renewed takes the name of the old one, in its directory or at the end of a link, while a command runs or before.
func TestTheRenewedFilesOfADaemonAreHidden(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	given := outside(t, "/var")
	key, link := filepath.Join(given, "key.pem"), filepath.Join(given, "link.pem")
	write(t, key, "secret")
	write(t, filepath.Join(given, "public"), "fine\n")
	write(t, filepath.Join(given, "first"), "secret")
	renew := func(at string, make func(path string) error) {
		t.Helper()
		if err := errors.Join(make(at+".new"), os.Rename(at+".new", at)); err != nil {
			t.Fatal(err)
		}
	}
	pointTo := func(target string) func(string) error {
		return func(path string) error { return os.Symlink(filepath.Join(given, target), path) }
	}
	renew(link, pointTo("first"))
	containers, err := New(Options{StateDir: w.State, HostID: "host", CgroupParent: w.Cgroup + "/host", WorkDir: w.Work, Hide: []string{key, link}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := containers.Close(); err != nil {
			t.Error(err)
		}
	}()
	running := containertest.Start(t, containers, w.Spec("running", "sleep 1000"))
	write(t, filepath.Join(given, "second"), "secret")
	renew(link, pointTo("second"))
	renew(key, func(path string) error { return os.WriteFile(path, []byte("secret"), 0o600) })
	look := containerizer.Exec{Args: []string{"sh", "-c", `cd "$1" && cat key.pem first public 2>/dev/null`, "sh", given}}
	if said, _ := containertest.Beside(t, running, look); said != "fine\n" {
		t.Errorf("a command that ran before sees %q", said)
	}
	spec := w.Spec("later", "")
	spec.Args = []string{"sh", "-c", `cd "$1" && cat key.pem first second link.pem public 2>/dev/null; ls | grep -c pem`, "sh", given}
	says(t, w, containers, spec, "fine\n1\n")
	if err := running.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Await(t, running)
}

func TestSocketsOfTheMachineAreOutOfReach(t *testing.T) {
	w, c := inside(t)
	var paths []string
	for _, parent := range []string{"/run", "/tmp", "/var/tmp", "/var/run", "/dev/shm", w.Work, filepath.Dir(w.State)} {
		path := filepath.Join(outside(t, parent), "s")
		if len(path) > 100 { // the kernel's limit for the name of a socket is 107
			path = filepath.Join(outside(t, "/tmp"), "s")
		}
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		paths = append(paths, "[ -e '"+path+"' ]")
	}
	refuses(t, w, c, paths...)
}

func TestRunIsPrivateAndCanBeWritten(t *testing.T) {
	w, c := inside(t)
	says(t, w, c, w.Spec("run", "ls /run; touch /run/x /var/run/y && ls /run; stat -f -c %T /run"), "stoa\nstoa\nx\ny\ntmpfs\n")
}

func TestTmpIsAPrivateFolderOnDisk(t *testing.T) {
	w, c := inside(t)
	write(t, filepath.Join(outside(t, "/tmp"), "secret"), "")
	spec := w.Spec("tmp", "ls -a /tmp | grep stoa-test-; echo kept > /tmp/file; cat /var/tmp/file; [ \"$(stat -c %D /tmp)\" = \"$(stat -c %D .)\" ] && echo same disk; stat -c %a /tmp")
	spec.Sandbox = w.Sandbox("tmp")
	says(t, w, c, spec, "kept\nsame disk\n1777\n")
	if got, err := os.ReadFile(filepath.Join(spec.Sandbox, TemporaryName, "file")); err != nil || string(got) != "kept\n" {
		t.Errorf("on the machine: %q, %v", got, err)
	}
}

func TestAWorkDirectoryInTmpLeavesNoPathInTheSandbox(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("path", fmt.Sprintf("pwd; touch %s/x 2>/dev/null || echo read-only", c.options.WorkDir))
	spec.Sandbox = w.Sandbox("path")
	below, err := filepath.Rel("/tmp", c.options.WorkDir)
	if err != nil || !filepath.IsLocal(below) {
		t.Skipf("the work directory %s is not below /tmp", c.options.WorkDir)
	}
	says(t, w, c, spec, spec.Sandbox+"\nread-only\n")
	left, err := os.ReadDir(filepath.Join(spec.Sandbox, TemporaryName, below))
	if err != nil || len(left) > 0 {
		t.Errorf("the sandbox has the work directory with %v, %v", left, err)
	}
}

func TestALinkInPlaceOfTmpIsRefused(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("link", "true")
	if err := os.Symlink("/etc", filepath.Join(spec.Sandbox, TemporaryName)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Start(context.Background(), spec, containerizer.Stdio{})
	var failed *containerizer.StartError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheOwnSandboxIsSeen(t *testing.T) {
	w, c := inside(t)
	write(t, filepath.Join(w.Sandbox("neighbour"), "secret"), "")
	write(t, filepath.Join(w.Work, "slave.db"), "")
	spec := w.Spec("own", fmt.Sprintf("find %q -name .tmp -prune -o -type f -print; touch here; pwd", w.Work))
	write(t, filepath.Join(spec.Sandbox, "mine"), "")
	says(t, w, c, spec, filepath.Join(spec.Sandbox, "mine")+"\n"+spec.Sandbox+"\n")
	if _, err := os.Stat(filepath.Join(spec.Sandbox, "here")); err != nil {
		t.Error(err)
	}
}

// Not below /tmp a work directory is covered, and so is what else is hidden.
func TestAWorkDirectoryAnywhereIsHidden(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	work, secrets := outside(t, "/var"), outside(t, "/var")
	write(t, filepath.Join(work, "slave.db"), "")
	write(t, filepath.Join(secrets, "key"), "secret")
	write(t, filepath.Join(secrets, "public"), "fine")
	covered := outside(t, "/var")
	write(t, filepath.Join(covered, "file"), "")
	containers, err := New(Options{
		StateDir: w.State, HostID: "host", CgroupParent: w.Cgroup + "/host", WorkDir: work,
		Hide: []string{filepath.Join(secrets, "key"), covered, filepath.Join(work, "twice"), "/no/such/file"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := containers.Close(); err != nil {
			t.Error(err)
		}
	}()
	spec := w.Spec("covered", fmt.Sprintf("ls %s %s; cat %s/key %s/public; touch here; touch %s/x %s/y 2>/dev/null || echo read-only; ls %s/a",
		work, covered, secrets, secrets, work, covered, work))
	spec.Sandbox = filepath.Join(work, "a", "s 1")
	if err := os.MkdirAll(spec.Sandbox, 0o755); err != nil {
		t.Fatal(err)
	}
	// ls names its arguments in the order of their names.
	first, second := work+":\na\n", covered+":\n"
	if work > covered {
		first, second = second, first
	}
	says(t, w, containers, spec, first+"\n"+second+"fineread-only\ns 1\n")
	if got := containertest.Run(t, containers, spec); got.Exit.Status != 0 {
		t.Errorf("a second time: %+v", got)
	}
	entries, err := os.ReadDir(filepath.Join(work, "a"))
	if err != nil || len(entries) != 1 {
		t.Errorf("on the machine there is %v, %v", entries, err)
	}
}

func TestNamesResolveWhereTheirFilesAreLinksIntoRun(t *testing.T) {
	w, c := inside(t)
	real, etc := outside(t, "/run"), outside(t, "/var")
	write(t, filepath.Join(real, "real.conf"), "nameserver 192.0.2.1\n")
	if err := os.Symlink("real.conf", filepath.Join(real, "stub.conf")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../.."+real+"/stub.conf", filepath.Join(etc, "resolv.conf")); err != nil {
		t.Fatal(err)
	}
	c.naming = append(c.naming, filepath.Join(etc, "resolv.conf"))
	says(t, w, c, w.Spec("names", fmt.Sprintf("cat %s/resolv.conf; ls %s; cmp /etc/resolv.conf /proc/self/cwd/copy && echo same", etc, real)),
		"nameserver 192.0.2.1\nstub.conf\n")
	resolvers, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		t.Skip("the machine resolves no names")
	}
	says(t, w, c, w.Spec("own", "cat /etc/resolv.conf"), string(resolvers))
}

func TestTheBinaryIsAtItsFixedPathAndReadOnly(t *testing.T) {
	w, c := inside(t)
	info, err := os.Stat(c.options.Binary)
	if err != nil {
		t.Fatal(err)
	}
	if c.Binary() != BinaryPath {
		t.Errorf("Binary() is %s", c.Binary())
	}
	says(t, w, c, w.Spec("binary", "stat -c %s "+c.Binary()), fmt.Sprintln(info.Size()))
	refuses(t, w, c, "echo > "+BinaryPath, "rm "+BinaryPath, "echo > /proc/1/exe")
}

func TestVolumesAreSeenWhereverTheyLieAndAreWanted(t *testing.T) {
	w, c := inside(t)
	mounted := outside(t, "/var")
	if err := unix.Mount("stoa-test", mounted, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(mounted, 0); err != nil {
			t.Error(err)
		}
	}()
	parent := filepath.Dir(mounted)
	sources := []string{outside(t, "/tmp"), outside(t, "/run"), outside(t, "/dev/shm"), outside(t, w.Work), mounted, outside(t, "/var")}
	targets := []string{
		"/data", "/data2/deep/er", "/opt/stoa-x/y", "/usr/share/stoa-x", "/run/x", "/tmp/in", "/mnt", "in/put", "/dev/shm/in",
		parent + "/stoa-below-a-mount", "/var/lib/stoa: x,y",
	}
	id := 0
	for _, source := range sources {
		write(t, filepath.Join(source, "file"), "content of "+source)
		for _, target := range targets {
			id++
			spec := w.Spec(fmt.Sprint("volume-", id), `cat "$0/file" "$0-file"; (echo x > "$0/new") 2>/dev/null || echo :read-only; (echo x > "$0-file") 2>/dev/null || echo read-only; echo y > "$0-rw/new"`)
			spec.Args = append(spec.Args, target)
			writable := filepath.Join(source, fmt.Sprint("rw-", id))
			if err := os.Mkdir(writable, 0o755); err != nil {
				t.Fatal(err)
			}
			spec.Volumes = []containerizer.Volume{
				{HostPath: filepath.Join(source, "file"), ContainerPath: target + "-file", ReadOnly: true},
				{HostPath: source, ContainerPath: target, ReadOnly: true},
				{HostPath: writable, ContainerPath: target + "-rw"},
			}
			for i := range spec.Volumes {
				spec.Volumes[i].Own = below(source, w.Work) // as persistent volumes are
			}
			says(t, w, c, spec, strings.Repeat("content of "+source, 2)+":read-only\nread-only\n")
			if got, err := os.ReadFile(filepath.Join(writable, "new")); err != nil || string(got) != "y\n" {
				t.Errorf("%s at %s: written %q, %v", source, target, got, err)
			}
		}
	}
	for _, made := range []string{"/data", "/opt/stoa-x", "/usr/share/stoa-x", "/mnt-file"} {
		if _, err := os.Lstat(made); err == nil {
			t.Errorf("%s was made on the machine", made)
		}
	}
}

func TestAVolumeOverTheLibrariesIsSaid(t *testing.T) {
	w, c := inside(t)
	for _, limit := range []int64{0, 4} { // the reaper is missed at different steps
		spec := w.Spec("covered", "true")
		spec.PIDs, spec.Volumes = limit, []containerizer.Volume{{HostPath: outside(t, "/var"), ContainerPath: "/usr"}}
		container, err := c.Start(t.Context(), spec, containerizer.Stdio{})
		if err == nil {
			containertest.Await(t, container)
		}
		if err == nil || !strings.Contains(err.Error(), "must not cover the libraries") {
			t.Errorf("with a limit of %d processes: %v", limit, err)
		}
	}
}

// What the reaper is made of is the machine's, also where a volume gets to it by a link in another one: else its program would be
// whoever's that volume is, and run before any limit.
func TestNoVolumeIsInPlaceOfWhatTheReaperIsMadeOf(t *testing.T) {
	w, c := inside(t)
	files, folder, links := outside(t, "/var"), outside(t, "/var"), outside(t, "/var")
	write(t, filepath.Join(files, "other"), "")
	library := ""
	for _, path := range c.needed {
		if strings.Contains(path, "/libc.so") {
			library = path
		}
	}
	if library == "" {
		t.Fatalf("there is no C library in %q", c.needed)
	}
	for name, to := range map[string]string{"binary": filepath.Dir(BinaryPath), "library": library, "libraries": filepath.Dir(library), "etc": "/etc"} {
		if err := os.Symlink(to, filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(files, "other")
	for _, one := range []struct {
		source, at string
		refused    bool
	}{
		{file, "/etc/ld.so.preload", true},
		{file, "/etc/ld.so.cache", true},
		{file, library, true},
		{folder, filepath.Dir(library), true},
		{folder, "/lib64", true},
		{folder, "/etc", true},
		{file, "/links/binary/stoa", true},
		{file, "/links/library", true},
		{folder, "/links/libraries", true},
		{file, "/links/etc/ld.so.cache", true},
		{file, "/etc/stoa-other", false},
		{folder, filepath.Dir(library) + "/stoa-other", false},
		{file, "/etc/passwd", false},
	} {
		spec := w.Spec("volume", "true")
		spec.Volumes = []containerizer.Volume{{HostPath: links, ContainerPath: "/links"}, {HostPath: one.source, ContainerPath: one.at}}
		container, err := c.Start(t.Context(), spec, containerizer.Stdio{})
		if err == nil {
			containertest.Await(t, container)
		}
		if (err != nil) != one.refused {
			t.Errorf("at %s: %v", one.at, err)
		}
	}
}

func TestAReadOnlyVolumeIsSoBelowMountsInIt(t *testing.T) {
	w, c := inside(t)
	source := outside(t, "/var")
	mounted := filepath.Join(source, "mounted")
	if err := os.Mkdir(mounted, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("stoa-test", mounted, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(mounted, 0); err != nil {
			t.Error(err)
		}
	}()
	spec := w.Spec("below", "touch /data/mounted/x 2>/dev/null || echo read-only")
	spec.Volumes = []containerizer.Volume{{HostPath: source, ContainerPath: "/data", ReadOnly: true}}
	says(t, w, c, spec, "read-only\n")
}

// The file system of a work_dir, or of a key, may be mounted at several places.
func TestWhatIsHiddenIsSoUnderItsOtherNames(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	own, again := outside(t, "/var"), outside(t, "/var")
	for _, name := range []string{"work", "keys", "part"} {
		if err := os.Mkdir(filepath.Join(own, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.Work = filepath.Join(own, "work")
	write(t, filepath.Join(w.Work, "secret"), "secret\n")
	write(t, filepath.Join(own, "keys", "key"), "secret\n")
	write(t, filepath.Join(own, "keys", "public"), "public\n")
	neighbour := w.Sandbox("neighbour")
	write(t, filepath.Join(neighbour, "secret"), "secret\n")
	for source, target := range map[string]string{own: again, neighbour: filepath.Join(own, "part")} {
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := unix.Unmount(target, 0); err != nil {
				t.Error(err)
			}
		}()
	}
	made, err := New(Options{
		StateDir: w.State, HostID: "host", CgroupParent: w.Cgroup + "/host", WorkDir: w.Work, Hide: []string{filepath.Join(own, "keys", "key")},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := made.(*Containerizer)
	defer c.Close()
	spec := w.Spec("looks", fmt.Sprintf("grep -rs . %s %s | grep -v $PWD; touch here; grep -rs . /volume", own, again))
	spec.Volumes = []containerizer.Volume{{HostPath: again, ContainerPath: "/volume", ReadOnly: true}}
	public := filepath.Join(own, "keys", "public:public") + "\n" + filepath.Join(again, "keys", "public:public") + "\n/volume/keys/public:public\n"
	says(t, w, c, spec, public)
	for _, source := range []string{filepath.Join(again, "work"), filepath.Join(again, "keys", "key"), filepath.Join(own, "part")} {
		spec := w.Spec("volume", "true")
		spec.Volumes = []containerizer.Volume{{HostPath: source, ContainerPath: "/volume"}}
		var bad *containerizer.SpecError
		if _, err := c.Start(t.Context(), spec, containerizer.Stdio{}); !errors.As(err, &bad) {
			t.Errorf("a volume from %s: %v", source, err)
		}
	}
}

// An overlay for a mount point must not uncover what is hidden below it.
func TestAMountPointUncoversNothing(t *testing.T) {
	containertest.Root(t)
	w := containertest.New(t)
	work := outside(t, "/var")
	write(t, filepath.Join(work, "slave.db"), "")
	containers, err := New(Options{StateDir: w.State, HostID: "host", CgroupParent: w.Cgroup + "/host", WorkDir: work})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := containers.Close(); err != nil {
			t.Error(err)
		}
	}()
	spec := w.Spec("overlaid", "ls -A "+work+"; cat /var/stoa-x/file; touch here")
	spec.Sandbox = filepath.Join(work, "s")
	source := outside(t, "/tmp")
	write(t, filepath.Join(source, "file"), "fine\n")
	if err := os.Mkdir(spec.Sandbox, 0o755); err != nil {
		t.Fatal(err)
	}
	spec.Volumes = []containerizer.Volume{{HostPath: source, ContainerPath: "/var/stoa-x", ReadOnly: true}}
	says(t, w, containers, spec, "s\nfine\n")
}

func TestResourcesAreWrittenToTheCgroup(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("limits", "exec sleep 1000")
	spec.MilliCPUs, spec.MemoryBytes, spec.PIDs = 2500, 64<<20, 20
	container := containertest.Start(t, c, spec)
	paths := container.(*containerUnderTest).cgroup.GetPaths()
	if !c.unified {
		for _, one := range [][3]string{
			{"cpu", "cpu.shares", "2560"},
			{"memory", "memory.limit_in_bytes", "67108864"},
			{"memory", "memory.memsw.limit_in_bytes", "67108864"},
			{"pids", "pids.max", "21"},
		} {
			data, err := os.ReadFile(filepath.Join(paths[one[0]], one[1]))
			if got := strings.TrimSpace(string(data)); err != nil || got != one[2] {
				t.Errorf("%s is %q, %v, want %s", one[1], got, err, one[2])
			}
		}
	}
	for controller, dir := range paths {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if in := strings.Fields(string(data)); err != nil || len(in) != 2 || !slices.Contains(in, fmt.Sprint(container.PID())) {
			t.Errorf("in its cgroup of %q are %q, %v, want the reaper and %d", controller, in, err, container.PID())
		}
	}
	if stats, err := container.Stats(); err != nil || stats.MemoryLimitBytes != 64<<20 {
		t.Errorf("got %+v, %v", stats, err)
	}
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Await(t, container)
}

type containerUnderTest = container

func TestOutOfMemoryIsAnOutcomeOfItsOwn(t *testing.T) {
	w, c := inside(t)
	for i, one := range []struct {
		name, script string
		want         bool
		status       syscall.WaitStatus
	}{
		{"the command itself", "exec tail /dev/zero", true, syscall.WaitStatus(syscall.SIGKILL)},
		{"a child of it", "tail /dev/zero; exit 3", true, 3 << 8},
		{"a child that it can do without", "tail /dev/zero; exit 0", false, 0},
		{"a child whose end ends it", "tail /dev/zero || exit 1", true, 1 << 8},
		{"a child whose status is its own", "set -e; tail /dev/zero; sleep 1000", true, (128 + 9) << 8},
		{"a child long before another failure", "tail /dev/zero; sleep 3; exit 1", false, 1 << 8},
		{"a child whose status is passed on after some time", "tail /dev/zero; status=$?; sleep 3; exit $status", true, (128 + 9) << 8},
		{"a child long before a signal", "tail /dev/zero; sleep 3; kill -KILL $$", false, syscall.WaitStatus(syscall.SIGKILL)},
		{"a child long ago, and another at the end", "tail /dev/zero; sleep 3; tail /dev/zero; exit 1", true, 1 << 8},
		{"nobody", "exit 3", false, 3 << 8},
	} {
		t.Run(one.name, func(t *testing.T) {
			if strings.Contains(one.script, "sleep 3") {
				t.Parallel()
			}
			spec := w.Spec(fmt.Sprint("memory-", i), one.script)
			spec.MemoryBytes = 40 << 20
			got := containertest.Run(t, c, spec).Exit
			if got.OutOfMemory != one.want || got.Status != one.status || got.Killed || got.MemoryLimitBytes != 40<<20 {
				t.Errorf("got %+v", got)
			}
			if one.want && (got.MemoryPeakBytes < 32<<20 || got.MemoryPeakBytes > 40<<20) {
				t.Errorf("peak %d", got.MemoryPeakBytes)
			}
		})
	}
}

// What a volume or the machine has lost the name of is not the sandbox's, also on the same file system: the libraries of a
// machine that was upgraded are such files.
func TestUnlinkedFilesAreTheSandboxsInItAndInTmp(t *testing.T) {
	w, c := inside(t)
	volume := filepath.Join(filepath.Dir(w.Work), "volume")
	machines := outside(t, "/var")
	if err := os.Mkdir(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(machines, "library"), "of the machine")
	spec := w.Spec("places", `for f in f /tmp/f data/f /data/f /data/inner/f; do echo x >$f; done; `+
		`exec 3<f 4</tmp/f 5<data/f 6</data/f 7</data/inner/f 8<`+machines+`/library; `+
		`rm f /tmp/f data/f /data/f /data/inner/f; touch ready; exec sleep 1000`)
	spec.Volumes = []containerizer.Volume{{HostPath: volume, ContainerPath: "data"}, {HostPath: volume, ContainerPath: "/data"}}
	if err := os.Mkdir(filepath.Join(volume, "inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	container := containertest.Start(t, c, spec)
	containertest.Poll(t, "the files are removed", containertest.Deadline, func() bool {
		_, err := os.Stat(filepath.Join(spec.Sandbox, "ready"))
		return err == nil
	})
	if err := os.Remove(filepath.Join(machines, "library")); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Open(spec.Sandbox)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	found, err := disk.NewUnlinked(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := container.Unlinked(t.Context(), found); err != nil || found.Usage.Files != 2 {
		t.Errorf("got %d files, %v, want that of the sandbox and that of its /tmp", found.Usage.Files, err)
	}
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Await(t, container)
}

func TestASmallMemoryLimitIsRaisedToTheLeast(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("small", "exit 6")
	spec.MemoryBytes = 1 << 20
	got := containertest.Run(t, c, spec).Exit
	if got.Status != 6<<8 || got.MemoryLimitBytes != containerizer.MinMemoryBytes {
		t.Errorf("got %+v", got)
	}
}

func TestAForkBombStopsAtItsLimit(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("bomb", "bomb() { bomb | bomb & }; bomb; sleep 0.3; touch alive; sleep 1000")
	spec.Args[0] = "bash"
	spec.PIDs = 64
	container := containertest.Start(t, c, spec)
	containertest.Poll(t, "the bomb has gone off", containertest.Deadline, func() bool {
		stats, err := container.Stats()
		return err == nil && stats.Processes > 30 || err != nil
	})
	if err := container.Kill(); err != nil {
		t.Fatal(err)
	}
	containertest.Await(t, container)
}

func TestPrivilegesAreFew(t *testing.T) {
	w, c := inside(t)
	script := "grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs)' /proc/self/status | tr '\\t\\n' '  '; id -u; id -g; umask"
	// The eleven of rootCapabilities, by their numbers: 0 1 3 4 5 6 7 8 10 18 31.
	const eleven = "00000000800405fb"
	const none = "0000000000000000"
	line := func(inherited, own string) string {
		return fmt.Sprintf("CapInh: %s CapPrm: %s CapEff: %s CapBnd: %s CapAmb: %s NoNewPrivs: 1 ", inherited, own, own, own, none)
	}
	says(t, w, c, w.Spec("root", script), line(none, eleven)+"0\n0\n0022\n")
	spec := w.Spec("user", script+"; touch /tmp/mine; kill -9 $$")
	spec.User = "nobody"
	if err := os.Chmod(spec.Sandbox, 0o777); err != nil {
		t.Fatal(err)
	}
	got := containertest.Run(t, c, spec)
	if want := line(none, none) + "65534\n65534\n0022\n"; got.Stdout != want || got.Exit.Status.Signal() != syscall.SIGKILL {
		t.Errorf("(-want +got)\n%s %s %+v", cmp.Diff(want, got.Stdout), got.Stderr, got.Exit)
	}
	spec = w.Spec("number", "id -u")
	spec.User = "65534"
	says(t, w, c, spec, "65534\n")
}

func TestTheMachinesProcessesAndIPCAreOutOfReach(t *testing.T) {
	w, c := inside(t)
	refuses(t, w, c, fmt.Sprintf("kill -0 %d", os.Getpid()), "ipcs -q | grep -q 0x")
	neighbour := containertest.Start(t, c, w.Spec("neighbour", "sleep 1000"))
	spec := w.Spec("all", "sleep 1000 & kill -9 -1; exit 3") // spares whoever calls it
	if got := containertest.Run(t, c, spec); got.Exit.Killed || got.Exit.Status != 3<<8 {
		t.Errorf("kill -9 -1: got %+v", got.Exit)
	}
	if err := neighbour.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("the neighbour: %v", err)
	}
	if exit := containertest.Await(t, neighbour); exit.Status.Signal() != syscall.SIGTERM {
		t.Errorf("the neighbour: %+v", exit)
	}
}

func TestLimitsChangeWhileAContainerRuns(t *testing.T) {
	w, c := inside(t)
	spec := w.Spec("resized", "head -c 40m /dev/zero > /dev/shm/held; touch ready; exec sleep 1000")
	spec.MilliCPUs, spec.MemoryBytes = 1000, 128<<20
	one := containertest.Start(t, c, spec)
	containertest.Poll(t, "it holds its memory", containertest.Deadline, func() bool {
		_, err := os.Stat(filepath.Join(spec.Sandbox, "ready"))
		return err == nil
	})
	for _, step := range []struct {
		name   string
		limits containerizer.Limits
		memory int64
		shares string
		quota  string
		err    error
	}{
		{"more", containerizer.Limits{MilliCPUs: 2000, MilliCPULimit: 2500, MemoryBytes: 256 << 20}, 256 << 20, "2048", "250000", nil},
		{"less", containerizer.Limits{MilliCPUs: 500, MilliCPULimit: 500, MemoryBytes: 96 << 20}, 96 << 20, "512", "50000", nil},
		{"less than it has", containerizer.Limits{MilliCPUs: 250, MilliCPULimit: 250, MemoryBytes: 32 << 20}, 96 << 20, "256", "25000", containerizer.ErrInUse},
		{"no ceiling", containerizer.Limits{MilliCPUs: 250, MemoryBytes: 96 << 20}, 96 << 20, "256", "-1", nil},
	} {
		if err := one.Resize(step.limits); !errors.Is(err, step.err) {
			t.Errorf("%s: %v, want %v", step.name, err, step.err)
		}
		if stats, err := one.Stats(); err != nil || stats.MemoryLimitBytes != step.memory {
			t.Errorf("%s: a limit of %d, %v, want %d", step.name, stats.MemoryLimitBytes, err, step.memory)
		}
		if c.unified {
			continue
		}
		paths := one.(*containerUnderTest).cgroup.GetPaths()
		for file, want := range map[string]string{"cpu.shares": step.shares, "cpu.cfs_quota_us": step.quota} {
			data, err := os.ReadFile(filepath.Join(paths["cpu"], file))
			if got := strings.TrimSpace(string(data)); err != nil || got != want {
				t.Errorf("%s: %s is %q, %v, want %s", step.name, file, got, err, want)
			}
		}
	}
	further := containerizer.Exec{Args: []string{"sh", "-c", "echo nothing > /dev/null; echo beside"}}
	if said, status := containertest.Beside(t, one, further); said != "beside\n" || status != 0 {
		t.Errorf("a further command afterwards: it said %q, status %d", said, status)
	}
	if err := one.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit := containertest.Await(t, one); exit.MemoryLimitBytes != 96<<20 || exit.OutOfMemory {
		t.Errorf("its end: %+v", exit)
	}
	if err := one.Resize(containerizer.Limits{}); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("after its end: %v", err)
	}
}
