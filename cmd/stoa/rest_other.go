//go:build !linux

package main

func forgetProgram() {}

// residentBytes is not known here.
func residentBytes() int64 { return 0 }
