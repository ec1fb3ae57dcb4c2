//go:build !linux

package task

// preferLargePages is for systems that can be told.
func preferLargePages([]byte) {}
