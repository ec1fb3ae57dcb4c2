package main

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/run"
	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/slave/fetcher"
)

// parseURIs reads --uri URL[,OPTION]…. Commas before the first option belong to the URL.
func parseURIs(entries []string) ([]*mesos.CommandInfo_URI, error) {
	var all []*mesos.CommandInfo_URI
	for _, entry := range entries {
		uri := &mesos.CommandInfo_URI{Extract: proto.Bool(false)} // Mesos's default is to extract, which nobody expects who did not ask
		rest := entry
		for {
			at := strings.LastIndexByte(rest, ',')
			if at < 0 || !setURIOption(uri, rest[at+1:]) {
				break
			}
			rest = rest[:at]
		}
		if rest == "" {
			return nil, usageError("--uri %q is not URL[,executable][,extract][,cache][,sha256=HEX][,output=NAME]", entry)
		}
		if uri.GetExtract() {
			if uri.GetExecutable() {
				return nil, usageError("--uri %q: what is unpacked is no executable: give one of both", entry)
			}
			if err := fetcher.CheckArchive(rest); err != nil {
				return nil, usageError("--uri %q: %w", entry, err)
			}
		}
		uri.Value = proto.String(rest + uri.GetValue())
		all = append(all, uri)
	}
	return all, nil
}

// setURIOption reports whether text is an option. A checksum travels as the URL's fragment.
func setURIOption(uri *mesos.CommandInfo_URI, text string) bool {
	name, value, hasValue := strings.Cut(text, "=")
	switch {
	case name == "executable" && !hasValue:
		uri.Executable = proto.Bool(true)
	case name == "extract" && !hasValue:
		uri.Extract = proto.Bool(true)
	case name == "cache" && !hasValue:
		uri.Cache = proto.Bool(true)
	case name == "output" && value != "":
		uri.OutputFile = &value
	case name == "sha256" && value != "":
		uri.Value = proto.String("#sha256=" + value)
	default:
		return false
	}
	return true
}

// parseWants reads which offers are wanted, and how often.
func (f *runFlags) parseWants() error {
	o := &f.options
	for i, role := range o.Roles {
		if err := mesos.ValidateRole(role); err != nil {
			return usageError("--%w", err)
		}
		if slices.Contains(o.Roles[:i], role) {
			return usageError("--role %s is given twice", role)
		}
	}
	for _, text := range f.offerConstraints {
		group, err := scheduler.ParseOfferConstraint(text)
		if err != nil {
			return usageError("--offer_%w", err)
		}
		o.OfferConstraints = append(o.OfferConstraints, group)
	}
	if f.minAllocatable != nil {
		var err error
		if o.MinAllocatable, err = parseMinAllocatable(*f.minAllocatable); err != nil {
			return err
		}
	}
	if f.refuseSeconds != nil {
		most := mesos.MaxRefuse.Seconds()
		if s := *f.refuseSeconds; !(s >= 0 && s <= most) { // Not a number is neither.
			return usageError("--refuse_seconds %s: allowed are 0 to %.0f, which is 365 days", strconv.FormatFloat(s, 'f', -1, 64), most)
		}
		refuse := time.Duration(*f.refuseSeconds * float64(time.Second))
		o.Refuse = &refuse
	}
	return nil
}

// checkNumbers names the flag whose number makes no sense, in the order of --help.
func (f *runFlags) checkNumbers() error {
	o := &f.options
	for _, amount := range []struct {
		name      string
		value     float64
		mayBeZero bool
	}{{"cpus", o.CPUs, false}, {"mem", o.Mem, false}, {"disk", o.Disk, true}} {
		switch enough := amount.value > 0 || amount.mayBeZero && amount.value == 0; {
		case !enough && amount.mayBeZero:
			return usageError("--%s %v: it must be 0 or more", amount.name, amount.value)
		case !enough:
			return usageError("--%s %v: it must be more than 0", amount.name, amount.value)
		case amount.value > 0 && math.Round(amount.value*float64(resource.Unit)) == 0:
			return usageError("--%s %v: it must be at least 0.001, of which resources are multiples", amount.name, amount.value)
		case amount.value > math.MaxInt32:
			return usageError("--%s %v: it must be at most %d", amount.name, amount.value, math.MaxInt32)
		}
	}
	if o.Instances < 1 || o.Instances > run.MaxInstances {
		return usageError("--instances %d: allowed are 1 to %d", o.Instances, run.MaxInstances)
	}
	if o.PIDs < 0 || o.PIDs > mesos.MaxPIDs {
		return usageError("--pids %d: allowed are 1 to %d, or 0 for the slave's own limit", o.PIDs, mesos.MaxPIDs)
	}
	for _, d := range []struct {
		name      string
		value     time.Duration
		mayBeZero bool
	}{
		{"connect_timeout", o.ConnectTimeout, false},
		{"reconnect_timeout", o.ReconnectTimeout, false},
		{"timeout", o.Timeout, true},
		{"placement_timeout", o.PlacementTimeout, true},
		{"kill_grace", f.killGrace, true},
		{"failover_timeout", o.FailoverTimeout, true},
	} {
		switch {
		case d.value < 0 && d.mayBeZero:
			return usageError("--%s %v: it must not be negative", d.name, d.value)
		case d.value <= 0 && !d.mayBeZero:
			return usageError("--%s %v: it must be longer than 0s", d.name, d.value)
		}
	}
	return nil
}

// container is what --volume and --rlimit ask for; nil if that is nothing.
func (f *runFlags) container() (*mesos.ContainerInfo, error) {
	container := &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum()}
	for _, text := range f.volumes {
		volume, err := parseVolume(text)
		if err != nil {
			return nil, err
		}
		container.Volumes = append(container.Volumes, volume)
	}
	for _, text := range f.rlimits {
		limit, err := parseRlimit(text)
		if err != nil {
			return nil, err
		}
		if container.RlimitInfo == nil {
			container.RlimitInfo = &mesos.RLimitInfo{}
		}
		for _, other := range container.RlimitInfo.Rlimits {
			if other.GetType() == limit.GetType() {
				return nil, usageError("--rlimit %q: another --rlimit is of the same kind, and each may be given once", text)
			}
		}
		container.RlimitInfo.Rlimits = append(container.RlimitInfo.Rlimits, limit)
	}
	if len(container.Volumes) == 0 && container.RlimitInfo == nil {
		return nil, nil
	}
	return container, nil
}

// parseVolume reads --volume HOST:CONTAINER[:ro|:rw].
func parseVolume(text string) (*mesos.Volume, error) {
	mode := mesos.Volume_RW
	rest, readOnly := strings.CutSuffix(text, ":ro")
	if readOnly {
		mode = mesos.Volume_RO
	} else {
		rest = strings.TrimSuffix(rest, ":rw")
	}
	host, inside, found := strings.Cut(rest, ":")
	if !found || inside == "" || !filepath.IsAbs(host) || strings.Contains(inside, ":") {
		return nil, usageError("--volume %q is not HOST:CONTAINER[:ro]; for example /data:/data:ro, the first an absolute path, and neither with a colon", text)
	}
	if !filepath.IsAbs(inside) && !filepath.IsLocal(inside) {
		return nil, usageError("--volume %q: %q leaves the sandbox", text, inside)
	}
	return &mesos.Volume{Mode: mode.Enum(), HostPath: &host, ContainerPath: &inside}, nil
}

// parsePersistentVolume reads --persistent_volume ID:CONTAINER_PATH:MB; nil if there is none.
func parsePersistentVolume(text string) (*run.Volume, error) {
	if text == "" {
		return nil, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" {
		return nil, usageError("--persistent_volume %q is not ID:CONTAINER_PATH:MB; for example data:/var/lib/data:512", text)
	}
	if !filepath.IsAbs(parts[1]) && !filepath.IsLocal(parts[1]) {
		return nil, usageError("--persistent_volume %q: %q leaves the sandbox", text, parts[1])
	}
	size, err := strconv.ParseFloat(parts[2], 64)
	if err != nil || !(size > 0) {
		return nil, usageError("--persistent_volume %q: %q is not a size in MB above 0", text, parts[2])
	}
	return &run.Volume{ID: parts[0], Path: parts[1], MB: size}, nil
}

// parseRlimit reads --rlimit NAME=SOFT[:HARD].
func parseRlimit(text string) (*mesos.RLimitInfo_RLimit, error) {
	name, value, found := strings.Cut(text, "=")
	kind, known := mesos.RLimitInfo_RLimit_Type_value["RLMT_"+strings.ToUpper(name)]
	if !found || !known {
		return nil, usageError("--rlimit %q is not NAME=SOFT[:HARD]; names are %s", text, strings.Join(rlimitNames(), ", "))
	}
	soft, hard, both := strings.Cut(value, ":")
	if !both {
		hard = soft
	}
	low, err := parseLimit(soft)
	if err != nil {
		return nil, usageError("--rlimit %q: %q is neither a number nor %s", text, soft, unlimited)
	}
	high, err := parseLimit(hard)
	if err != nil || high < low {
		return nil, usageError("--rlimit %q: %q is neither a number of at least %s nor %s", text, hard, soft, unlimited)
	}
	return &mesos.RLimitInfo_RLimit{Type: mesos.RLimitInfo_RLimit_Type(kind).Enum(), Soft: &low, Hard: &high}, nil
}

// unlimited is the value of a resource limit that is none, which the kernel has as the largest number.
const unlimited = "unlimited"

func parseLimit(text string) (uint64, error) {
	if text == unlimited {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

func rlimitNames() []string {
	var names []string
	for name := range mesos.RLimitInfo_RLimit_Type_value {
		if short, ok := strings.CutPrefix(name, "RLMT_"); ok {
			names = append(names, strings.ToLower(short))
		}
	}
	slices.Sort(names)
	return names
}
