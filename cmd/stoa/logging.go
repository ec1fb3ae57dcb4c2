package main

import (
	"bytes"
	"io"
	stdlog "log"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// logLevels are the values of --log_level.
var logLevels = []string{"debug", "info", "warn", "error"}

func addLogFlags(flags *pflag.FlagSet, level *string) {
	flags.StringVar(level, "log_level", "info", "least `LEVEL` that is logged: "+strings.Join(logLevels, ", "))
}

func addMessagesFlag(flags *pflag.FlagSet, messages *bool) {
	flags.BoolVar(messages, "log_messages", false, "log each message to and from other programs, a line each, without secrets")
}

// newLogger makes a daemon's log: lines for people on a terminal, JSON elsewhere.
func newLogger(w io.Writer, level string) (zerolog.Logger, error) {
	parsed, err := zerolog.ParseLevel(level)
	if err != nil || !slices.Contains(logLevels, level) {
		return zerolog.Nop(), usageError("--log_level %q: allowed are %s", level, strings.Join(logLevels, ", "))
	}
	zerolog.TimeFieldFormat = time.RFC3339Nano
	if isTerminal(w) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000"}
	}
	log := zerolog.New(w).Level(parsed).With().Timestamp().Logger()
	stdlog.SetFlags(0)
	stdlog.SetOutput(libraries{log})
	return log, nil
}

// libraries takes what libraries (net/http's client, say) write to the log of the standard library: warnings in the daemon's own.
type libraries struct{ log zerolog.Logger }

func (l libraries) Write(line []byte) (int, error) {
	l.log.Warn().Str("source", "library").Bytes("said", bytes.TrimSpace(line)).Msg("a library complains")
	return len(line), nil
}

// isTerminal tells whether people look at w as it is written.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
