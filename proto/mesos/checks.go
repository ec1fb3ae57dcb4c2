package mesos

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// probe is what a check and a health check have in common.
type probe struct {
	what    string // check or health_check
	kind    string // COMMAND, HTTP or TCP; else it is not known
	members map[string]bool
	command *CommandInfo
	port    uint32
	path    string
	scheme  string
	seconds map[string]float64
}

// validateCheck reports why a check of a task cannot be made, nil if it can.
func validateCheck(check *CheckInfo) error {
	if check == nil {
		return nil
	}
	return probe{
		what: "check", kind: check.GetType().String(),
		members: map[string]bool{"COMMAND": check.Command != nil, "HTTP": check.Http != nil, "TCP": check.Tcp != nil},
		command: check.GetCommand().GetCommand(), port: max(check.GetHttp().GetPort(), check.GetTcp().GetPort()), path: check.GetHttp().GetPath(),
		seconds: map[string]float64{"delay": check.GetDelaySeconds(), "interval": check.GetIntervalSeconds(), "timeout": check.GetTimeoutSeconds()},
	}.validate()
}

// validateHealthCheck does the same for a health check.
func validateHealthCheck(check *HealthCheck) error {
	if check == nil {
		return nil
	}
	return probe{
		what: "health_check", kind: check.GetType().String(),
		members: map[string]bool{"COMMAND": check.Command != nil, "HTTP": check.Http != nil, "TCP": check.Tcp != nil},
		command: check.GetCommand(), port: max(check.GetHttp().GetPort(), check.GetTcp().GetPort()),
		path: check.GetHttp().GetPath(), scheme: check.GetHttp().GetScheme(),
		seconds: map[string]float64{
			"delay": check.GetDelaySeconds(), "interval": check.GetIntervalSeconds(), "timeout": check.GetTimeoutSeconds(),
			"grace_period": check.GetGracePeriodSeconds(),
		},
	}.validate()
}

func (p probe) validate() error {
	if _, known := p.members[p.kind]; !known {
		return fmt.Errorf("%s.type is %s: allowed are COMMAND, HTTP and TCP", p.what, p.kind)
	}
	for _, kind := range slices.Sorted(maps.Keys(p.members)) {
		if p.members[kind] != (kind == p.kind) {
			return fmt.Errorf("%s.type is %s: exactly the member %s must be set", p.what, p.kind, strings.ToLower(p.kind))
		}
	}
	if p.kind == "COMMAND" {
		if err := ValidateCommandInfo(p.command); err != nil {
			return fmt.Errorf("%s: %w", p.what, err)
		}
	} else if p.port == 0 || p.port > math.MaxUint16 {
		return fmt.Errorf("%s has port %d: allowed are 1 to %d", p.what, p.port, math.MaxUint16)
	}
	if p.path != "" && !strings.HasPrefix(p.path, "/") {
		return fmt.Errorf("%s has path %s: it must begin with a slash", p.what, quote(p.path))
	}
	if p.scheme != "" && p.scheme != "http" && p.scheme != "https" {
		return fmt.Errorf("%s has scheme %s: allowed are http and https", p.what, quote(p.scheme))
	}
	for _, name := range slices.Sorted(maps.Keys(p.seconds)) {
		if err := validateSeconds(p.what+"."+name+"_seconds", p.seconds[name]); err != nil {
			return err
		}
	}
	return nil
}
