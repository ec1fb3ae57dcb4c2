//go:build cgo

package libcontainer

import (
	"os"

	runc "github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // its C constructor enters the namespaces before Go starts
)

// init is the second half of every container's start. libcontainer executes the
// host's own binary again, as `init`, inside the new namespaces; what runs there
// must be this and nothing else, before main and whatever main does.
func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != "" {
		runc.Init()
	}
}
