package fetcher

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

// connsPerServer bounds the connections to one server. Who finds no place waits as long as it takes: each of those before him is
// heard of, or given up.
const connsPerServer = 8

// newClient makes the client for all downloads. There is no limit to the time of a whole download, only to silence.
func newClient(roots *x509.CertPool, stall time.Duration) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxConnsPerHost:       connsPerServer,
			DialContext:           (&net.Dialer{Timeout: stall}).DialContext,
			TLSHandshakeTimeout:   stall,
			ResponseHeaderTimeout: stall,
			IdleConnTimeout:       stall,
			DisableCompression:    true, // bytes as the server has them, or no checksum is right
		},
		CheckRedirect: func(next *http.Request, before []*http.Request) error {
			switch {
			case len(before) > MaxRedirects:
				return fmt.Errorf("more than %d redirects", MaxRedirects)
			case next.URL.Scheme != "http" && next.URL.Scheme != "https":
				return fmt.Errorf("redirected to scheme %q", next.URL.Scheme)
			case before[len(before)-1].URL.Scheme == "https" && next.URL.Scheme == "http":
				return errors.New("redirected from https to http")
			}
			return nil
		},
	}
}

// download writes what a server has for a URI.
func (f *Fetcher) download(ctx context.Context, uri string, to *content) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(f.options.StallTimeout, func() {
		cancel(fmt.Errorf("the server was silent for %s", f.options.StallTimeout))
	})
	defer silence.Stop()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { silence.Stop() },
		GotConn: func(httptrace.GotConnInfo) { silence.Reset(f.options.StallTimeout) },
	})
	err := f.copyBody(ctx, uri, to, func() { silence.Reset(f.options.StallTimeout) })
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err // the URI is told anyway
	}
	return err
}

func (f *Fetcher) copyBody(ctx context.Context, uri string, to *content, alive func()) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return err
	}
	answer, err := f.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode)) // whatever it calls that
	}
	if answer.ContentLength > f.options.MaxBytes {
		return tooLarge(f.options.MaxBytes)
	}
	to.expect(oversize{answer.ContentLength, true}) // or -1, which it does not say
	body := &watchedReader{r: io.LimitReader(answer.Body, f.options.MaxBytes+1), alive: alive}
	written, err := io.Copy(to, body)
	switch {
	case written > f.options.MaxBytes:
		return tooLarge(f.options.MaxBytes)
	case errors.Is(err, io.ErrUnexpectedEOF) && answer.ContentLength < 0:
		return fmt.Errorf("the server broke off after %d bytes", written)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the server broke off after %d of %d bytes", written, answer.ContentLength)
	}
	return err
}

func tooLarge(most int64) error { return fmt.Errorf("it is larger than the allowed %d bytes", most) }

// watchedReader tells of each read that gave something.
type watchedReader struct {
	r     io.Reader
	alive func()
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.alive()
	}
	return n, err
}
