//go:build !linux || !cgo

package reaper

// Available reports whether this binary can be a reaper.
const Available = false
