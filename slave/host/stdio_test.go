package host

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

func TestOutputThatCanNotBeWrittenIsReportedAndStopsNobody(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full here: ", err)
	}
	defer full.Close()
	d, end, err := newDrain("stdout", &logFile{file: full}, &means{buffers: &buffers{}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := end.Write(make([]byte, drainBytes)); err != nil {
		t.Error("the writer was stopped:", err)
	}
	if over := d.pump(); over {
		t.Error("the drain is over")
	}
	room, _ := rotated(t, Rotation{})
	later := room.file.Name()
	d.mu.Lock() // the end of the pipe is seen by who waits for it, too
	d.file = room
	d.mu.Unlock()
	if _, err := end.WriteString("later"); err != nil {
		t.Error("the writer was stopped:", err)
	}
	end.Close()
	if err := d.finish(); !errors.Is(err, syscall.ENOSPC) || err.Error() != "65536 bytes of stdout lost: no space left on device" {
		t.Errorf("the drain ended with %v, want that the disk is full", err)
	}
	if got, err := os.ReadFile(later); string(got) != "later" {
		t.Errorf("what came later is %q, %v", got, err)
	}
}
