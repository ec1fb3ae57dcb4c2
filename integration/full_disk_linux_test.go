package integration_test

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Output that does not fit on the slave's disk is lost, and nobody takes the task's end for a good one.
func TestOutputThatFillsTheDiskIsMissed(t *testing.T) {
	needsRoot(t)
	g := newGround(t)
	const diskBytes, outputBytes = 16 << 20, 40 << 20
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size="+strconv.Itoa(diskBytes)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	master := g.addressIn(g.start("master", "--port", "0"), "master is up")
	slave := g.start("slave", "--master", master, "--port", "0", "--work_dir", disk+"/slave", "--isolation", "libcontainer", "--resources", "cpus:2;mem:512;disk:16")
	g.await("the slave has registered", func() bool { return g.countNodes(master) == 1 })
	run := g.stoa("run", "--master", master, "--mem", "64", "--", "head", "-c", strconv.Itoa(outputBytes), "/dev/zero")
	run.expect(125)
	if said := run.err.String(); !strings.Contains(said, "no space left on device") {
		t.Errorf("it does not say why: %q", said)
	}
	end := g.ends(master)["head-0"]
	lost, err := strconv.Atoi(end.Labels["stoa.output_lost_bytes"])
	if end.State != "TASK_FINISHED" || err != nil || lost < outputBytes-diskBytes || lost > outputBytes {
		t.Errorf("it ended as %+v, of %d bytes on a disk of %d", end, outputBytes, diskBytes)
	}
	slave.signal(syscall.SIGTERM)
	slave.expect(0)
}
