package api

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
)

// Whoever follows a file by its name must notice when another takes its place, as happens to logs that are rotated. So
// downloads name the file that they are of, whatever its name; whoever sends that back gets that file or none.
const (
	// FileHeader is, in an answer, the identity of the file; in a request, the one that is wanted: if the name is that of
	// another file now the answer is 412 Precondition Failed.
	FileHeader = "X-Stoa-File"
	// RotatedHeader is set in an answer if the file has a predecessor, which has the same name with ".1" at its end.
	RotatedHeader = "X-Stoa-Rotated"
)

// identify sets the headers of an answer that has a file of a sandbox, and compares what the request wants.
func identify(w http.ResponseWriter, r *http.Request, text string, sandbox *os.Root, p place, file *os.File, info fs.FileInfo) error {
	id := identityOf(file, info)
	w.Header().Set(FileHeader, id)
	if older, err := sandbox.Stat(p.rest + ".1"); err == nil && readable(text, older) == nil {
		w.Header().Set(RotatedHeader, "1")
	}
	if wanted := r.Header.Get(FileHeader); wanted != "" && wanted != id {
		return &failure{http.StatusPreconditionFailed, fmt.Sprintf("path %.256q: it is another file now", text)}
	}
	return nil
}
