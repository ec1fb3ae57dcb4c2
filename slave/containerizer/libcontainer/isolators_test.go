//go:build linux && cgo

package libcontainer

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/slave/containerizer"
)

var update = flag.Bool("update", false, "write the golden files anew")

// someFacts are those of one container in which every isolator has something to do.
func someFacts() facts {
	return facts{
		spec: containerizer.Spec{
			ID: "c1", Sandbox: "/var/lib/stoa/run s:1", MilliCPUs: 1500, MilliCPULimit: 2500, MemoryBytes: 256 << 20, PIDs: 100,
		},
		user:   identity{uid: 0, gid: 0},
		rootfs: "/state/host/roots/c1",
		cgroup: "/stoa/cluster/host/c1",
		root: []rootEntry{
			{name: "bin", kind: rootLink, target: "usr/bin"}, {name: "etc"}, {name: "usr"}, {name: "note", kind: rootFile}, {name: "srv", kind: rootEmpty},
		},
		runAt:     []string{"/run", "/var/run"},
		temporary: "/var/lib/stoa/run s:1/.tmp", temporaryAt: []string{"/tmp", "/var/tmp"},
		hiddenDirs: []string{"/state", "/var/lib/stoa"}, hiddenFiles: []string{"/etc/stoa.key"},
		names:  []alias{{source: "/run/systemd/resolve/resolv.conf", at: "/run/stub.conf"}},
		binary: "/usr/local/bin/stoa",
		overlays: []overlay{{
			at: "/opt,x", points: "/state/host/overlays/c1:0", create: []point{{path: "new/data", directory: true}}, below: []string{"/opt,x/disk"},
		}},
		maskedAt: []string{"/scratch/stoa.key"},
		volumes: []containerizer.Volume{
			{HostPath: "/data", ContainerPath: "/opt,x/new/data", ReadOnly: true},
			{HostPath: "/scratch", ContainerPath: "/scratch"},
		},
		swapLimit:    true,
		capabilities: []string{"CAP_CHOWN", "CAP_KILL"},
	}
}

func TestEachIsolatorEditsTheConfigurationAsItsGoldenFileShows(t *testing.T) {
	for _, isolator := range isolators() {
		t.Run(isolator.name, func(t *testing.T) {
			config := blank(someFacts())
			isolator.edit(config, someFacts())
			golden(t, isolator.name, render(t, config))
		})
	}
}

// What a row of the table of isolators looks like, and a test in it.
var (
	isolatorRow = regexp.MustCompile("(?m)^\\| `([a-z]+)` \\|.*\\| ([^|]+) \\|$")
	namedTest   = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
)

// Users read in a table which test shows what in a real container: it names all isolators, and only tests that exist.
func TestEachIsolatorHasATestInARealContainer(t *testing.T) {
	page, err := os.ReadFile("../../../docs/containers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## What shows that it holds")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := map[string][]string{}
	for _, row := range isolatorRow.FindAllStringSubmatch(table, -1) {
		for _, name := range namedTest.FindAllStringSubmatch(row[2], -1) {
			rows[row[1]] = append(rows[row[1]], name[1])
		}
	}
	paths, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(source)
	}
	for _, isolator := range isolators() {
		if len(rows[isolator.name]) == 0 {
			t.Errorf("docs/containers.md names no test for the isolator %q", isolator.name)
		}
		for _, test := range rows[isolator.name] {
			if !strings.Contains(sources.String(), "func "+test+"(") {
				t.Errorf("the test %s of the isolator %q does not exist", test, isolator.name)
			}
		}
		delete(rows, isolator.name)
	}
	for name := range rows {
		t.Errorf("docs/containers.md has an isolator %q, which does not exist", name)
	}
}

func TestTheWholeConfigurationIsAsItsGoldenFileShows(t *testing.T) {
	golden(t, "whole", render(t, configure(someFacts())))
}

func TestWhoIsNotRootKeepsNoCapability(t *testing.T) {
	known := someFacts()
	known.user.uid = 65534
	golden(t, "privileges-of-a-user", render(t, func() *configs.Config {
		config := blank(known)
		isolatePrivileges(config, known)
		return config
	}()))
}

func TestWithoutLimitsNoneIsWritten(t *testing.T) {
	known := someFacts()
	known.spec.MemoryBytes, known.spec.PIDs = 0, 0
	config := blank(known)
	isolateMemory(config, known)
	isolatePIDs(config, known)
	if r := config.Cgroups.Resources; r.Memory != 0 || r.MemorySwap != 0 || r.PidsLimit != nil {
		t.Errorf("got %+v", r)
	}
	known.spec.MemoryBytes, known.swapLimit = 64<<20, false
	isolateMemory(config, known)
	if r := config.Cgroups.Resources; r.Memory != 64<<20 || r.MemorySwap != 0 {
		t.Errorf("the kernel has no swap limit, and got %+v", r)
	}
}

// This machine may have the first version of cgroups, so what the second would be
// told is written into a folder, by what writes it in earnest.
func TestTheSecondVersionOfCgroupsIsToldAsItsGoldenFileShows(t *testing.T) {
	golden(t, "unified", toldUnified(t, *configure(someFacts())))
}

func TestTheSecondVersionOfCgroupsIsToldASmallLimitOfProcessesWhenItHasStarted(t *testing.T) {
	known := someFacts()
	known.spec.PIDs = 3
	config := configure(known)
	if got := toldUnified(t, *config); !strings.Contains(got, fmt.Sprintf("pids.max: %d\n", startPIDs)) {
		t.Errorf("for the start: %s", got)
	}
	after, tighter := started(*config, known.spec)
	if !tighter || *config.Cgroups.PidsLimit != startPIDs {
		t.Errorf("tighter: %v, and the configuration for the start says %d by now", tighter, *config.Cgroups.PidsLimit)
	}
	golden(t, "unified-few-processes", toldUnified(t, after))
	for _, pids := range []int64{0, startPIDs - 1, startPIDs, 1024} {
		known.spec.PIDs = pids
		if _, tighter := started(*configure(known), known.spec); tighter {
			t.Errorf("a limit of %d is written twice", pids)
		}
	}
}

// toldUnified is what the second version of cgroups would be told of a configuration.
func toldUnified(t *testing.T, config configs.Config) string {
	t.Helper()
	cgroups.TestMode = true
	defer func() { cgroups.TestMode = false }()
	folder := t.TempDir()
	write(t, filepath.Join(folder, "cgroup.controllers"), "cpuset cpu io memory pids")
	config.Cgroups.SkipDevices = true // a program of the kernel's there, and no file
	made, err := fs2.NewManager(config.Cgroups, folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Set(config.Cgroups.Resources); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s: %s\n", entry.Name(), data)
	}
	return text.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got; rewrite with -update)\n%s", diff)
	}
}

// render shows a configuration for readers: mounts a line each, the rest as
// JSON without what is empty.
func render(t *testing.T, config *configs.Config) string {
	t.Helper()
	var text strings.Builder
	for _, mount := range config.Mounts {
		fmt.Fprintf(&text, "mount %s %s on %s%s", mount.Device, mount.Source, mount.Destination, mountFlags(mount))
		if mount.Data != "" {
			fmt.Fprintf(&text, " (%s)", mount.Data)
		}
		text.WriteString("\n")
	}
	rest := *config
	rest.Mounts = nil
	data, err := json.Marshal(rest)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	if data, err = json.MarshalIndent(prune(tree), "", "  "); err != nil {
		t.Fatal(err)
	}
	text.Write(data)
	text.WriteString("\n")
	return text.String()
}

func mountFlags(mount *configs.Mount) string {
	var names string
	for _, flag := range []struct {
		bit  int
		name string
	}{
		{unix.MS_BIND, "bind"},
		{unix.MS_REC, "recursive"},
		{unix.MS_RDONLY, "read-only"},
		{unix.MS_NODEV, "nodev"},
		{unix.MS_NOSUID, "nosuid"},
		{unix.MS_NOEXEC, "noexec"},
		{unix.MS_STRICTATIME, "strictatime"},
	} {
		if mount.Flags&flag.bit != 0 {
			names += " " + flag.name
		}
	}
	if mount.RecAttr != nil && mount.RecAttr.Attr_set&unix.MOUNT_ATTR_RDONLY != 0 {
		names += " read-only-recursive"
	}
	return names
}

func prune(tree any) any {
	switch tree := tree.(type) {
	case map[string]any:
		for key, value := range tree {
			value = prune(value)
			if tree[key] = value; value == nil {
				delete(tree, key)
			}
		}
		if len(tree) == 0 {
			return nil
		}
	case []any:
		if len(tree) == 0 {
			return nil
		}
		for i := range tree {
			tree[i] = prune(tree[i])
		}
	case string:
		if tree == "" {
			return nil
		}
	case bool:
		if !tree {
			return nil
		}
	case float64:
		if tree == 0 {
			return nil
		}
	}
	return tree
}
