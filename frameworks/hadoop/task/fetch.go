package task

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// How a Fetcher behaves by default.
const (
	DefaultFetchTries   = 4                      // then an output counts as lost
	DefaultFetchBackoff = 200 * time.Millisecond // before the second try; doubled before each further one
	DefaultFetchStall   = 10 * time.Second       // without a byte a try has failed
	dialTimeout         = 3 * time.Second
)

// Fetcher downloads task output from slaves. Its zero value works.
type Fetcher struct {
	Client  *http.Client  // nil: one of its own, without proxies
	Tries   int           // 0: DefaultFetchTries
	Backoff time.Duration // 0: DefaultFetchBackoff
	Stall   time.Duration // 0: DefaultFetchStall
}

// FetchError says that something could not be fetched, after all tries.
type FetchError struct {
	URL    string
	Status int // of the last HTTP answer; 0: there was none, or what it brought was wrong
	Err    error
}

func (e *FetchError) Error() string { return fmt.Sprintf("fetch %s: %v", e.URL, e.Err) }

// Unwrap gives the last try's error.
func (e *FetchError) Unwrap() error { return e.Err }

// Missing says that the slave answered and has no such file.
func (e *FetchError) Missing() bool {
	return e.Status == http.StatusNotFound || e.Status == http.StatusGone
}

// fetchClient takes no proxy: slaves are reached as the cluster's members reach each other.
var fetchClient = &http.Client{Transport: &http.Transport{
	DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
	MaxIdleConnsPerHost: ParallelFetches,
	IdleConnTimeout:     30 * time.Second,
	DisableCompression:  true,
}}

// ToMemory fetches a whole file whose length and checksum are known into b, which has that length. The error is a
// *FetchError, or the context's.
func (f Fetcher) ToMemory(ctx context.Context, url string, part *taskpb.Part, b []byte) error {
	return f.retried(ctx, url, func(body io.Reader) error {
		if _, err := io.ReadFull(body, b); err != nil {
			return fmt.Errorf("want %d bytes: %w", len(b), err)
		}
		return checkPart(Checksum(0, b), body, part)
	})
}

// ToFile fetches a whole file whose length and checksum are known. The error is a *FetchError when the network or the
// slave is at fault, else it names the file that could not be written.
func (f Fetcher) ToFile(ctx context.Context, url string, part *taskpb.Part, path string) error {
	return f.To(ctx, url, part, func() (io.WriteCloser, error) { return os.Create(path) })
}

// To is ToFile for a file that create makes anew, for each try.
func (f Fetcher) To(ctx context.Context, url string, part *taskpb.Part, create func() (io.WriteCloser, error)) error {
	var local error
	err := f.retried(ctx, url, func(body io.Reader) error {
		file, err := create()
		if err != nil {
			local = err
			return err
		}
		sums := checksumWriter{w: file}
		watched := &remoteReader{r: body}
		_, err = io.CopyBuffer(&sums, io.LimitReader(watched, part.GetBytes()), make([]byte, blockBytes))
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil && watched.err == nil {
			local = err // writing failed, not reading
			return err
		}
		if err != nil || sums.bytes < part.GetBytes() {
			return fmt.Errorf("want %d bytes, got %d: %w", part.GetBytes(), sums.bytes, errors.Join(io.ErrUnexpectedEOF, err))
		}
		return checkPart(sums.sum, body, part)
	}, &local)
	if local != nil {
		return fmt.Errorf("keep fetched output: %w", local)
	}
	return err
}

// Small fetches up to limit bytes of a file whose length is not known: a summary. A longer one is an error.
func (f Fetcher) Small(ctx context.Context, url string, limit int) ([]byte, error) {
	var b []byte
	return b, f.retried(ctx, url, func(body io.Reader) (err error) {
		if b, err = io.ReadAll(io.LimitReader(body, int64(limit)+1)); err != nil {
			return err
		}
		if len(b) > limit {
			return fmt.Errorf("longer than the %d bytes that are allowed", limit)
		}
		return nil
	})
}

// Tail fetches the last bytes of a file, at most limit.
func (f Fetcher) Tail(ctx context.Context, url string, limit int) ([]byte, error) {
	var b []byte
	f.Tries = 1
	err := f.once(ctx, url, "bytes=-"+strconv.Itoa(limit), func(body io.Reader) (err error) {
		b, err = io.ReadAll(io.LimitReader(body, int64(limit)))
		return err
	})
	if fetch := (*FetchError)(nil); errors.As(err, &fetch) && fetch.Status == http.StatusRequestedRangeNotSatisfiable {
		return nil, nil // an empty file has no last bytes
	}
	return b, err
}

func checkPart(sum uint32, rest io.Reader, part *taskpb.Part) error {
	if n, _ := io.ReadFull(rest, make([]byte, 1)); n > 0 {
		return fmt.Errorf("longer than the %d bytes that were announced", part.GetBytes())
	}
	if sum != part.GetCrc32C() {
		return fmt.Errorf("checksum is %08x, announced was %08x", sum, part.GetCrc32C())
	}
	return nil
}

// remoteReader remembers that reading failed.
type remoteReader struct {
	r   io.Reader
	err error
}

func (r *remoteReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// retried calls once until it succeeds, the file is missing, a fatal error was noted, or the tries are used up.
func (f Fetcher) retried(ctx context.Context, url string, read func(io.Reader) error, fatal ...*error) error {
	tries, backoff := f.Tries, f.Backoff
	if tries <= 0 {
		tries = DefaultFetchTries
	}
	if backoff <= 0 {
		backoff = DefaultFetchBackoff
	}
	for try := 1; ; try++ {
		err := f.once(ctx, url, "", read)
		if err == nil || ctx.Err() != nil {
			return err
		}
		for _, e := range fatal {
			if *e != nil {
				return err
			}
		}
		var fetch *FetchError
		if try == tries || (errors.As(err, &fetch) && fetch.Missing()) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(backoff/2 + rand.N(backoff)):
		}
		backoff *= 2
	}
}

// once asks for a file and gives its bytes to read. A try that brings nothing for the stall time has failed.
func (f Fetcher) once(ctx context.Context, url, byteRange string, read func(io.Reader) error) error {
	if byteRange == "" {
		if file := handedOver(url); file != nil {
			defer file.Close()
			if err := read(file); err != nil {
				return &FetchError{URL: url, Err: err}
			}
			return nil
		}
	}
	client, stall := f.Client, f.Stall
	if client == nil {
		client = fetchClient
	}
	if stall <= 0 {
		stall = DefaultFetchStall
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("no byte came for %v", stall)) })
	defer timer.Stop()
	fail := func(status int, err error) error {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return &FetchError{URL: url, Status: status, Err: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fail(0, err)
	}
	if byteRange != "" {
		request.Header.Set("Range", byteRange)
	}
	answer, err := client.Do(request)
	if err != nil {
		return fail(0, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusPartialContent {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
		return fail(answer.StatusCode, fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(text))))
	}
	if err := read(&livelyReader{r: answer.Body, timer: timer, stall: stall}); err != nil {
		return fail(0, err)
	}
	return nil
}

// livelyReader puts off the stall timer with each byte that comes.
type livelyReader struct {
	r     io.Reader
	timer *time.Timer
	stall time.Duration
}

func (l *livelyReader) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if n > 0 {
		l.timer.Reset(l.stall)
	}
	return n, err
}
