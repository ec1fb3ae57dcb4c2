//go:build race

package task

const raceDetector = true
