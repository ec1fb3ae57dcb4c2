//go:build linux && cgo

package libcontainer

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// machine is a file system of directories (ending in /), files and links (path -> target).
func machine(entries ...string) lookup {
	return func(path string) (fs.FileMode, string, error) {
		for _, entry := range entries {
			name, target, link := strings.Cut(entry, " -> ")
			switch {
			case link && name == path:
				return fs.ModeSymlink, target, nil
			case name == path:
				return 0, "", nil
			case filepath.Clean(name) == path && strings.HasSuffix(name, "/"):
				return fs.ModeDir, "", nil
			}
		}
		return 0, "", fs.ErrNotExist
	}
}

func TestAMountPointIsMadeWhereItCanBe(t *testing.T) {
	look := machine("/usr/", "/usr/share/", "/etc/", "/etc/hosts", "/opt -> usr/share", "/abs -> /etc",
		"/up -> usr/../etc", "/loop -> loop", "/home -> gone", "/var/", "/var/run -> /run")
	own := []string{"/run", "/tmp", "/work"}
	for _, one := range []struct {
		name, at string
		file     bool
		want     placement
		problem  string
	}{
		{name: "a directory that exists needs nothing", at: "/usr/share"},
		{name: "a file that exists needs nothing for a file", at: "/etc/hosts", file: true},
		{name: "below what is the container's own nothing is needed", at: "/tmp/a/b"},
		{name: "what is the container's own needs nothing itself", at: "/run"},
		{name: "a link to what is the container's own needs nothing", at: "/var/run/x/y"},
		{name: "a name of its own prefix is not the container's own", at: "/tmpfile", want: placement{root: "tmpfile"}},
		{name: "a missing name in the root is made there", at: "/data", want: placement{root: "data"}},
		{name: "a missing path starts in the root", at: "/data/a/b", want: placement{root: "data"}},
		{name: "a missing path deeper down gets an overlay", at: "/usr/share/new", want: placement{over: "/usr/share", path: "new"}},
		{name: "the overlay covers the nearest directory there is", at: "/usr/a/b/c", want: placement{over: "/usr", path: "a/b/c"}},
		{name: "a relative link is followed", at: "/opt/new", want: placement{over: "/usr/share", path: "new"}},
		{name: "an absolute link is followed", at: "/abs/new", want: placement{over: "/etc", path: "new"}},
		{name: "a link upwards is followed", at: "/up/new", want: placement{over: "/etc", path: "new"}},
		{name: "a link to nowhere leads to what is missing", at: "/home/x", want: placement{root: "gone"}},
		{name: "a loop of links is an error", at: "/loop/x", problem: "symbolic links"},
		{name: "nothing can be made below a file", at: "/etc/hosts/x", problem: "/etc/hosts is a file"},
		{name: "a directory is not mounted on a file", at: "/etc/hosts", problem: "same kind"},
		{name: "a file is not mounted on a directory", at: "/usr", file: true, problem: "same kind"},
	} {
		got, _, err := place(one.at, !one.file, own, look)
		if one.problem != "" {
			if err == nil || !strings.Contains(err.Error(), one.problem) {
				t.Errorf("%s: got %+v, %v", one.name, got, err)
			}
			continue
		}
		if err != nil || got != one.want {
			t.Errorf("%s: got %+v, %v, want %+v", one.name, got, err, one.want)
		}
	}
}

func TestVolumesAreMountedParentsFirstAndShareAnOverlay(t *testing.T) {
	spec := containerizer.Spec{ID: "c", Sandbox: "/work/s", Volumes: []containerizer.Volume{
		{HostPath: "/h/file", ContainerPath: "/opt/new/file", ReadOnly: true},
		{HostPath: "/h/inner", ContainerPath: "/data/inner"},
		{HostPath: "/h/x/../dir", ContainerPath: "/opt/other/"},
		{HostPath: "/h/outer", ContainerPath: "/data"},
		{HostPath: "/h/sandboxed", ContainerPath: "in/put"},
	}}
	kinds := func(path string) (bool, error) { return path != "/h/file", nil }
	got, err := placeVolumes(spec, []string{"/work/s"}, machine("/opt/", "/work/"), kinds)
	if err != nil {
		t.Fatal(err)
	}
	want := placed{
		volumes: []containerizer.Volume{
			{HostPath: "/h/outer", ContainerPath: "/data"},
			{HostPath: "/h/inner", ContainerPath: "/data/inner"},
			{HostPath: "/h/file", ContainerPath: "/opt/new/file", ReadOnly: true},
			{HostPath: "/h/dir", ContainerPath: "/opt/other"},
			{HostPath: "/h/sandboxed", ContainerPath: "/work/s/in/put"},
		},
		roots: []rootPoint{{name: "data", directory: true}},
		overlays: []overlay{{at: "/opt", create: []point{
			{path: "new/file"}, {path: "other", directory: true},
		}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(placed{}, rootPoint{}, overlay{}, point{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAVolumeThatIsMissingIsNamed(t *testing.T) {
	spec := containerizer.Spec{ID: "c", Sandbox: "/work/s", Volumes: []containerizer.Volume{{HostPath: "/gone", ContainerPath: "/data"}}}
	_, err := placeVolumes(spec, nil, machine(), func(string) (bool, error) { return false, fs.ErrNotExist })
	var failed *containerizer.StartError
	if !errors.As(err, &failed) || failed.Step != "volume /data" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAVolumeCoversNothingThatAContainerNeeds(t *testing.T) {
	look := machine("/etc/", "/var/", "/var/lib/", "/kernel -> /proc", "/up -> var/lib/stoa/..", "/var/lib/stoa/", "/var/run -> /run")
	for at, needed := range map[string]string{
		"/proc": "/proc", "/proc/sys": "/proc", "/kernel/sys": "/proc", "/dev": "/dev",
		"/run": BinaryPath, "/run/stoa": BinaryPath, BinaryPath: BinaryPath, "/var/run/stoa/bin": BinaryPath,
		"/var": "/var/lib/stoa/s", "/var/lib/stoa": "/var/lib/stoa/s", "/up": "/var/lib/stoa/s",
		"/dev/shm": "", "/run/x": "", "/process": "", "/var/lib": "/var/lib/stoa/s", "/var/lib/stoa/s": "", ".": "", "in": "", "/etc": "", "/tmp": "", "/new": "",
	} {
		spec := containerizer.Spec{ID: "c", Sandbox: "/var/lib/stoa/s", Volumes: []containerizer.Volume{{HostPath: "/data", ContainerPath: at}}}
		_, err := placeVolumes(spec, append(privatePaths(), spec.Sandbox), look, func(string) (bool, error) { return true, nil })
		switch {
		case needed == "" && err != nil:
			t.Errorf("%s: %v", at, err)
		case needed != "" && (err == nil || !strings.Contains(err.Error(), "cover "+needed+",")):
			t.Errorf("%s: got %v, want what says that it covers %s", at, err, needed)
		}
	}
}

func TestOverlayPathsAreEscaped(t *testing.T) {
	for given, want := range map[string]string{"/plain": "/plain", "/a:b,c\\d": `/a\:b\,c\\d`} {
		if got := escapeOverlay(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}

func TestBelowIsAboutNamesNotLetters(t *testing.T) {
	for _, one := range []struct {
		path, directory string
		want            bool
	}{
		{"/run", "/run", true}, {"/run/x", "/run", true}, {"/runner", "/run", false}, {"/", "/run", false}, {"/x", "/", true},
	} {
		if got := below(one.path, one.directory); got != one.want {
			t.Errorf("below(%q, %q) = %v", one.path, one.directory, got)
		}
	}
}

func TestAVolumeIsGuardedByWhereItReallyComesFrom(t *testing.T) {
	real := map[string]string{"/link": "/var/lib/stoa/x", "/data": "/srv/data", "/": "/", "/etc": "/etc", "/gone": ""}
	resolve := func(path string) (string, error) {
		if real[path] == "" {
			return "", fs.ErrNotExist
		}
		return real[path], nil
	}
	hidden := []string{"/etc/stoa.key", "/etc/stoa.d", "/var/lib/stoa"}
	for _, one := range []struct {
		source, want string
		masked       []string
		refused      bool
	}{
		{source: "/data", want: "/srv/data"},
		{source: "/link", refused: true},
		{source: "/gone", refused: true},
		{source: "/etc", want: "/etc", masked: []string{"/v/stoa.key", "/v/stoa.d"}},
		{source: "/", want: "/", masked: []string{"/v/etc/stoa.key", "/v/etc/stoa.d", "/v/var/lib/stoa"}},
	} {
		spec := containerizer.Spec{ID: "c", Sandbox: "/work/s", Volumes: []containerizer.Volume{
			{HostPath: one.source, ContainerPath: "/v"}, {HostPath: "/var/lib/stoa/volumes/1", ContainerPath: "own", Own: true},
		}}
		guarded, masked, err := guardVolumes(spec, hidden, resolve)
		if (err != nil) != one.refused {
			t.Errorf("%s: %v", one.source, err)
		}
		if one.refused {
			continue
		}
		want := []containerizer.Volume{{HostPath: one.want, ContainerPath: "/v"}, spec.Volumes[1]}
		if diff := cmp.Diff(want, guarded.Volumes); diff != "" || !slices.Equal(masked, one.masked) {
			t.Errorf("%s: masked %q, want %q; volumes (-want +got)\n%s", one.source, masked, one.masked, diff)
		}
		if spec.Volumes[0].HostPath != one.source {
			t.Error("the spec that was given has changed")
		}
	}
}

func TestWhatIsMountedTwiceHasSeveralNames(t *testing.T) {
	mount := func(minor int, root, at string) *mountinfo.Info {
		return &mountinfo.Info{Major: 8, Minor: minor, Root: root, Mountpoint: at}
	}
	mounts := []*mountinfo.Info{
		mount(1, "/", "/"), mount(2, "/", "/var"), mount(3, "/", "/proc"),
		mount(1, "/", "/mnt/all"), mount(2, "/lib", "/srv/lib"), mount(2, "/lib/stoa/slaves", "/exports"), mount(2, "/library", "/srv/library"),
		mount(1, "/etc/keys/tls.key", "/opt/key"), mount(2, "/", "/mnt/all/var"), mount(2, "/lib/stoa", "/var/lib/stoa/again"),
	}
	got := otherNames([]string{"/etc/keys/tls.key", "/var/lib/stoa"}, mounts)
	want := []otherName{
		{"/mnt/all/etc/keys/tls.key", "/etc/keys/tls.key"},
		{"/opt/key", "/etc/keys/tls.key"},
		{"/srv/lib/stoa", "/var/lib/stoa"},
		{"/exports", "/var/lib/stoa/slaves"},
		{"/mnt/all/var/lib/stoa", "/var/lib/stoa"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(otherName{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
