//go:build cgo

package reaper

/*
#cgo CFLAGS: -Wall -Wextra -O2
extern void stoa_reaper(void);
static void __attribute__((constructor)) stoa_reaper_constructor(void) { stoa_reaper(); }
*/
import "C"

// Available reports whether this binary can be a reaper.
const Available = true
