package hadoop

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"strings"

	"github.com/stoa-project/stoa/frameworks/hadoop/jobpb"
)

// web holds the page: what it shows it asks for at /api/jobs and /api/jobs/ID, which are the documents of
// `stoa hadoop job -list --json` and `-history --json`.
//
//go:embed web
var web embed.FS

// page is a JobTracker's own page.
type page struct {
	service *service
	mux     *http.ServeMux
}

func newPage(s *service) *page {
	p := &page{service: s, mux: http.NewServeMux()}
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // it is embedded
	}
	p.mux.Handle("GET /", http.FileServerFS(files))
	p.mux.HandleFunc("GET /api/jobs", func(w http.ResponseWriter, r *http.Request) {
		p.answer(w, r, &jobpb.Call{Call: &jobpb.Call_List{List: &jobpb.List{}}})
	})
	p.mux.HandleFunc("GET /api/jobs/{id}", func(w http.ResponseWriter, r *http.Request) {
		p.answer(w, r, &jobpb.Call{Call: &jobpb.Call_History{History: &jobpb.Look{Job: r.PathValue("id")}}})
	})
	p.mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]bool{"healthy": true})
	})
	return p
}

// ServeHTTP lets the page load nothing from elsewhere, and nobody frame it.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	p.mux.ServeHTTP(w, r)
}

func (p *page) answer(w http.ResponseWriter, r *http.Request, call *jobpb.Call) {
	answer, err := p.service.askNow(r.Context(), call)
	switch {
	case err != nil:
		http.Error(w, "the JobTracker does not answer", http.StatusServiceUnavailable)
	case strings.HasPrefix(answer.GetError(), "no job "):
		http.Error(w, answer.GetError(), http.StatusNotFound)
	case answer.GetError() != "":
		http.Error(w, answer.GetError(), http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer.GetDocument()) // a browser that has gone
	}
}
