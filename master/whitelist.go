package master

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/master/core"
)

const (
	// WhitelistInterval is how often the file of the whitelist is looked at (Mesos: 5 s).
	WhitelistInterval = 5 * time.Second

	// MaxWhitelistBytes is how large that file may be.
	MaxWhitelistBytes = 16 << 20
)

// ReadWhitelist reads a file with the hostnames of the slaves that may be offered, one a line; empty lines and those that
// begin with # do not count. A line with * alone is all slaves.
func ReadWhitelist(path string) (core.Whitelisted, error) {
	file, err := os.Stat(path)
	if err != nil {
		return core.Whitelisted{}, fmt.Errorf("whitelist: %w: it must be a file with hostnames, one a line", err)
	}
	if file.Size() > MaxWhitelistBytes {
		return core.Whitelisted{}, fmt.Errorf("whitelist %s has %d bytes: allowed are %d", path, file.Size(), MaxWhitelistBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return core.Whitelisted{}, fmt.Errorf("whitelist: %w", err)
	}
	var list core.Whitelisted
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case line == "*":
			list.All = true
		case strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' }):
			return core.Whitelisted{}, fmt.Errorf("whitelist %s: line %q is no hostname: allowed is one a line", path, line)
		default:
			list.Hostnames = append(list.Hostnames, line)
		}
	}
	if list.All {
		list.Hostnames = nil
	}
	slices.Sort(list.Hostnames)
	list.Hostnames = slices.Compact(list.Hostnames)
	return list, nil
}

// What the master tells itself about the whitelist.
type (
	lookAtWhitelist struct{} // it is time to
	whitelist       struct { // what was found
		list core.Whitelisted
		err  error
	}
)

// maybeWhitelist has nothing offered until the file has been read, if there is one.
func (m *master) maybeWhitelist(ctx actor.Context) {
	if m.config.Whitelist != "" {
		m.step(ctx, core.Whitelisted{})
		m.readWhitelist(ctx)
	}
}

func (m *master) readWhitelist(ctx actor.Context) {
	path := m.config.Whitelist
	ctx.Async(func(context.Context) any {
		list, err := ReadWhitelist(path)
		return whitelist{list, err}
	})
}

// whitelistRead tells the core what has changed. A file that cannot be read leaves everything as it is, and is warned of
// once.
func (m *master) whitelistRead(ctx actor.Context, found whitelist) {
	ctx.After(WhitelistInterval, lookAtWhitelist{})
	if found.err != nil {
		if m.whitelistErr == nil || m.whitelistErr.Error() != found.err.Error() {
			ctx.Log().Warn().Err(found.err).Msg("the whitelist stays as it was")
		}
		m.whitelistErr = found.err
		return
	}
	m.whitelistErr = nil
	if !m.whitelisted || found.list.All != m.whitelist.All || !slices.Equal(found.list.Hostnames, m.whitelist.Hostnames) {
		m.whitelisted, m.whitelist = true, found.list
		m.step(ctx, found.list)
	}
}
