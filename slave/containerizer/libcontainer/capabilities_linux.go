//go:build cgo

package libcontainer

import (
	"fmt"
	"slices"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
)

// capability is a capability's number and libcontainer's name for it.
type capability struct {
	number uintptr
	name   string
}

// rootCapabilities are what root keeps in a container: Docker's default set
// without NET_RAW (forging packets), MKNOD and AUDIT_WRITE.
func rootCapabilities() []capability {
	return []capability{
		{unix.CAP_CHOWN, "CAP_CHOWN"},
		{unix.CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"},
		{unix.CAP_FOWNER, "CAP_FOWNER"},
		{unix.CAP_FSETID, "CAP_FSETID"},
		{unix.CAP_KILL, "CAP_KILL"},
		{unix.CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"},
		{unix.CAP_SETFCAP, "CAP_SETFCAP"},
		{unix.CAP_SETGID, "CAP_SETGID"},
		{unix.CAP_SETPCAP, "CAP_SETPCAP"},
		{unix.CAP_SETUID, "CAP_SETUID"},
		{unix.CAP_SYS_CHROOT, "CAP_SYS_CHROOT"},
	}
}

// capabilitySet is the permitted set of this process, bit by number.
func capabilitySet() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read this process's capabilities: %w", err)
	}
	return uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32, nil
}

// ownCapabilities lists those of rootCapabilities that this process can pass
// on: to ask for another one would fail the start.
func ownCapabilities() ([]string, error) {
	permitted, err := capabilitySet()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, one := range rootCapabilities() {
		bounding, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, one.number, 0, 0, 0)
		if err == nil && bounding == 1 && permitted&(1<<one.number) != 0 {
			names = append(names, one.name)
		}
	}
	return names, nil
}

// shields are capabilities that harm nobody, none of which root has in a container.
func shields() []capability {
	return []capability{
		{unix.CAP_WAKE_ALARM, "CAP_WAKE_ALARM"},
		{unix.CAP_BLOCK_SUSPEND, "CAP_BLOCK_SUSPEND"},
		{unix.CAP_LEASE, "CAP_LEASE"},
		{unix.CAP_AUDIT_WRITE, "CAP_AUDIT_WRITE"},
	}
}

// shieldOf finds the capability that keeps what runs in a container from tracing the
// reaper of a further command (ptrace(2): whoever traces must have all capabilities
// of the traced). To drop it takes CAP_SETPCAP, which for users that have none is the
// shield itself. A host that has not got that gives no shield.
func shieldOf(uid int) (capability, bool) {
	permitted, err := capabilitySet()
	has := func(one capability) bool { return err == nil && permitted&(1<<one.number) != 0 }
	drop := capability{unix.CAP_SETPCAP, "CAP_SETPCAP"}
	if uid != 0 || !has(drop) {
		return drop, has(drop)
	}
	for _, one := range shields() {
		if has(one) {
			return one, true
		}
	}
	return capability{}, false
}

// shielded are the capabilities of a further command's reaper: the container's own
// and the shield.
func shielded(own *configs.Capabilities, uid int, shield capability) *configs.Capabilities {
	with := func(set []string) []string { return append(slices.Clone(set), shield.name) }
	made := &configs.Capabilities{Bounding: with(own.Bounding), Effective: with(own.Effective), Permitted: with(own.Permitted)}
	if uid != 0 { // execve takes all others from those who are not root
		made.Inheritable, made.Ambient = with(nil), with(nil)
	}
	return made
}
