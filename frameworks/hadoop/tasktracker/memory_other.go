//go:build !linux

package tasktracker

// preferInShortage is for kernels that choose.
func preferInShortage(int) {}

// residentByGroup is not known here: only the container's limit holds.
func residentByGroup() map[int]int64 { return nil }
