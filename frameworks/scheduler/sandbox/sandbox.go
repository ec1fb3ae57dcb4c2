// Package sandbox reads what tasks leave in their sandboxes. A slave serves them over HTTP, on the port that its offers
// name; a file is read by offset, to the byte, while the task writes it.
//
//	place := sandbox.Place{Slave: sandbox.SlaveURL(offer.Info), SlaveID: …, FrameworkID: …, ExecutorID: …}
//	n, err := client.Copy(ctx, os.Stdout, place, "stdout", 0)    // what is there now
//	n, err := client.Follow(ctx, os.Stdout, place, "stdout", ended) // as it comes, until ended is closed
package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
)

const (
	// DefaultStall is how long a slave may send nothing of an answer before it counts as lost.
	DefaultStall = 10 * time.Second
	// latest is the link that each sandbox folder has to the newest run.
	latest = "latest"
	// maxErrorBytes is how much of a slave's error text is repeated.
	maxErrorBytes = 4 << 10
)

// ErrNotFound is wrapped by the errors for a file, or a sandbox, that is not there.
var ErrNotFound = errors.New("no such file")

// RefusedError is why a slave does not give a file, or a list of a folder.
type RefusedError struct{ Path, Reason string }

func (e *RefusedError) Error() string { return cmp.Or(e.Path, "the sandbox") + ": " + e.Reason }

// Place names one sandbox.
type Place struct {
	// Slave is the slave's URL, as in "http://10.0.0.1:5051".
	Slave                string
	SlaveID, FrameworkID string
	ExecutorID           string // of a task that has a command: the task's id
	ContainerID          string // "" is the latest run
}

// SlaveURL is the address under which the slave of an offer serves its sandboxes; "" if the offer has none.
func SlaveURL(offer *mesos.Offer) string {
	address := offer.GetUrl().GetAddress()
	host := address.GetIp() // an address needs nobody to resolve it
	if host == "" {
		host = address.GetHostname()
	}
	if host == "" {
		return ""
	}
	return offer.GetUrl().GetScheme() + "://" + net.JoinHostPort(host, strconv.Itoa(int(address.GetPort())))
}

// Path is the path of a file of the sandbox as slaves know it.
func (p Place) Path(file string) string {
	run := p.ContainerID
	if run == "" {
		run = latest
	}
	return path.Join("/slaves", p.SlaveID, "frameworks", p.FrameworkID, "executors", p.ExecutorID, "runs", run, file)
}

// URL is where a file can be downloaded, by ranges too.
func (p Place) URL(file string) string {
	return p.Slave + "/files/download?" + url.Values{"path": {p.Path(file)}}.Encode()
}

// Client reads sandboxes. The zero value is ready to use.
type Client struct {
	// HTTP makes the requests; nil is http.DefaultClient. It should have no timeout for whole answers: files may be large.
	HTTP *http.Client
	// Stall is how long a slave may send nothing; 0 is DefaultStall.
	Stall time.Duration
}

// WriteError is an error of the writer that the file was copied to.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return "write output: " + e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// Copy writes what a file has from offset on to w, and returns how many bytes were written, also with an error: a later call
// goes on at offset plus that. Errors wrap ErrNotFound or are a *WriteError, or else of the network or of the slave.
func (c Client) Copy(ctx context.Context, w io.Writer, place Place, file string, offset int64) (int64, error) {
	var n int64
	err := c.guard(ctx, place, func(ctx context.Context, clock func(reading bool)) error {
		a, err := c.open(ctx, place, file, offset, "")
		if err != nil {
			return err
		}
		n, err = a.pump(w, clock)
		return err
	})
	return n, err
}

// guard gives up a conversation with a slave that falls silent.
func (c Client) guard(ctx context.Context, place Place, talk func(ctx context.Context, clock func(reading bool)) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := c.Stall
	if stall == 0 {
		stall = DefaultStall
	}
	silence := time.AfterFunc(stall, func() { cancel(fmt.Errorf("%s was silent for %s", place.Slave, stall)) })
	defer silence.Stop()
	err := talk(ctx, func(reading bool) {
		if reading {
			silence.Reset(stall)
		} else {
			silence.Stop() // what the reader needs is not the slave's time
		}
	})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// How slaves name a file whatever its name, and tell that it has a predecessor: see the slave's API.
const (
	fileHeader    = "X-Stoa-File"
	rotatedHeader = "X-Stoa-Rotated"
)

// errOther says that a name is that of another file than the wanted one.
var errOther = errors.New("it is another file now")

// content is a part of a file that a slave is about to send.
type content struct {
	id      string // of the file; "" if the slave names none
	rotated bool   // it has a predecessor
	size    int64  // of the whole file
	skip    int64  // bytes of body that come before the part; less than 0: there is nothing of it
	length  int64  // of body; less than 0: nobody knows
	body    io.ReadCloser
}

// open asks for what a file has from offset on; with an id it must be that file, or the error is errOther. Who gets
// content has it pumped or closed.
func (c Client) open(ctx context.Context, place Place, file string, offset int64, id string) (*content, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, place.URL(file), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	if id != "" {
		request.Header.Set(fileHeader, id)
	}
	answer, err := cmp.Or(c.HTTP, http.DefaultClient).Do(request)
	if err != nil {
		return nil, err
	}
	skip, err := check(answer, place, file, offset)
	if err != nil {
		answer.Body.Close()
		return nil, err
	}
	return &content{
		id: answer.Header.Get(fileHeader), rotated: answer.Header.Get(rotatedHeader) != "", size: sizeOf(answer), skip: skip,
		length: answer.ContentLength, body: answer.Body,
	}, nil
}

// sizeOf is the size of the file of which an answer has a part.
func sizeOf(answer *http.Response) int64 {
	_, total, found := strings.Cut(answer.Header.Get("Content-Range"), "/")
	if !found {
		return max(0, answer.ContentLength)
	}
	size, _ := strconv.ParseInt(total, 10, 64)
	return size
}

// check says how many bytes of an answer's body come before the offset; less than 0 if there is nothing from it on.
func check(answer *http.Response, place Place, file string, offset int64) (skip int64, err error) {
	switch answer.StatusCode {
	case http.StatusPartialContent:
		from, _, _ := strings.Cut(strings.TrimPrefix(answer.Header.Get("Content-Range"), "bytes "), "-")
		if start, err := strconv.ParseInt(from, 10, 64); err != nil || start != offset {
			return 0, fmt.Errorf("%s: asked for bytes from %d, got range %q", place.URL(file), offset, answer.Header.Get("Content-Range"))
		}
		return 0, nil
	case http.StatusOK:
		return offset, nil
	case http.StatusRequestedRangeNotSatisfiable:
		return -1, nil
	case http.StatusPreconditionFailed:
		return 0, errOther
	}
	return 0, refusal(answer, file)
}

// pumpBytes is how much is read at once.
const pumpBytes = 64 << 10

// pump writes the part to w.
func (a *content) pump(w io.Writer, clock func(reading bool)) (written int64, err error) {
	defer a.body.Close()
	if a.skip < 0 {
		return 0, nil
	}
	skip := a.skip
	room := int64(pumpBytes)
	if a.length >= 0 {
		room = min(room, a.length+1) // with the end of the body; most files that are followed have little, or nothing
	}
	buffer := make([]byte, room)
	for {
		clock(true)
		n, readErr := a.body.Read(buffer)
		clock(false)
		dropped := min(skip, int64(n))
		skip -= dropped
		if fresh := buffer[dropped:n]; len(fresh) > 0 {
			m, err := w.Write(fresh)
			written += int64(m)
			if err != nil {
				return written, &WriteError{err}
			}
		}
		if readErr == io.EOF {
			return written, nil
		}
		if readErr != nil {
			return written, readErr
		}
	}
}
