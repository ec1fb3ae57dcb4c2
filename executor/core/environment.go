package core

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FromEnvironment reads the part of a Config that the slave tells an executor by environment variables; lookup gives
// the value of one, "" if it is not set. The error names the variable and its value.
//
// MESOS_CHECKPOINT counts as set unless it is empty or "0".
func FromEnvironment(lookup func(name string) string) (Config, error) {
	checkpoint := lookup("MESOS_CHECKPOINT")
	config := Config{
		FrameworkID: lookup("MESOS_FRAMEWORK_ID"),
		ExecutorID:  lookup("MESOS_EXECUTOR_ID"),
		Checkpoint:  checkpoint != "" && checkpoint != "0",
	}
	for _, id := range []struct{ name, value string }{
		{"MESOS_FRAMEWORK_ID", config.FrameworkID}, {"MESOS_EXECUTOR_ID", config.ExecutorID},
	} {
		if id.value == "" {
			return Config{}, fmt.Errorf("%s is not set: an executor is started by a slave, which sets it", id.name)
		}
	}
	for _, d := range []struct {
		name string
		to   *time.Duration
	}{
		{"MESOS_RECOVERY_TIMEOUT", &config.RecoveryTimeout},
		{"MESOS_SUBSCRIPTION_BACKOFF_MAX", &config.BackoffMost},
		{"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", &config.ShutdownGrace},
	} {
		value := lookup(d.name)
		if value == "" {
			continue
		}
		parsed, err := ParseDuration(value)
		if err != nil {
			return Config{}, fmt.Errorf("%s: %w", d.name, err)
		}
		*d.to = parsed
	}
	return config, nil
}

// durationUnits are those of Mesos's durations.
var durationUnits = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "ms": time.Millisecond, "secs": time.Second, "mins": time.Minute,
	"hrs": time.Hour, "days": 24 * time.Hour, "weeks": 7 * 24 * time.Hour,
}

// ParseDuration reads a duration as Mesos writes it: a number and a unit, "5secs", "1.5mins".
func ParseDuration(text string) (time.Duration, error) {
	at := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if at > 0 {
		number, err := strconv.ParseFloat(text[:at], 64)
		if unit := durationUnits[text[at:]]; err == nil && unit != 0 && number*float64(unit) < float64(1<<63) {
			return time.Duration(number * float64(unit)), nil
		}
	}
	return 0, fmt.Errorf("%q is no duration: it must be a number and one of ns, us, ms, secs, mins, hrs, days, weeks", text)
}
