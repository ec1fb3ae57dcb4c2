//go:build !linux && !darwin

package slave

import "errors"

// totalMemory says how to do without: it is not known on this system.
func totalMemory() (uint64, error) {
	return 0, errors.New("not known on this system: give mem with --resources")
}
