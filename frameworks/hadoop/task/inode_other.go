//go:build !unix

package task

import "io/fs"

func inodeOf(fs.FileInfo) uint64 { return 0 }
