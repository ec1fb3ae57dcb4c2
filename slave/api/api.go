// Package api is what a slave serves over HTTP: its health, its figures, and the files of its sandboxes.
//
//	GET /health                               {"healthy":true} while the slave's process answers
//	GET /version                              {"version":"1.2.3"}
//	GET /metrics                              for Prometheus, stoa_slave_…
//	GET /gc                                   which sandboxes are removed when, as JSON
//	GET /files/browse?path=P                  a folder as JSON
//	GET /files/read?path=P&offset=&length=    a part of a file as JSON; offset -1: its size
//	GET /files/download?path=P                a file, byte for byte; Range works
//	GET /files/changed?framework=F&since=T    which outputs of a framework that runs have changed, as JSON
//
// Each is there below /slave(1) and /slave as well, where clients of Mesos look for it. A path P is a sandbox, or lies in one:
//
//	/frameworks/F/executors/E/runs/latest/…   of the slave's present id; latest or a container id
//	/slaves/S/frameworks/F/executors/E/runs/C/…
//	/absolute/work_dir/slaves/S/…
//
// Nothing outside of that sandbox is ever shown, whatever links its task has made: see open.
package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stoa-project/stoa/slave/core"
)

// Options say whose API it is.
type Options struct {
	// View is how the slave was a moment ago; nil before it has begun.
	View func() *core.View
	// WorkDir is where its sandboxes are.
	WorkDir string
	// Version of the program: digits and dots.
	Version string
	// Collectors have further figures for /metrics.
	Collectors []prometheus.Collector
}

// New returns the handler of a slave's API.
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, h http.Handler) {
		for _, prefix := range []string{"", "/slave(1)", "/slave"} {
			mux.Handle("GET "+prefix+path, h)
		}
	}
	handle("/health", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]bool{"healthy": true})
	}))
	handle("/version", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"version": o.Version})
	}))
	handle("/metrics", promhttp.HandlerFor(newRegistry(o.View, o.Collectors...), promhttp.HandlerOpts{}))
	handle("/gc", answer(gc(o.View)))
	f := &files{view: o.View, workDir: o.WorkDir}
	handle("/files/browse", answer(f.browse))
	handle("/files/read", answer(f.read))
	handle("/files/download", answer(f.download))
	handle("/files/changed", answer(f.changed))
	return mux
}

// failure is an answer that is not what was asked for.
type failure struct {
	status int
	reason string // one line for people
}

func (f *failure) Error() string { return f.reason }

// answer turns the error of a handler into a line of text. What tasks write may be shown to people by a browser that
// trusts this server, so nothing from a sandbox is ever served as anything active: Nomad's CVE-2020-10944.
func answer(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'")
		err := h(w, r)
		if err == nil {
			return
		}
		status := http.StatusInternalServerError
		if f := (*failure)(nil); errors.As(err, &f) {
			status = f.status
		}
		http.Error(w, err.Error(), status)
	})
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client is gone, then
}
