package main

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

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
type tlsFlags struct{ ca, cert, key string }

func (f *tlsFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.ca, "tls_ca", "", "`FILE` with the cluster's authority; with it connections are TLS and nothing else")
	flags.StringVar(&f.cert, "tls_cert", "", "`FILE` with this program's certificate")
	flags.StringVar(&f.key, "tls_key", "", "`FILE` with the certificate's key")
}

// given tells whether connections are to be secured.
func (f *tlsFlags) given() bool { return f.ca != "" || f.cert != "" || f.key != "" }

// security reads the certificates; nil if connections are in the clear. They are for a program of the role.
func (f *tlsFlags) security(role actor.Role, log zerolog.Logger) (*remote.TLS, error) {
	if !f.given() {
		return nil, nil
	}
	for _, flag := range []struct{ name, value string }{{"tls_ca", f.ca}, {"tls_cert", f.cert}, {"tls_key", f.key}} {
		if flag.value == "" {
			return nil, usageError("--%s is missing: --tls_ca, --tls_cert and --tls_key go together; 'stoa tls --help' says how they are made", flag.name)
		}
	}
	files, err := identity.Open(f.ca, identity.Pair{Cert: f.cert, Key: f.key}, func(err error) { log.Warn().Err(err).Msg("certificates") })
	if err != nil {
		return nil, usageError("--tls_ca, --tls_cert, --tls_key: %w", err)
	}
	made := &remote.TLS{Config: files.Config, Roles: identity.Roles}
	if err := f.check(files, role, time.Now()); err != nil {
		if role == wire.RoleMaster {
			return nil, err // Nobody could connect.
		}
		log.Warn().Err(err).Msg("this certificate will be refused") // by the peer, in words that both sides log
	}
	if role == wire.RoleSlave {
		made.Exempt = []actor.Role{wire.RoleHost, wire.RoleExecutor}
	}
	return made, nil
}

// check says what every peer will say of a certificate: that it is for something else, or not good now.
func (f *tlsFlags) check(files *identity.Files, role actor.Role, now time.Time) error {
	if err := f.checkRole(files, role); err != nil {
		return err
	}
	return f.checkTime(files.Certificate(), now)
}

// checkRole says that a certificate is for something else.
func (f *tlsFlags) checkRole(files *identity.Files, role actor.Role) error {
	roles, err := identity.Roles(files.Certificate())
	if err != nil {
		return usageError("--tls_cert %s: %w; make one with 'stoa tls cert create --role %s'", f.cert, err, role)
	}
	names := make([]string, len(roles))
	for i, has := range roles {
		if has == role {
			return nil
		}
		names[i] = string(has)
	}
	return usageError("--tls_cert %s is for the role %s; this takes one for the role %s: make it with 'stoa tls cert create --role %s'",
		f.cert, strings.Join(names, " and "), role, role)
}

// checkTime says that a certificate is not good now.
func (f *tlsFlags) checkTime(certificate *x509.Certificate, now time.Time) error {
	first, last := certificate.NotBefore.UTC(), certificate.NotAfter.UTC()
	switch {
	case now.After(last):
		return usageError("--tls_cert %s has expired: it was good until %s; make a new one with 'stoa tls cert create --force'", f.cert, last.Format(time.RFC3339))
	case now.Before(first):
		return usageError("--tls_cert %s is not yet valid: it is good from %s, and it is %s by this machine's clock", f.cert,
			first.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
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

// take takes these flags out of a command line that has others of its own, with one dash or two; else they come from the
// environment.
func (f *tlsFlags) take(args []string) (rest []string) {
	values := map[string]*string{"tls_ca": &f.ca, "tls_cert": &f.cert, "tls_key": &f.key}
	for name, value := range values {
		*value = os.Getenv(envPrefix + strings.ToUpper(name))
	}
	for i := 0; i < len(args); i++ {
		name, text, given := strings.Cut(strings.ReplaceAll(strings.TrimLeft(args[i], "-"), "-", "_"), "=")
		value := values[name]
		if value == nil || !strings.HasPrefix(args[i], "-") {
			rest = append(rest, args[i])
			continue
		}
		if given {
			_, text, _ = strings.Cut(args[i], "=") // with its dashes
		} else if i++; i < len(args) {
			text = args[i]
		}
		*value = text
	}
	return rest
}

// readAuthority gives the cluster's authority for those that have no certificate of their own; "" without TLS.
func (f *tlsFlags) readAuthority() (string, error) {
	if !f.given() {
		return "", nil
	}
	text, err := os.ReadFile(f.ca)
	return string(text), err
}
