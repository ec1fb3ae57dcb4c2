package main

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/codec"
	"github.com/stoa-project/stoa/proto/mesos"
)

const domainUsage = "fault domain of this machine as `REGION/ZONE`, or as JSON in Mesos's form"

// parseDomain reads --domain; empty is none.
func parseDomain(text string) (*mesos.DomainInfo, error) {
	if text == "" {
		return nil, nil
	}
	domain := &mesos.DomainInfo{}
	if strings.HasPrefix(text, "{") {
		if err := codec.Unmarshal([]byte(text), domain); err != nil {
			return nil, usageError("--domain %s: %w", text, err)
		}
	} else {
		region, zone, _ := strings.Cut(text, "/")
		domain.FaultDomain = &mesos.DomainInfo_FaultDomain{
			Region: &mesos.DomainInfo_FaultDomain_RegionInfo{Name: proto.String(region)},
			Zone:   &mesos.DomainInfo_FaultDomain_ZoneInfo{Name: proto.String(zone)},
		}
	}
	if f := domain.GetFaultDomain(); f.GetRegion().GetName() == "" || f.GetZone().GetName() == "" {
		return nil, usageError("--domain %q: it must name a region and a zone, as eu/a", text)
	}
	return domain, nil
}
