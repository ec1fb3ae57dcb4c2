package main

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
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
		return nil, usageError("--volume %q is not HOST:CONTAINER[:ro]; for example /data:/data:ro, the first an absolute path", text)
	}
	if !filepath.IsAbs(inside) && !filepath.IsLocal(inside) {
		return nil, usageError("--volume %q: %q leaves the sandbox", text, inside)
	}
	return &mesos.Volume{Mode: mode.Enum(), HostPath: &host, ContainerPath: &inside}, nil
}

// parseRlimit reads --rlimit NAME=SOFT[:HARD].
func parseRlimit(text string) (*mesos.RLimitInfo_RLimit, error) {
	name, value, found := strings.Cut(text, "=")
	kind, known := mesos.RLimitInfo_RLimit_Type_value["RLMT_"+strings.ToUpper(name)]
	if !found || !known {
		return nil, usageError("--rlimit %q is not NAME=SOFT[:HARD]; names are %s", text, strings.Join(rlimitNames(), ", "))
	}
	limit := &mesos.RLimitInfo_RLimit{Type: mesos.RLimitInfo_RLimit_Type(kind).Enum()}
	if value == unlimited {
		return limit, nil
	}
	soft, hard, both := strings.Cut(value, ":")
	if !both {
		hard = soft
	}
	low, err := strconv.ParseUint(soft, 10, 64)
	if err != nil {
		return nil, usageError("--rlimit %q: %q is neither a number nor %s", text, soft, unlimited)
	}
	high, err := strconv.ParseUint(hard, 10, 64)
	if err != nil || high < low {
		return nil, usageError("--rlimit %q: %q is not a number of at least %d", text, hard, low)
	}
	limit.Soft, limit.Hard = proto.Uint64(low), proto.Uint64(high)
	return limit, nil
}

// unlimited is the value of a resource limit that is none.
const unlimited = "unlimited"

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
