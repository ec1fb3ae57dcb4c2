package main

import (
	"bytes"
	"encoding/json"
	stdlog "log"
	"os"
	"testing"
)

// net/http's client quotes servers, and a log whose every line is JSON has no place for that.
func TestWhatLibrariesSayIsALineOfTheLog(t *testing.T) {
	flags := stdlog.Flags()
	t.Cleanup(func() { stdlog.SetFlags(flags); stdlog.SetOutput(os.Stderr) })
	var written bytes.Buffer
	if _, err := newLogger(&written, "warn"); err != nil {
		t.Fatal(err)
	}
	stdlog.Print("Unsolicited response\n\"HTTP\"\x1b[2J")
	var line struct{ Level, Said string }
	if err := json.Unmarshal(written.Bytes(), &line); err != nil || line.Level != "warn" || line.Said != "Unsolicited response\n\"HTTP\"\x1b[2J" {
		t.Errorf("%q: %v", written.String(), err)
	}
}
