package scheduler

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
)

const (
	// DefaultMaster is where a master is looked for, as HOST:PORT (Mesos's port).
	DefaultMaster = "127.0.0.1:5050"
	// DefaultConnectTimeout bounds the first connection.
	DefaultConnectTimeout = 10 * time.Second
	// DefaultReconnectTimeout bounds each outage.
	DefaultReconnectTimeout = 30 * time.Second
)

// Options say who the framework is and where its master. The zero value, with a name, is a framework of the current
// user, in role "*", of the master on this machine.
type Options struct {
	// Master is the master's HOST:PORT; "" is DefaultMaster.
	Master string
	// Name is shown to people.
	Name string
	// User runs the tasks that name none; "" is the user of this process.
	User string
	// Roles are those whose offers are wanted; none is "*".
	Roles []string
	// MinAllocatable are, by role, sets of amounts of one slave of which an offer must have one; no set at all takes any offer.
	// For roles that are not here the master's hold (`stoa master --min_allocatable_resources`).
	MinAllocatable map[string][]resource.Quantities
	// OfferConstraints are, by role, groups of conditions on slaves of which one must hold, else the master makes no offer of
	// the slave. ParseOfferConstraint reads a group.
	OfferConstraints map[string][]*OfferGroup
	// FailoverTimeout is how long tasks outlive a scheduler that has gone without Teardown.
	FailoverTimeout time.Duration
	// FrameworkID is the id of a framework that comes back: this scheduler takes over from an earlier one.
	FrameworkID string
	// FrameworkIDFile keeps the id: read at the start (and then wins over FrameworkID), written when the master gives one,
	// removed by Teardown. "" keeps nothing.
	FrameworkIDFile string
	// Checkpoint asks slaves to let tasks live on when a slave's process restarts.
	Checkpoint bool
	// Capabilities are understood by the author, besides those that the driver handles by itself: MULTI_ROLE,
	// PARTITION_AWARE, RESERVATION_REFINEMENT and TASK_KILLING_STATE.
	Capabilities []mesos.FrameworkInfo_Capability_Type
	// WebUI is a link to the framework's own page, Principal whom it is charged to.
	WebUI, Principal string
	// Labels are shown with the framework.
	Labels map[string]string
	// Files are those of this machine that tasks may have in their sandboxes; nil is none.
	Files *Files
	// ManualAcknowledge leaves acknowledgements to Driver.Acknowledge: for authors who first write an update down.
	ManualAcknowledge bool
	// ConnectTimeout and ReconnectTimeout; 0 is their default.
	ConnectTimeout, ReconnectTimeout time.Duration
	// Network replaces TCP; nil is TCP.
	Network remote.Network
	// TLS secures the connection to the master; nil: it is in the clear.
	TLS *remote.TLS
	// Log gets the driver's own messages; the zero value logs nothing.
	Log zerolog.Logger
}

// withDefaults fills in what is not set, and says what can not be.
func (o Options) withDefaults() (Options, error) {
	if o.Master == "" {
		o.Master = DefaultMaster
	}
	if err := checkAddress(o.Master); err != nil {
		return o, err
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	if o.ReconnectTimeout == 0 {
		o.ReconnectTimeout = DefaultReconnectTimeout
	}
	for name, d := range map[string]time.Duration{"FailoverTimeout": o.FailoverTimeout, "ConnectTimeout": o.ConnectTimeout, "ReconnectTimeout": o.ReconnectTimeout} {
		if d < 0 {
			return o, fmt.Errorf("%s is %s: it must not be negative", name, d)
		}
	}
	if len(o.Roles) == 0 {
		o.Roles = []string{mesos.DefaultRole}
	}
	for what, roles := range map[string][]string{"MinAllocatable": sortedKeys(o.MinAllocatable), "OfferConstraints": sortedKeys(o.OfferConstraints)} {
		for _, role := range roles {
			if !slices.Contains(o.Roles, role) {
				return o, fmt.Errorf("%s of role %q: it is none of the framework's roles %q", what, role, o.Roles)
			}
		}
	}
	if o.User == "" {
		current, err := user.Current()
		if err != nil {
			return o, fmt.Errorf("find out who runs this: %w", err)
		}
		o.User = current.Username
	}
	return o, nil
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if n, bad := strconv.Atoi(port); err != nil || host == "" || bad != nil || n < 1 || n > 65535 {
		return fmt.Errorf("master address %q: wanted HOST:PORT, as in %s", address, DefaultMaster)
	}
	return nil
}

// info introduces the framework to the master.
func (o Options) info(frameworkID string) (*mesos.FrameworkInfo, error) {
	info := &mesos.FrameworkInfo{
		User:            proto.String(o.User),
		Name:            proto.String(o.Name),
		Roles:           o.Roles,
		FailoverTimeout: proto.Float64(o.FailoverTimeout.Seconds()),
		Checkpoint:      proto.Bool(o.Checkpoint),
		Labels:          labels(o.Labels),
	}
	if hostname, err := os.Hostname(); err == nil { // only shown
		info.Hostname = proto.String(hostname)
	}
	if frameworkID != "" {
		info.Id = mesos.NewFrameworkID(frameworkID)
	}
	if o.WebUI != "" {
		info.WebuiUrl = proto.String(o.WebUI)
	}
	if o.Principal != "" {
		info.Principal = proto.String(o.Principal)
	}
	for role, sets := range o.MinAllocatable {
		if info.OfferFilters == nil {
			info.OfferFilters = map[string]*mesos.OfferFilters{}
		}
		info.OfferFilters[role] = &mesos.OfferFilters{MinAllocatableResources: minAllocatable(sets)}
	}
	for _, c := range append(ownCapabilities(), o.Capabilities...) {
		if !mesos.HasCapability(info, c) {
			info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
		}
	}
	return info, mesos.ValidateFrameworkInfo(info)
}

func minAllocatable(sets []resource.Quantities) *mesos.OfferFilters_MinAllocatableResources {
	m := &mesos.OfferFilters_MinAllocatableResources{}
	for _, set := range sets {
		amounts := map[string]*mesos.Value_Scalar{}
		for _, q := range set {
			amounts[q.Name] = &mesos.Value_Scalar{Value: proto.Float64(resource.Float(q.Thousandths))}
		}
		m.Quantities = append(m.Quantities, &mesos.OfferFilters_ResourceQuantities{Quantities: amounts})
	}
	return m
}

// constraints are OfferConstraints as the master is told them; nil if there are none.
func (o Options) constraints() *schedulerpb.OfferConstraints {
	if len(o.OfferConstraints) == 0 {
		return nil
	}
	m := &schedulerpb.OfferConstraints{RoleConstraints: map[string]*schedulerpb.OfferConstraints_RoleConstraints{}}
	for role, groups := range o.OfferConstraints {
		m.RoleConstraints[role] = &schedulerpb.OfferConstraints_RoleConstraints{Groups: groups}
	}
	return m
}

// ownCapabilities are what the driver, its tracker and Offer.Take handle.
func ownCapabilities() []mesos.FrameworkInfo_Capability_Type {
	return []mesos.FrameworkInfo_Capability_Type{
		mesos.FrameworkInfo_Capability_MULTI_ROLE,
		mesos.FrameworkInfo_Capability_PARTITION_AWARE,
		mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT,
		mesos.FrameworkInfo_Capability_SHARED_RESOURCES,
		mesos.FrameworkInfo_Capability_TASK_KILLING_STATE,
	}
}
