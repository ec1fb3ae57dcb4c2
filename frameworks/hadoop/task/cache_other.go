//go:build !linux

package task

import (
	"io"
	"os"
)

func writeOut(*os.File, int64) {}

func readOnce(file *os.File, from, n int64) io.Reader { return io.NewSectionReader(file, from, n) }
