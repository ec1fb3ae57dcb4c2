//go:build !faults

package main

// passed is nothing: only a program that is built with the tag faults can be made to die at a point of its life.
func passed(string) func(string) { return nil }
