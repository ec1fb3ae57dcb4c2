package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Entry is something in a folder of a sandbox, as slaves list it.
type Entry struct {
	Path string `json:"path"` // as the slave knows it; Name is its last part
	// PathEscaped is the path once more, percent-encoded, where JSON can't hold it: it is not UTF-8.
	PathEscaped string  `json:"path_escaped,omitempty"`
	Size        int64   `json:"size"`
	Mtime       float64 `json:"mtime"` // seconds since 1970
	Mode        string  `json:"mode"`  // as ls writes it
	Nlink       uint64  `json:"nlink"`
	UID         string  `json:"uid"`
	GID         string  `json:"gid"`
}

// Name is the entry's name in its folder.
func (e Entry) Name() string {
	if name, err := url.PathUnescape(e.PathEscaped); err == nil && name != "" {
		return path.Base(name)
	}
	return path.Base(e.Path)
}

// IsDir and IsFile tell what it is; a link, a pipe and the like are neither.
func (e Entry) IsDir() bool { return strings.HasPrefix(e.Mode, "d") }

// IsFile tells a file.
func (e Entry) IsFile() bool { return strings.HasPrefix(e.Mode, "-") }

const (
	// truncatedHeader tells that a folder has more entries than slaves list.
	truncatedHeader = "X-Stoa-Truncated"
	// maxListBytes bounds a slave's list: 10,000 entries with the longest of paths.
	maxListBytes = 64 << 20
)

// ErrIsFile is wrapped by the error of Browse for a file.
var ErrIsFile = errors.New("it is a file")

// Browse lists a folder of a sandbox, by name; "" is the sandbox itself. More tells that there are more entries than the slave
// lists. Errors wrap ErrNotFound or ErrIsFile or are a *RefusedError, or else of the network or of the slave.
func (c Client) Browse(ctx context.Context, place Place, folder string) (entries []Entry, more bool, err error) {
	address := place.Slave + "/files/browse?" + url.Values{"path": {place.Path(folder)}}.Encode()
	header, err := c.document(ctx, place, address, folder, maxListBytes, &entries)
	return entries, header.Get(truncatedHeader) != "", err
}

// document gets what a slave tells as JSON, of at most so many bytes. An error names what was asked for.
func (c Client) document(ctx context.Context, place Place, address, asked string, most int64, into any) (header http.Header, err error) {
	err = c.guard(ctx, place, func(ctx context.Context, _ func(reading bool)) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		answer, err := cmp.Or(c.HTTP, http.DefaultClient).Do(request)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return refusal(answer, asked)
		}
		header = answer.Header
		return json.NewDecoder(io.LimitReader(answer.Body, most)).Decode(into)
	})
	return header, err
}

// refusal is what a slave says in place of a file or a list.
func refusal(answer *http.Response, asked string) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxErrorBytes)) // whatever came of it helps
	reason := strings.TrimSpace(string(text))
	if at := strings.LastIndex(reason, `": `); at >= 0 {
		reason = reason[at+len(`": `):] // what comes before is the path, and as long as an id or four
	}
	refused := &RefusedError{Path: asked, Reason: reason}
	switch {
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrNotFound, refused)
	case answer.StatusCode == http.StatusBadRequest && strings.HasPrefix(reason, ErrIsFile.Error()):
		return fmt.Errorf("%s: %w", asked, ErrIsFile)
	case answer.StatusCode == http.StatusBadRequest || answer.StatusCode == http.StatusForbidden:
		return refused
	}
	return fmt.Errorf("%s: %s %s", answer.Request.URL, answer.Status, reason)
}
