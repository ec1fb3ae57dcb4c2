package slave

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/actortest"
	"github.com/stoa-project/stoa/proto/wire"
)

// The slave hears nothing. What a peer may have it keep is bounded in bytes, however few messages they are.
func TestAFloodOfLargeMessagesCostsNoMoreThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, flood = 1 << 20, 512
		tk := newTalk(t)
		before := heapInUse()
		var most int64
		for range flood / 16 {
			tk.peer.Do(func(ctx actor.Context) {
				for range 16 {
					ctx.Send(tk.session, &wire.FrameworkMessage{Data: make([]byte, size)})
				}
			})
			synctest.Wait()
			most = max(most, heapInUse()-before)
		}
		limit := int64(SessionBacklogBytes + SessionWindow*size + 32*size) // the window's, and those of a step
		t.Logf("%d messages of %d MiB cost %d MiB at most; %d MiB are allowed", flood, size>>20, most>>20, limit>>20)
		if most > limit {
			t.Errorf("a flood of %d MiB cost %d MiB, want at most %d MiB", flood*size>>20, most>>20, limit>>20)
		}
		for range SessionWindow {
			actortest.Await[heard](t, tk.slave)
		}
		if m := actortest.Await[over](t, tk.slave); !strings.Contains(m.reason, "67108864 bytes wait") {
			t.Errorf("the session ends because %q, want the limit of bytes named", m.reason)
		}
	})
}

// heapInUse is what is alive on the heap.
func heapInUse() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
