package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestASlavesSecretIsAsOldAsItsWorkDir(t *testing.T) {
	workDir := t.TempDir()
	path := filepath.Join(workDir, "meta", "secret")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte("half"), 0o644); err != nil { // what a crash left
		t.Fatal(err)
	}
	first, err := SlaveSecret(workDir)
	if err != nil || len(first) != SlaveSecretBytes {
		t.Fatalf("the secret is %d bytes (%v), want %d", len(first), err, SlaveSecretBytes)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it has mode %v (%v), want that only its owner reads it", info.Mode(), err)
	}
	if again, err := SlaveSecret(workDir); err != nil || !bytes.Equal(again, first) {
		t.Errorf("it is another one the second time (%v)", err)
	}
	if other, err := SlaveSecret(t.TempDir()); err != nil || bytes.Equal(other, first) {
		t.Errorf("another work_dir has the same (%v)", err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := SlaveSecret(workDir); err == nil || !strings.Contains(err.Error(), "has 5 bytes, want 32") {
		t.Errorf("of one that was cut short it says %v", err)
	}
}
