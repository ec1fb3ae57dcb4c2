//go:build !linux

package api

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// identityOf names a file as long as it exists.
func identityOf(_ *os.File, info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%x-%x", stat.Dev, stat.Ino)
}
