//go:build linux && cgo

package libcontainer

import (
	"syscall"
	"testing"
	"time"
)

func TestWhichEndsFollowFromAKillForWantOfMemory(t *testing.T) {
	const (
		failed   = syscall.WaitStatus(1 << 8)
		passedOn = syscall.WaitStatus(137 << 8)
		killed   = syscall.WaitStatus(syscall.SIGKILL)
	)
	start := time.Unix(1000, 0)
	for name, test := range map[string]struct {
		seen   []int64 // how many kills there were after so many seconds
		status syscall.WaitStatus
		after  time.Duration // the end
		limit  int64
		want   bool
	}{
		"none":                                   {[]int64{0, 0}, failed, time.Second, 0, false},
		"at the end":                             {[]int64{0, 1}, killed, time.Second, 0, true},
		"just before a failure":                  {[]int64{1}, failed, killReach, 0, true},
		"just before a success":                  {[]int64{1}, 0, 0, 0, false},
		"long before a failure":                  {[]int64{1}, failed, killReach + 1, 0, false},
		"long before a signal":                   {[]int64{1}, killed, killReach + 1, 0, false},
		"the last counts":                        {[]int64{1, 1, 1, 2}, failed, 3 * time.Second, 0, true},
		"that it has been seen again is no kill": {[]int64{1, 1, 1, 1}, failed, 3 * time.Second, 0, false},
		"its status is passed on":                {[]int64{1}, passedOn, killPassedOn, 0, true},
		"its status is passed on very late":      {[]int64{1}, passedOn, killPassedOn + 1, 0, false},
		"much memory takes its time":             {[]int64{1}, failed, 5 * time.Second, 4 << 30, true},
		"seen after the end":                     {[]int64{0, 0, 1}, failed, time.Second, 0, true},
	} {
		var k kills
		for second, count := range test.seen {
			k.seen(count, start.Add(time.Duration(second)*time.Second))
		}
		if got := k.ended(test.status, start.Add(test.after), test.limit); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}
