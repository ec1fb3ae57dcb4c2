package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/actor/remote/identity"
	"github.com/stoa-project/stoa/proto/wire"
)

// certificateRoles are those that a certificate can be for. Hosts and executors prove themselves with their slave's secrets.
var certificateRoles = []string{wire.RoleMaster, wire.RoleSlave, wire.RoleFramework, wire.RoleOperator}

// tlsFlags are the flags by which every daemon and command speaks TLS.
type tlsFlags struct{ identity.Flags }

func (f *tlsFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.CA, "tls_ca", "", "`FILE` with the cluster's authority; with it connections are TLS and nothing else")
	flags.StringVar(&f.Cert, "tls_cert", "", "`FILE` with this program's certificate")
	flags.StringVar(&f.Key, "tls_key", "", "`FILE` with the certificate's key")
}

// security reads the certificates; nil if connections are in the clear. They are for a program of the role.
func (f *tlsFlags) security(role actor.Role, log zerolog.Logger) (*remote.TLS, error) {
	made, err := f.Open(role, func(err error) { log.Warn().Err(err).Msg("certificates") })
	switch {
	case errors.Is(err, identity.ErrUnfit) && role != wire.RoleMaster: // to a master nobody could connect
		log.Warn().Err(err).Msg("this certificate will be refused") // by the peer, in words that both sides log
	case err != nil:
		return nil, usageError("%w", err)
	}
	if made != nil && role == wire.RoleSlave {
		made.Exempt = []actor.Role{wire.RoleHost, wire.RoleExecutor}
	}
	return made, nil
}

// client secures the connection of a command that does not listen.
func (f *tlsFlags) client(role actor.Role) (*remote.TLS, error) {
	return f.security(role, zerolog.Nop())
}

// trust is the security of a program that has no certificate of its own; nil if connections are in the clear.
func trust(ca string) (*remote.TLS, error) {
	if ca == "" {
		return nil, nil
	}
	files, err := identity.Open(ca, identity.Pair{}, nil)
	if err != nil {
		return nil, err
	}
	return &remote.TLS{Config: files.Config, Roles: identity.Roles}, nil
}

// checkLocalExposure is checkExposure for a cluster on one machine, which does not speak TLS.
func checkLocalExposure(ip string, insecure bool) error {
	if err := checkExposure(ip, false, insecure); err != nil {
		return usageError("--ip %s can be reached from other machines, and nothing asks who comes: start 'stoa master' and 'stoa slave' with --tls_ca, --tls_cert and --tls_key, or give --insecure if that is meant", ip)
	}
	return nil
}

// exposure says where a daemon listens and what others are told.
type exposure struct {
	ip, advertiseIP     string
	port, advertisePort int
	insecure            bool
}

func (e *exposure) addFlags(flags *pflag.FlagSet, port int) {
	flags.StringVar(&e.ip, "ip", defaultMasterIP, "`ADDRESS` to listen on")
	flags.IntVar(&e.port, "port", port, "`PORT` to listen on; 0 for any that is free")
	flags.StringVar(&e.advertiseIP, "advertise_ip", "", "`ADDRESS` that others are told to reach this at (default: --ip)")
	flags.IntVar(&e.advertisePort, "advertise_port", 0, "`PORT` that others are told to reach this at (default: --port)")
	addInsecureFlag(flags, &e.insecure)
}

func addInsecureFlag(flags *pflag.FlagSet, insecure *bool) {
	flags.BoolVar(insecure, "insecure", false, "listen beyond this machine without TLS: whoever reaches the port can run programs here")
}

// checkExposure refuses to listen where others could come without proving who they are.
func checkExposure(ip string, secured, insecure bool) error {
	address, err := netip.ParseAddr(ip)
	if err != nil || address.Unmap().IsLoopback() || secured || insecure {
		return nil // what is not an address is somebody else's error
	}
	return usageError("--ip %s can be reached from other machines, and nothing asks who comes: give --tls_ca, --tls_cert and --tls_key ('stoa tls --help'), or --insecure if that is meant", ip)
}

// check says what is wrong with the flags, before anything listens.
func (e *exposure) check(secured bool) error {
	if e.advertiseIP != "" {
		if address, err := netip.ParseAddr(e.advertiseIP); err != nil || address.IsUnspecified() {
			return usageError("--advertise_ip %q is not an address that others can reach; for example 192.0.2.1", e.advertiseIP)
		}
	}
	if e.advertisePort < 0 || e.advertisePort > 65535 {
		return usageError("--advertise_port %d is not a port; allowed are 1 to 65535, and 0 for the one that is listened on", e.advertisePort)
	}
	return checkExposure(e.ip, secured, e.insecure)
}

// advertised is what others are told, of a daemon that listens at an address.
func (e *exposure) advertised(listener net.Listener) (netip.AddrPort, error) {
	bound, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil {
		return bound, fmt.Errorf("address of the listener: %w", err)
	}
	ip, port := bound.Addr().Unmap(), bound.Port()
	if e.advertisePort != 0 {
		port = uint16(e.advertisePort)
	}
	switch {
	case e.advertiseIP != "":
		ip, err = netip.ParseAddr(e.advertiseIP) // checked before
	case ip.IsUnspecified():
		ip, err = machineAddress(ip)
	}
	return netip.AddrPortFrom(ip, port), err
}

// near is where programs of this machine reach a daemon that listens at an address. Who listens on all addresses does so on those of
// IPv4 too.
func near(listener net.Listener) string {
	bound, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil || !bound.Addr().Unmap().IsUnspecified() {
		return listener.Addr().String()
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), bound.Port()).String()
}

// machineAddress is the first address of this machine that others can reach, of IPv4 before IPv6, for a daemon that listens on all.
func machineAddress(listening netip.Addr) (netip.Addr, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("addresses of this machine: %w", err)
	}
	var second netip.Addr
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if prefix.Addr().Is4() {
			return prefix.Addr(), nil
		}
		if !second.IsValid() && listening.Is6() {
			second = prefix.Addr()
		}
	}
	if !second.IsValid() {
		return netip.Addr{}, usageError("--ip %s: no address of this machine can be reached by others; name one with --advertise_ip", listening)
	}
	return second, nil
}
