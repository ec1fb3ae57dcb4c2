//go:build !linux

package process

import (
	"errors"

	"github.com/stoa-project/stoa/slave/containerizer"
)

func stats(int) (containerizer.Stats, error) {
	return containerizer.Stats{}, errors.ErrUnsupported
}
