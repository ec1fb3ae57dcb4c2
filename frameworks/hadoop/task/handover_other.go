//go:build !linux

package task

import (
	"io"
	"os"
)

// HandOver hands nothing over: files come by HTTP.
func HandOver(string, func(path string) (*os.File, error)) (io.Closer, error) {
	return io.NopCloser(nil), nil
}

func handedOver(string) *os.File { return nil }
