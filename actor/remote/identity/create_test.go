package identity_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote/identity"
)

func TestKeysAreTheirOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	authority := newAuthority(t, dir, "ours")
	if _, err := authority.Create(dir, identity.Node{Name: "ann", Roles: []actor.Role{"worker"}}, false); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"ca.pem": 0o644, "ca-key.pem": 0o600, "ann.pem": 0o644, "ann-key.pem": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, expected %v", name, info.Mode().Perm(), mode)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 4 {
		t.Errorf("the folder has %v, expected 4 files", entries)
	}
}

func TestWhatIsThereIsNotReplacedUnasked(t *testing.T) {
	dir := t.TempDir()
	authority := newAuthority(t, dir, "ours")
	ann := identity.Node{Name: "ann", Roles: []actor.Role{"worker"}}
	if _, err := authority.Create(dir, ann, false); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.CreateAuthority(dir, "again"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second authority: %v", err)
	}
	if _, err := authority.Create(dir, ann, false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second certificate: %v", err)
	}
	if _, err := authority.Create(dir, ann, true); err != nil {
		t.Errorf("a second certificate that was asked for: %v", err)
	}
}

func TestNamesAreThoseOfHostsAndFiles(t *testing.T) {
	authority := newAuthority(t, t.TempDir(), "ours")
	for name, good := range map[string]bool{
		"ann": true, "master-1.example.org": true, "a_b": true,
		"": false, "../ann": false, "a/b": false, ".hidden": false, "-flag": false, "ca": false, "a b": false, "ä": false,
		strings.Repeat("a", identity.MaxNameBytes+1): false,
	} {
		dir := t.TempDir()
		_, err := authority.Create(dir, identity.Node{Name: name, Roles: []actor.Role{"worker"}}, false)
		if (err == nil) != good {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestWhatCanNotBeReadIsNamed(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	authority := newAuthority(t, dir, "ours")
	newAuthority(t, other, "theirs")
	ann, err := authority.Create(dir, identity.Node{Name: "ann", Roles: []actor.Role{"worker"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("garbage"), 0o644); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "ca.pem")
	for _, c := range []struct {
		name string
		err  func() error
		want string
	}{
		{"an authority that is not there", func() error { _, err := identity.Open(dir+"/none", ann, nil); return err }, "none: no such file"},
		{"an authority that is none", func() error { _, err := identity.Open(garbage, ann, nil); return err }, "garbage: it has no CERTIFICATE in PEM"},
		{"a certificate without a key", func() error { _, err := identity.Open(ca, identity.Pair{Cert: ann.Cert}, nil); return err }, "one is of no use without the other"},
		{"another's key", func() error {
			_, err := identity.Open(ca, identity.Pair{Cert: ann.Cert, Key: dir + "/ca-key.pem"}, nil)
			return err
		}, "private key does not match public key"},
		{"an authority with another's key", func() error {
			_, err := identity.OpenAuthority(identity.Pair{Cert: ca, Key: other + "/ca-key.pem"})
			return err
		}, "is not the key of"},
		{"a node's certificate as authority", func() error { _, err := identity.OpenAuthority(ann); return err }, `is the certificate of "ann", which is no authority`},
	} {
		if err := c.err(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, expected %q", c.name, err, c.want)
		}
	}
}

// As a copy that keeps times makes it, with keys that have the same length by chance.
func TestAFileThatIsReplacedByOneOfTheSameSizeAndTimeIsReadAgain(t *testing.T) {
	dir, own := t.TempDir(), t.TempDir()
	authority := newAuthority(t, dir, "ours")
	ann := identity.Node{Name: "ann", Roles: []actor.Role{"worker"}}
	then := time.Now().Add(-time.Hour)
	const size = 4096
	replace := func() identity.Pair {
		t.Helper()
		pair, err := authority.Create(own, ann, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{pair.Cert, pair.Key} {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, strings.Repeat("\n", size-len(text))...)
			if err := errors.Join(os.WriteFile(path, text, 0o600), os.Chtimes(path, then, then)); err != nil {
				t.Fatal(err)
			}
		}
		return pair
	}
	files, err := identity.Open(filepath.Join(dir, "ca.pem"), replace(), func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	before := files.Certificate().SerialNumber
	replace()
	if after := files.Certificate().SerialNumber; after.Cmp(before) == 0 {
		t.Error("the former certificate is still used")
	}
}
