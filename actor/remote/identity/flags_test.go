package identity

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestACertificateThatIsNotGoodNowIsNamedAtTheStart(t *testing.T) {
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(1, 0, 0)
	f := Flags{Cert: "ann.pem"}
	for _, c := range []struct {
		name string
		now  time.Time
		want string // "": it is good
	}{
		{"before", first.Add(-time.Second), "ann.pem is not yet valid: it is good from 2026-01-01T00:00:00Z, and it is 2025-12-31T23:59:59Z"},
		{"from its first second", first, ""},
		{"to its last", last, ""},
		{"after", last.Add(time.Second), "ann.pem has expired: it was good until 2027-01-01T00:00:00Z; make a new one"},
	} {
		err := f.checkTime(&x509.Certificate{NotBefore: first, NotAfter: last}, c.now)
		if errors.Is(err, ErrUnfit) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestFlagsAreTakenOutOfACommandLine(t *testing.T) {
	t.Setenv("STOA_TLS_CA", "env.pem")
	t.Setenv("STOA_TLS_CERT", "env-cert.pem")
	var f Flags
	rest := f.Take([]string{"-input", "tls_key", "-tls_key", "a=b-key.pem", "--tls-cert=ann.pem", "-mapper", "cat"})
	if diff := cmp.Diff([]string{"-input", "tls_key", "-mapper", "cat"}, rest); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Flags{CA: "env.pem", Cert: "ann.pem", Key: "a=b-key.pem"}, f); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}
