package integration_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/integration"
)

// abandonEnv makes the test binary a process that makes a LAN with something that runs in it, and never ends.
const abandonEnv = "INTEGRATION_TEST_ABANDON_A_LAN"

// serveEcho has a machine answer what it is sent, until the test ends.
func serveEcho(t *testing.T, m *integration.Machine, ip netip.Addr) (address string) {
	t.Helper()
	listener, err := m.Listen(netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			_, _ = conn.Write([]byte(line))
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-ended })
	return listener.Addr().String()
}

// echoes says whether a machine gets an answer from an address within the time.
func echoes(m *integration.Machine, address string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	conn, err := m.Dial(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(within))
	if _, err := conn.Write([]byte("hello\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "hello\n" {
		err = fmt.Errorf("answered is %q", line)
	}
	return err
}

func TestMachinesOfALANReachEachOtherUnlessTheyAreCutOff(t *testing.T) {
	lan := integration.NewLAN(t, "a", "b", "c")
	a, b, c := lan.Machine("a"), lan.Machine("b"), lan.Machine("c")
	const soon, notSoon = 10 * time.Second, 200 * time.Millisecond
	at := serveEcho(t, a, a.IP())
	at6 := serveEcho(t, a, a.IP6())
	local := serveEcho(t, b, netip.MustParseAddr("127.0.0.1"))
	reached := func(what string, from *integration.Machine, address string) {
		t.Helper()
		if err := echoes(from, address, soon); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	notReached := func(what string, from *integration.Machine, address string) {
		t.Helper()
		var timeout net.Error
		if err := echoes(from, address, notSoon); err == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%s: got %v, want that nothing comes", what, err)
		}
	}
	reached("IPv4", b, at)
	reached("IPv6", b, at6)
	reached("itself", a, at)
	reached("loopback", b, local)
	if err := echoes(c, local, soon); err == nil {
		t.Error("one machine reaches the loopback of another")
	}
	if conn, err := net.DialTimeout("tcp", at, notSoon); err == nil {
		_ = conn.Close()
		t.Error("the LAN is reached from outside")
	}
	a.Unplug()
	notReached("unplugged", b, at)
	a.Plug()
	reached("plugged", b, at)
	reached("plugged, over IPv6", b, at6)
	b.LoseReceived(100)
	notReached("all that b is sent is lost", b, at)
	reached("another machine, meanwhile", c, at)
	b.Heal()
	b.LoseSent(100)
	notReached("all that b sends is lost", b, at)
	reached("its loopback", b, local)
	b.CutLoopback(0, int(netip.MustParseAddrPort(local).Port()))
	notReached("its loopback, cut", b, local)
	b.Heal()
	reached("healed", b, at)
	reached("the loopback, healed", b, local)
	b.Lose(20)
	const tries = 30
	passed := 0
	for range tries {
		if echoes(b, at, notSoon) == nil {
			passed++
		}
	}
	if passed == 0 || passed == tries {
		t.Errorf("%d of %d got through at once while a fifth is lost in each direction", passed, tries)
	}
}

func TestAMachinesOwnFoldersAreEmptyInOthers(t *testing.T) {
	lan := integration.NewLAN(t, "a", "b")
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	lan.Machine("a").Own(folder)
	for name, want := range map[string]string{"a": "mine\n", "b": ""} {
		var out strings.Builder
		ls := exec.Command("ls", folder)
		ls.Stdout = &out
		if err := lan.Machine(name).Start(ls); err != nil {
			t.Fatal(err)
		}
		if err := ls.Wait(); err != nil || out.String() != want {
			t.Errorf("in %s there is %q (%v), want %q", name, out.String(), err, want)
		}
	}
}

// abandonALAN is the life of a process that is killed: it prints the namespaces of a LAN.
func abandonALAN(t *testing.T) {
	lan := integration.NewLAN(t, "a", "b")
	lan.Machine("a").LoseReceived(50)
	for _, name := range []string{"a", "b"} {
		if err := lan.Machine(name).Do(func() error {
			inode, err := os.Readlink("/proc/thread-self/ns/net")
			fmt.Println("namespace", inode)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("ready")
	select {}
}

func TestALANLeavesNothingBehindAlsoIfItsProcessIsKilled(t *testing.T) {
	if os.Getenv(abandonEnv) != "" {
		abandonALAN(t)
	}
	integration.NeedsRoot(t)
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), abandonEnv+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var inodes []string
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		if inode, ok := strings.CutPrefix(lines.Text(), "namespace "); ok {
			inodes = append(inodes, inode)
		}
	}
	_ = child.Process.Kill()
	_ = child.Wait() // it was killed
	if len(inodes) != 2 || inodes[0] == inodes[1] {
		t.Fatalf("the namespaces are %v, want those of two machines", inodes)
	}
	for _, inode := range inodes {
		if holders := holdersOf(inode); len(holders) > 0 {
			t.Errorf("%s is held by %v", inode, holders)
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Name == "switch" || strings.HasPrefix(i.Name, "port") {
			t.Errorf("there is an interface %s", i.Name)
		}
	}
}

// holdersOf are the files of /proc that keep a namespace: of processes in it, and of those that have it open.
func holdersOf(inode string) []string {
	var holders []string
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/[0-9]*/fd/*"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if target, _ := os.Readlink(file); target == inode {
				holders = append(holders, file)
			}
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo") // named ones are mounts
	if strings.Contains(string(mounts), inode) {
		holders = append(holders, "a mount")
	}
	return holders
}
