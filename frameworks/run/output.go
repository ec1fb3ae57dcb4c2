package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
)

const (
	// streams is how many files of a sandbox are shown: stdout and stderr.
	streams = 2
	// maxLineBytes is how much of a line is held back to write it in one piece behind its instance's number; a longer line
	// is cut into several.
	maxLineBytes = 1 << 20
	// connsPerSlave bounds the connections to one slave.
	connsPerSlave = 8
	// firstLook is when the output of one of many instances is looked at first, unless it has ended before: most that have
	// many instances are short, and then once is enough.
	firstLook = 100 * time.Millisecond
	// closeTimeout bounds the wait for a write to a terminal or pipe that nobody reads, after the run was given up.
	closeTimeout = time.Second
)

// outputs carries what the instances write to the caller's writers: a goroutine for each stream.
type outputs struct {
	out, err io.Writer
	prefixed bool
	client   sandbox.Client
	watch    *sandbox.Watch // of many instances
	idle     func()
	ended    func(instance int, stream string, err error, writing bool)
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
	signals  map[int]signal
}

// signal tells an instance's streams that they grow no more, or are lost.
type signal struct {
	ended  chan struct{}
	cancel context.CancelFunc
}

func newOutputs(o Options, out, err io.Writer, ended func(int, string, error, bool)) *outputs {
	if o.OutputToErr {
		out = err
	}
	transport := &http.Transport{MaxConnsPerHost: connsPerSlave, MaxIdleConnsPerHost: connsPerSlave, DisableCompression: true}
	if o.Network != nil {
		transport.DialContext = dialer(o.Network)
	}
	if o.TLS != nil {
		transport.DialTLSContext = o.TLS.DialHTTP
	}
	ctx, cancel := context.WithCancel(context.Background())
	client := sandbox.Client{HTTP: &http.Client{Transport: transport}}
	return &outputs{
		out: &lockedWriter{w: out}, err: err, prefixed: o.Instances > 1,
		client: client, watch: sandbox.NewWatch(ctx, client), idle: transport.CloseIdleConnections,
		ended: ended, ctx: ctx, cancel: cancel, signals: map[int]signal{},
	}
}

// follow shows an instance's stdout and stderr. It is called by the scheduler's goroutine, as is end.
func (o *outputs) follow(instance int, place sandbox.Place) {
	ctx, cancel := context.WithCancel(o.ctx)
	s := signal{ended: make(chan struct{}), cancel: cancel}
	o.signals[instance] = s
	for stream, w := range map[string]io.Writer{"stdout": o.out, "stderr": o.err} {
		o.running.Go(func() {
			err := o.copy(ctx, w, instance, place, stream, s.ended)
			var writing *sandbox.WriteError
			o.ended(instance, stream, err, errors.As(err, &writing))
		})
	}
}

func (o *outputs) copy(ctx context.Context, w io.Writer, instance int, place sandbox.Place, stream string, ended <-chan struct{}) error {
	if !o.prefixed {
		_, err := o.client.Follow(ctx, w, place, stream, ended)
		return err
	}
	select {
	case <-time.After(firstLook):
	case <-ended:
	case <-ctx.Done():
	}
	lines := &lineWriter{w: w, prefix: fmt.Appendf(nil, "[%d] ", instance)}
	_, err := o.watch.Follow(ctx, lines, place, stream, ended)
	if e := lines.Close(); err == nil && e != nil {
		err = &sandbox.WriteError{Err: e}
	}
	return err
}

// end tells that an instance writes no more: the rest is read at once. Of what is lost nothing more is read.
func (o *outputs) end(instance int, lost bool) {
	s := o.signals[instance]
	close(s.ended)
	if lost {
		s.cancel()
	}
}

// close ends all that still runs. A writer that nobody reads is not waited for.
func (o *outputs) close() {
	o.cancel()
	done := make(chan struct{})
	go func() {
		o.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(closeTimeout):
	}
	o.idle()
}

// lineWriter writes whole lines, each in one piece behind a prefix. Close adds the newline that a last line lacks.
type lineWriter struct {
	w      io.Writer
	prefix []byte
	line   []byte // prefix and the beginning of a line; empty between lines
}

func (l *lineWriter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if len(l.line) == 0 {
			l.line = append(l.line, l.prefix...)
		}
		piece, rest, whole := bytes.Cut(p, []byte("\n"))
		if room := maxLineBytes - len(l.line); len(piece) > room {
			piece, rest, whole = p[:room], p[room:], true
		}
		l.line = append(l.line, piece...)
		p = rest
		if whole {
			if err := l.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (l *lineWriter) flush() error {
	l.line = append(l.line, '\n')
	_, err := l.w.Write(l.line)
	l.line = l.line[:0]
	return err
}

// Close writes what is left of a line that has no end.
func (l *lineWriter) Close() error {
	if len(l.line) == 0 {
		return nil
	}
	return l.flush()
}

// dialer reaches slaves over the same network as the master.
func dialer(network remote.Network) func(ctx context.Context, _, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) { return network.Dial(ctx, address) }
}
