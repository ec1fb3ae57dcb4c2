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
	d, end, err := newDrain("stdout", &logFile{file: full}, &means{buffers: &buffers{}})
	if err != nil {
		t.Fatal(err)
	}
	d.pipes.begin(d)
	if _, err := end.Write(make([]byte, 4*drainBytes)); err != nil {
		t.Error("the writer was stopped:", err)
	}
	end.Close()
	if err := d.finish(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the drain ended with %v, want that the disk is full", err)
	}
}
