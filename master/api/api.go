// Package api is what a master answers over HTTP besides the native protocol: whether it is well, its version, and its
// numbers. Nothing here stops the master: it reads what the master publishes.
package api

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/master"
	"github.com/stoa-project/stoa/proto/wire"
)

// Options are where the answers come from.
type Options struct {
	// Published is what the master shows.
	Published *master.Published
	// Stats, if set, are the numbers of the node's actors.
	Stats func() actor.Stats
	// Collectors have further figures for /metrics.
	Collectors []prometheus.Collector
}

// New returns the handler of
//
//	/health    200 while the process answers
//	/version   {"version":"X.Y.Z"}, digits only, as Mesos's clients parse it
//	/metrics   in Prometheus's text form, names stoa_master_…
//
// each also under /master. Whatever is not there is a 404 in one line.
func New(o Options) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{o}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(o.Collectors...)
	mux := http.NewServeMux()
	for _, prefix := range []string{"", "/master"} {
		mux.Handle("GET "+prefix+"/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		mux.HandleFunc("GET "+prefix+"/health", health)
		mux.HandleFunc("GET "+prefix+"/version", version)
	}
	return mux
}

func health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, struct {
		Healthy bool `json:"healthy"`
	}{true})
}

func version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, struct {
		Version string `json:"version"`
	}{wire.Version})
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = json.NewEncoder(w).Encode(value) // A reader that has gone does not want to hear of it.
}
