package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// maxMachines bounds a LAN: its addresses are those of a /24, and .1 to .253 are given away.
const maxMachines = 253

// LAN is a local network of machines for real processes: each machine is a network namespace of the kernel, with a cable (a veth
// pair) to one switch (a bridge in a namespace of its own). What runs in a machine sees its own loopback and the LAN, and
// nothing else; the test's process, which is outside, gets in with [Machine.Dial] and [Machine.Do].
//
//	lan := integration.NewLAN(t, "master", "slave1", "slave2")
//	slave := lan.Machine("slave1")
//	slave.Own(workDir)                                       // nobody else sees it
//	err := slave.Start(exec.Command(stoa, "slave", "--ip", slave.IP().String(), …))
//	slave.Unplug()                                           // and Plug
//	slave.LoseSent(100)                                      // one way only; needs nft
//	slave.Lose(20)                                           // every fifth packet, in both directions
//	slave.Heal()
//
// It takes root, and network namespaces, veth and bridge of the kernel: see [NeedsRoot]. Its namespaces have no names. They last as
// long as this process and those that it started in them, so nothing of them is left when both have ended, however they ended.
//
// It exists on Linux only: tests that use it are in files named *_linux_test.go.
type LAN struct {
	t        testing.TB
	hub      netns.NsHandle // holds the bridge, and the switch's ends of cables
	handle   *netlink.Handle
	machines []*Machine
}

// Machine is one machine of a LAN. Its methods may be called from any goroutine.
type Machine struct {
	lan    *LAN
	name   string
	ns     netns.NsHandle
	ip     netip.Addr
	ip6    netip.Addr
	port   netlink.Link // the switch's end of its cable
	own    []string     // folders that only this machine sees
	losses []string     // rules of nft
}

// NewLAN makes a LAN of machines with these names. Their addresses are 10.73.0.1, 10.73.0.2, … and fd73::1, fd73::2, … in this order,
// the same in each LAN: one does not see another. It ends with its test, as soon as what was started in it has ended.
func NewLAN(t testing.TB, names ...string) *LAN {
	t.Helper()
	NeedsRoot(t)
	if len(names) > maxMachines {
		t.Fatalf("a LAN of %d machines: at most %d are allowed", len(names), maxMachines)
	}
	l := &LAN{t: t, hub: netns.None()}
	t.Cleanup(l.close)
	var err error
	if l.hub, err = newNamespace(); err == nil {
		l.handle, err = netlink.NewHandleAt(l.hub)
	}
	if err != nil {
		t.Fatalf("LAN: %v", err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "switch"}}
	if err := errors.Join(l.handle.LinkAdd(bridge), l.handle.LinkSetUp(bridge)); err != nil {
		t.Fatalf("LAN: the bridge: %v", err)
	}
	for i, name := range names {
		if err := l.connect(bridge, name, byte(i+1)); err != nil {
			t.Fatalf("LAN: machine %s: %v", name, err)
		}
	}
	return l
}

// newNamespace makes a network namespace that lasts as long as somebody holds it open, or runs in it.
func newNamespace() (ns netns.NsHandle, err error) {
	err = onOwnThread(func() error {
		ns, err = netns.New()
		return err
	})
	return ns, err
}

// onOwnThread runs f on a thread that ends with it, so that f may change what belongs to a thread. f must not end its
// goroutine, as testing.T's Fatal does.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and it is not unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			done <- onOwnThread(f) // on another one: the first thread of a process does not end
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

// connect makes a machine.
func (l *LAN) connect(bridge netlink.Link, name string, number byte) (err error) {
	m := &Machine{
		lan: l, name: name, ip: netip.AddrFrom4([4]byte{10, 73, 0, number}),
		ip6: netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x73, 15: number}),
	}
	if m.ns, err = newNamespace(); err != nil {
		return err
	}
	l.machines = append(l.machines, m)
	cable := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("port%d", number), MasterIndex: bridge.Attrs().Index},
		PeerName:  "eth0", PeerNamespace: netlink.NsFd(int(m.ns)),
	}
	m.port = cable
	if err := errors.Join(l.handle.LinkAdd(cable), l.handle.LinkSetUp(cable)); err != nil {
		return fmt.Errorf("its cable: %w", err)
	}
	return m.configure()
}

// configure gives a machine its loopback and its addresses.
func (m *Machine) configure() error {
	h, err := netlink.NewHandleAt(m.ns)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, name := range []string{"lo", "eth0"} {
		link, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if name == "lo" {
			continue
		}
		for _, address := range []netip.Prefix{netip.PrefixFrom(m.ip, 24), netip.PrefixFrom(m.ip6, 64)} {
			// Without a search for others who have the address, which would delay its use.
			a := &netlink.Addr{IPNet: &net.IPNet{IP: address.Addr().AsSlice(), Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen())}, Flags: unix.IFA_F_NODAD}
			if err := h.AddrAdd(link, a); err != nil {
				return fmt.Errorf("address %v: %w", address, err)
			}
		}
	}
	return nil
}

// close lets go of the namespaces: they end with the last process in them.
func (l *LAN) close() {
	for _, m := range l.machines {
		_ = m.ns.Close()
	}
	if l.handle != nil {
		l.handle.Close()
	}
	if l.hub.IsOpen() {
		_ = l.hub.Close()
	}
}

// Machine is the machine of that name.
func (l *LAN) Machine(name string) *Machine {
	l.t.Helper()
	i := slices.IndexFunc(l.machines, func(m *Machine) bool { return m.name == name })
	if i < 0 {
		l.t.Fatalf("no machine %q in the LAN", name)
	}
	return l.machines[i]
}

// Name is the machine's.
func (m *Machine) Name() string { return m.name }

// IP is the machine's address of IPv4.
func (m *Machine) IP() netip.Addr { return m.ip }

// IP6 is the machine's address of IPv6.
func (m *Machine) IP6() netip.Addr { return m.ip6 }

// Do runs f in the machine: on a thread in its namespace. What f opens stays in it: sockets, listeners, processes. Goroutines that f
// starts are outside. f must not end its goroutine, as testing.T's Fatal does.
func (m *Machine) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(m.ns); err != nil {
			return fmt.Errorf("enter %s: %w", m.name, err)
		}
		return f()
	})
}

// Own makes a folder that of this machine alone: what is started in others later finds it empty. The test's own process is in no
// machine, and sees all.
func (m *Machine) Own(folder string) { m.own = append(m.own, folder) }

// Start starts a command in the machine, as its Start method does outside. Its process, and those that it starts, are in the
// machine's network namespace and have a mount namespace of their own, in which folders that other machines own are empty.
func (m *Machine) Start(command *exec.Cmd) error {
	return m.Do(func() error {
		if err := m.hideOthers(); err != nil {
			return fmt.Errorf("enter %s: %w", m.name, err)
		}
		return command.Start()
	})
}

// hideOthers gives the present thread a mount namespace without what other machines own.
func (m *Machine) hideOthers() error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	for _, other := range m.lan.machines {
		if other == m {
			continue
		}
		for _, folder := range other.own {
			if err := unix.Mount("none", folder, "tmpfs", unix.MS_RDONLY, "size=4k"); err != nil {
				return fmt.Errorf("hide %s: %w", folder, err)
			}
		}
	}
	return nil
}

// Dial implements remote.Network: it connects to an address from within the machine. The host must be a number, for names are not
// resolved there.
func (m *Machine) Dial(ctx context.Context, address string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dial from %s: %w", m.name, err)
	}
	err = m.Do(func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// Listen implements remote.Network: it listens on an address of the machine, which must be a number too.
func (m *Machine) Listen(address string) (listener net.Listener, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("listen in %s: %w", m.name, err)
	}
	err = m.Do(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	})
	return listener, err
}
