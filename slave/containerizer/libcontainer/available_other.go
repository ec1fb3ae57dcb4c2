//go:build !linux || !cgo

package libcontainer

import (
	"os"
	"runtime"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// Available says in one line why commands can't be isolated here, or nil.
func Available() error {
	if runtime.GOOS != "linux" {
		return errUnavailable("they need Linux, this is " + runtime.GOOS)
	}
	return errUnavailable("built without cgo")
}

// New returns what Available says.
func New(Options) (containerizer.Containerizer, error) { return nil, Available() }

// Bare returns what Available says.
func Bare(containerizer.Containerizer, containerizer.Spec) (func() error, error) {
	return nil, Available()
}

// Seal does nothing here.
func Seal() error { return nil }

// Executable is the path of the running executable.
func Executable() (string, error) { return os.Executable() }
