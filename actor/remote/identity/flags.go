package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
)

// Flags are the files by which a program speaks TLS, as its flags --tls_ca, --tls_cert and --tls_key name them: the cluster's
// authority, and the program's certificate and key.
type Flags struct{ CA, Cert, Key string }

// variablePrefix starts the environment variable of a flag.
const variablePrefix = "STOA_"

// Given tells whether connections are to be secured.
func (f Flags) Given() bool { return f.CA != "" || f.Cert != "" || f.Key != "" }

// Take takes these flags out of a command line that has others of its own, with one dash or two; what is not among them comes
// from the environment: STOA_TLS_CA, STOA_TLS_CERT, STOA_TLS_KEY.
func (f *Flags) Take(args []string) (rest []string) {
	values := map[string]*string{"tls_ca": &f.CA, "tls_cert": &f.Cert, "tls_key": &f.Key}
	for name, value := range values {
		*value = os.Getenv(variablePrefix + strings.ToUpper(name))
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

// Open reads the files, for a program of a role; nil if none is given. Warn, if not nil, is told when files that have changed
// can't be read. The error is of one line; one that wraps ErrUnfit comes with what could be made of the files: the
// certificate is for another role or not good now, and peers will refuse it.
func (f Flags) Open(role actor.Role, warn func(error)) (*remote.TLS, error) {
	if !f.Given() {
		return nil, nil
	}
	for _, flag := range []struct{ name, value string }{{"tls_ca", f.CA}, {"tls_cert", f.Cert}, {"tls_key", f.Key}} {
		if flag.value == "" {
			return nil, fmt.Errorf("--%s is missing: --tls_ca, --tls_cert and --tls_key go together; 'stoa tls --help' says how they are made", flag.name)
		}
	}
	files, err := Open(f.CA, Pair{Cert: f.Cert, Key: f.Key}, warn)
	if err != nil {
		return nil, fmt.Errorf("--tls_ca, --tls_cert, --tls_key: %w", err)
	}
	err = f.checkRole(files.Certificate(), role)
	if err == nil {
		err = f.checkTime(files.Certificate(), time.Now())
	}
	return &remote.TLS{Config: files.Config, Roles: Roles}, err
}

// ErrUnfit is wrapped by the error of a certificate that peers will refuse.
var ErrUnfit = errors.New("the certificate is not fit")

// unfit says what every peer will say of a certificate.
type unfit string

func (u unfit) Error() string { return string(u) }
func (unfit) Unwrap() error   { return ErrUnfit }

// checkRole says that a certificate is for something else.
func (f Flags) checkRole(certificate *x509.Certificate, role actor.Role) error {
	roles, err := Roles(certificate)
	if err != nil {
		return unfit(fmt.Sprintf("--tls_cert %s: %v; make one with 'stoa tls cert create --role %s'", f.Cert, err, role))
	}
	if slices.Contains(roles, role) {
		return nil
	}
	names := make([]string, len(roles))
	for i, has := range roles {
		names[i] = string(has)
	}
	return unfit(fmt.Sprintf("--tls_cert %s is for the role %s; this takes one for the role %s: make it with 'stoa tls cert create --role %s'",
		f.Cert, strings.Join(names, " and "), role, role))
}

// checkTime says that a certificate is not good now.
func (f Flags) checkTime(certificate *x509.Certificate, now time.Time) error {
	first, last := certificate.NotBefore.UTC(), certificate.NotAfter.UTC()
	switch {
	case now.After(last):
		return unfit(fmt.Sprintf("--tls_cert %s has expired: it was good until %s; make a new one with 'stoa tls cert create --force'", f.Cert, last.Format(time.RFC3339)))
	case now.Before(first):
		return unfit(fmt.Sprintf("--tls_cert %s is not yet valid: it is good from %s, and it is %s by this machine's clock", f.Cert,
			first.Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
	}
	return nil
}

// Authority gives the cluster's authority as PEM, for those that have no certificate of their own; "" without TLS.
func (f Flags) Authority() (string, error) {
	if !f.Given() {
		return "", nil
	}
	text, err := os.ReadFile(f.CA)
	return string(text), err
}
