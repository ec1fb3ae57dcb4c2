package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote/identity"
	"github.com/stoa-project/stoa/proto/wire"
)

// dayLength is a day, in which people count how long certificates are good.
const dayLength = 24 * time.Hour

func newTLS(std stdio) *cobra.Command {
	made := group("tls", "Make the certificates of a cluster", groupDaemon,
		group("ca", "The authority that signs a cluster's certificates", "", newTLSAuthority(std)),
		group("cert", "The certificates of masters, slaves, frameworks and operators", "", newTLSCert(std)))
	made.Long = `Makes certificates, with which every daemon and command proves who it is: --tls_ca, --tls_cert and
--tls_key. One authority signs those of a cluster; keep its key where only you can read it.`
	made.Example = `  stoa tls ca create --dir /etc/stoa
  stoa tls cert create --dir /etc/stoa --role master --name master-1 --ip 192.0.2.1
  stoa tls cert create --dir /etc/stoa --role slave --name slave-1 --ip 192.0.2.11
  stoa tls cert create --dir /etc/stoa --role framework --role operator --name ann
  stoa master --ip 192.0.2.1 --tls_ca /etc/stoa/ca.pem --tls_cert /etc/stoa/master-1.pem --tls_key /etc/stoa/master-1-key.pem`
	return made
}

func newTLSAuthority(std stdio) *cobra.Command {
	var dir, name string
	command := &cobra.Command{
		Use:   "create",
		Short: "Make the authority of a cluster: ca.pem and ca-key.pem",
		Example: `  stoa tls ca create
  stoa tls ca create --dir /etc/stoa --name production`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			pair, err := identity.CreateAuthority(dir, name)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%w: an authority is never replaced; choose another --dir", err)
			} else if err != nil {
				return err
			}
			fmt.Fprintf(std.out, "%s is for everybody, %s for you alone: who has it can make certificates of any role.\n", pair.Cert, pair.Key)
			return nil
		},
	}
	f := command.Flags()
	f.StringVar(&dir, "dir", ".", "`DIRECTORY` for the files")
	f.StringVar(&name, "name", "stoa", "`NAME` of the authority, for people")
	return withSettings(command)
}

type certFlags struct {
	dir, ca, caKey, name string
	roles, ips, hosts    []string
	days                 int
	force                bool
}

func newTLSCert(std stdio) *cobra.Command {
	var flags certFlags
	command := &cobra.Command{
		Use:   "create",
		Short: "Make a certificate: NAME.pem and NAME-key.pem",
		Long: `Makes a certificate, signed by the authority in --dir. Those of masters and slaves are good for being
reached at --name, at each --ip and --host, and from their own machine at localhost. Programs notice by
themselves that their files have been replaced (--force), and go on with the new certificate.`,
		Example: `  stoa tls cert create --role master --name master-1 --ip 192.0.2.1
  stoa tls cert create --role framework --role operator --name ann --days 30`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return createCert(std, &flags) },
	}
	f := command.Flags()
	f.StringVar(&flags.dir, "dir", ".", "`DIRECTORY` for the files")
	f.StringVar(&flags.ca, "ca", "", "`FILE` with the authority's certificate (default: ca.pem in --dir)")
	f.StringVar(&flags.caKey, "ca_key", "", "`FILE` with the authority's key (default: ca-key.pem in --dir)")
	f.StringArrayVar(&flags.roles, "role", nil, "`ROLE`: "+strings.Join(certificateRoles, ", ")+"; may be repeated")
	f.StringVar(&flags.name, "name", "", "`NAME` of the one it is for: a host's name, or a person's")
	f.StringArrayVar(&flags.ips, "ip", nil, "`ADDRESS` at which it is reached; may be repeated")
	f.StringArrayVar(&flags.hosts, "host", nil, "another `NAME` at which it is reached; may be repeated")
	f.IntVar(&flags.days, "days", int(identity.DefaultLife/dayLength), "how many days it is good")
	f.BoolVar(&flags.force, "force", false, "replace a certificate of that name")
	return withSettings(command)
}

func createCert(std stdio, flags *certFlags) error {
	node, err := flags.node()
	if err != nil {
		return err
	}
	pair := identity.PairIn(flags.dir, identity.AuthorityName)
	if flags.ca != "" {
		pair.Cert = flags.ca
	}
	if flags.caKey != "" {
		pair.Key = flags.caKey
	}
	authority, err := identity.OpenAuthority(pair)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no authority: %w; make one with 'stoa tls ca create', or name it with --dir, or --ca and --ca_key", err)
	} else if err != nil {
		return err
	}
	made, err := authority.Create(flags.dir, node, flags.force)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w; replace it with --force", err)
	} else if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "--tls_ca %s --tls_cert %s --tls_key %s\n", pair.Cert, made.Cert, made.Key)
	return nil
}

// node says what the certificate is for, or what is wrong with the flags.
func (f *certFlags) node() (identity.Node, error) {
	if f.name == "" {
		return identity.Node{}, usageError("--name is missing: whom is the certificate for?")
	}
	if err := identity.CheckName(f.name); err != nil {
		return identity.Node{}, usageError("--%w", err)
	}
	if len(f.roles) == 0 {
		return identity.Node{}, usageError("--role is missing: allowed are %s", strings.Join(certificateRoles, ", "))
	}
	if f.days < 1 {
		return identity.Node{}, usageError("--days %d: allowed is 1 or more", f.days)
	}
	node := identity.Node{Name: f.name, Hosts: f.hosts, Life: time.Duration(f.days) * dayLength}
	for _, role := range f.roles {
		if !slices.Contains(certificateRoles, role) {
			return node, usageError("--role %q: allowed are %s", role, strings.Join(certificateRoles, ", "))
		}
		node.Roles = append(node.Roles, actor.Role(role))
		node.Serves = node.Serves || role == wire.RoleMaster || role == wire.RoleSlave
	}
	node.Serves = node.Serves || len(f.ips)+len(f.hosts) > 0 // a framework may listen too: Hadoop's JobTracker does
	for _, text := range f.ips {
		ip := net.ParseIP(text)
		if ip == nil {
			return node, usageError("--ip %q is not an IP address; a name is given with --host", text)
		}
		node.IPs = append(node.IPs, ip)
	}
	return node, nil
}
