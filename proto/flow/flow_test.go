package flow

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

const mib = 1 << 20

func TestALittlePassesWithoutAMark(t *testing.T) {
	var o Outbox[string]
	for range 1000 {
		if !o.Pass(100) {
			t.Fatal("100 bytes had to wait")
		}
	}
	if n := o.Mark(); n != 0 {
		t.Errorf("a mark behind %d bytes", o.Under())
	}
}

func TestWhatIsMoreThanTheWindowWaitsForTheEchoOfAMark(t *testing.T) {
	var o Outbox[string]
	for i := range 15 {
		if !o.Pass(mib) {
			t.Fatalf("MiB %d had to wait", i)
		}
		if n := o.Mark(); n != uint64(i+1) {
			t.Fatalf("mark %d after MiB %d", n, i)
		}
	}
	if o.Pass(mib) {
		t.Fatal("16 MiB and what messages count beside it are more than the window")
	}
	o.Put("a", "next", mib, false)
	if _, ok := o.Next(); ok {
		t.Fatal("it went without an echo")
	}
	o.Echoed(1)
	if m, ok := o.Next(); !ok || m != "next" {
		t.Errorf("after the echo came %q, %t", m, ok)
	}
}

func TestAMessageThatIsLongerThanTheWindowGoesAlone(t *testing.T) {
	var o Outbox[string]
	if !o.Pass(10) {
		t.Fatal("10 bytes had to wait")
	}
	if o.Pass(60 * mib) {
		t.Fatal("60 MiB went behind 10 bytes")
	}
	o.Put("a", "large", 60*mib, false)
	n := o.Mark()
	if n == 0 {
		t.Fatal("no mark, although something waits")
	}
	o.Echoed(n)
	if _, ok := o.Next(); !ok {
		t.Fatal("60 MiB do not go alone")
	}
	if o.Pass(1) {
		t.Error("a byte went behind 60 MiB")
	}
}

func TestLanesTakeTurns(t *testing.T) {
	var o Outbox[string]
	o.Pass(20 * mib) // so that the rest waits
	for i := range 3 {
		o.Put("flood", fmt.Sprintf("flood%d", i), 15*mib, false)
	}
	o.Put("calm", "calm0", 10, false)
	var got []string
	for len(got) < 4 {
		o.Echoed(o.Mark())
		if m, ok := o.Next(); ok {
			got = append(got, m)
		}
	}
	if want := "[flood0 calm0 flood1 flood2]"; fmt.Sprint(got) != want {
		t.Errorf("the order is %v, want %s", got, want)
	}
}

func TestALaneLeavesRoomForOthers(t *testing.T) {
	var o Outbox[int]
	o.Pass(20 * mib)
	n := 0
	for ; o.HasRoom("flood", mib); n++ {
		o.Put("flood", n, mib, false)
	}
	if n != MaxWaitingBytes/mib/2 {
		t.Errorf("a single lane holds %d MiB of %d", n, MaxWaitingBytes/mib)
	}
	if !o.HasRoom("calm", 60*mib) {
		t.Error("nothing is left for another")
	}
	o.Put("calm", 0, 60*mib, false)
	if o.HasRoom("flood", SmallBytes+1) || o.HasRoom("calm", mib) {
		t.Error("there is room in lanes that hold more than is left")
	}
	// Small ones have room of their own, shared in the same way.
	small := 0
	for ; o.HasRoom("flood", SmallBytes); small += SmallBytes + messageBytes {
		o.Put("flood", 0, SmallBytes, false)
	}
	if small < MaxSmallWaitingBytes/2 || small > MaxSmallWaitingBytes/2+SmallBytes+messageBytes || !o.HasRoom("calm", SmallBytes) {
		t.Errorf("a single lane holds %d bytes of small messages; there is room in another: %t", small, o.HasRoom("calm", SmallBytes))
	}
}

func TestWhatIsKeptElsewhereTakesNoRoom(t *testing.T) {
	var o Outbox[int]
	o.Pass(20 * mib)
	for range 100 {
		o.Put("updates", 0, 16*mib, true)
	}
	if _, bytes := o.Waiting("updates"); bytes != 0 || !o.HasRoom("updates", 60*mib) {
		t.Errorf("%d bytes wait", bytes)
	}
}

func TestEchoesThatAreNotExpectedMeanNothing(t *testing.T) {
	var o Outbox[int]
	o.Pass(2 * mib)
	n := o.Mark()
	under := o.Under()
	o.Echoed(0)
	o.Echoed(n + 1)
	if o.Under() != under {
		t.Errorf("%d bytes are under way, want %d", o.Under(), under)
	}
	o.Echoed(n)
	o.Echoed(n)
	if o.Under() != 0 {
		t.Errorf("%d bytes are under way, want 0", o.Under())
	}
}

// Whatever comes and however late echoes are: what is under way is bounded, lanes keep their order, and in the end all has gone.
func TestNothingIsLostOrOvertakesInItsLane(t *testing.T) {
	type message struct {
		lane   string
		number int
	}
	rapid.Check(t, func(t *rapid.T) {
		var o Outbox[message]
		put, heard := map[string]int{}, map[string]int{}
		var sent []any // messages and marks, in order
		hear := func(n int) {
			for ; n > 0 && len(sent) > 0; n-- {
				if number, ok := sent[0].(uint64); ok {
					o.Echoed(number)
				} else if m := sent[0].(message); m.number != heard[m.lane] {
					t.Fatalf("lane %s: message %d came after %d", m.lane, m.number, heard[m.lane]-1)
				} else {
					heard[m.lane]++
				}
				sent = sent[1:]
			}
		}
		letOut := func() {
			for more := true; more; {
				if n := o.Mark(); n != 0 {
					sent = append(sent, n)
				}
				var m message
				if m, more = o.Next(); more {
					sent = append(sent, m)
				}
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "hear") {
				hear(rapid.IntRange(1, 10).Draw(t, "heard"))
				letOut()
			}
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "lane")
			bytes := rapid.SampledFrom([]int{1, 1000, mib, 5 * mib, 60 * mib}).Draw(t, "bytes")
			m := message{name, put[name]}
			switch {
			case o.Pass(bytes):
				sent = append(sent, m)
			case o.HasRoom(name, bytes):
				o.Put(name, m, bytes, false)
			default:
				continue
			}
			put[name]++
			letOut()
			if o.Under() > max(Window, 60*mib+messageBytes) || o.waiting.large > MaxWaitingBytes || o.waiting.small > MaxSmallWaitingBytes {
				t.Fatalf("%d bytes are under way, %v wait", o.Under(), o.waiting)
			}
		}
		for len(sent) > 0 {
			hear(1)
			letOut()
		}
		if fmt.Sprint(put) != fmt.Sprint(heard) {
			t.Fatalf("put %v, heard %v", put, heard)
		}
	})
}
