package actor

import (
	"testing"
	"testing/synctest"
)

// Time stands still in a bubble once its main goroutine has gone, so a goroutine that waits for a timer then waits forever.
func TestWhatTheEngineCannotDeliverLeavesNothingThatWaits(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		e := newEngine()
		nobody := e.system.NewLocalPID("nobody")
		e.system.Root.Send(nobody, "lost")
		e.system.Root.Stop(nobody)
	})
}
