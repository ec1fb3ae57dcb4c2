//go:build cgo

package process_test

import (
	"testing"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/containertest"
	"github.com/stoa-project/stoa/slave/containerizer/process"
)

func TestPlainProcessesKeepTheContract(t *testing.T) {
	containertest.Conform(t, func(t testing.TB, _ *containertest.Watch) containerizer.Containerizer {
		containers, err := process.New(process.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return containers
	})
}
