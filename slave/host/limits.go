package host

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer"
)

// The limits of a container. All here is pure, but for the look at the host's own.
//
//	                 by default            if asked for
//	cpu              no ceiling            limits.cpus, or its cpus where the slave says so (--cgroups_enable_cfs)
//	memory           its mem               limits.mem; infinity is none
//	processes        DefaultPIDs           StartContainer.pids
//	of each process  the host's own        rlimit_info

// setLimits completes a spec by the limits that a request asks for.
func setLimits(spec *containerizer.Spec, start *wire.StartContainer, cfs bool) error {
	resources, err := resource.FromProto(start.GetResources())
	if err != nil {
		return fmt.Errorf("resources: %w", err)
	}
	cpus, mem := resources.Get(resource.CPUs), resources.Get(resource.Mem)
	spec.MilliCPUs = cpus
	if cfs {
		spec.MilliCPULimit = cpus
	}
	for _, name := range slices.Sorted(maps.Keys(start.GetLimits())) {
		value := start.GetLimits()[name].GetValue()
		switch name {
		case resource.CPUs:
			if spec.MilliCPULimit, err = limit(name, value, cpus); err != nil {
				return err
			}
		case resource.Mem:
			if mem, err = limit(name, value, mem); err != nil {
				return err
			}
		default:
			return fmt.Errorf("limits: there is none of %q: allowed are cpus and mem", name)
		}
	}
	spec.MemoryBytes = mem * bytesPerMiB / resource.Unit
	spec.PIDs = DefaultPIDs
	if start.GetPids() > 0 {
		spec.PIDs = int64(start.GetPids())
	}
	return nil
}

// limit is one of a request's limits in thousandths; 0 is none.
func limit(name string, value float64, has int64) (int64, error) {
	if math.IsInf(value, 1) {
		return 0, nil
	}
	thousandths := resource.Thousandths(value)
	if !(value > 0 && value <= math.MaxInt32) || thousandths < has {
		return 0, fmt.Errorf("limits: %s %v: it must be at least the %s that the task has, or infinity",
			name, value, resource.FormatThousandths(has))
	}
	return thousandths, nil
}

// rlimits are the resource limits of a container's processes.
func rlimits(info *mesos.RLimitInfo) ([]containerizer.Rlimit, error) {
	var all []containerizer.Rlimit
	for _, asked := range info.GetRlimits() {
		name := strings.ToLower(strings.TrimPrefix(asked.GetType().String(), "RLMT_"))
		number, known := rlimitNumbers()[asked.GetType()]
		switch {
		case !known:
			return nil, fmt.Errorf("rlimit of type %s: the kernel has no such limit", asked.GetType())
		case slices.ContainsFunc(all, func(other containerizer.Rlimit) bool { return other.Resource == number }):
			return nil, fmt.Errorf("rlimit %s: it is given twice", name)
		case (asked.Soft == nil) != (asked.Hard == nil):
			return nil, fmt.Errorf("rlimit %s: it must have both a soft and a hard limit, or neither for none at all", name)
		case asked.Soft == nil:
			all = append(all, containerizer.Rlimit{Resource: number, Soft: containerizer.RlimitInfinity, Hard: containerizer.RlimitInfinity})
		case asked.GetSoft() > asked.GetHard():
			return nil, fmt.Errorf("rlimit %s: its soft limit %d must not be above its hard limit %d", name, asked.GetSoft(), asked.GetHard())
		default:
			all = append(all, containerizer.Rlimit{Resource: number, Soft: asked.GetSoft(), Hard: asked.GetHard()})
		}
	}
	return all, nil
}

// withinOwn says which limit is above what the host has itself and so can't give: to raise a hard limit takes a
// privilege that commands don't have.
func withinOwn(limits []containerizer.Rlimit) error {
	for _, limit := range limits {
		var own unix.Rlimit
		if err := unix.Getrlimit(limit.Resource, &own); err != nil {
			return fmt.Errorf("rlimit %s: %w", rlimitName(limit.Resource), err)
		}
		if most := own.Max; limit.Hard > most {
			return fmt.Errorf("rlimit %s: its hard limit %s must be at most %d, the slave's own", rlimitName(limit.Resource), amount(limit.Hard), most)
		}
	}
	return nil
}

func rlimitName(number int) string {
	for kind, n := range rlimitNumbers() {
		if n == number {
			return strings.ToLower(strings.TrimPrefix(kind.String(), "RLMT_"))
		}
	}
	return fmt.Sprint(number)
}

func amount(limit uint64) string {
	if limit == containerizer.RlimitInfinity {
		return "unlimited"
	}
	return fmt.Sprint(limit)
}

// rlimitNumbers are the kernel's numbers of Mesos's limits: those of Linux on every architecture that has the generic
// ones.
func rlimitNumbers() map[mesos.RLimitInfo_RLimit_Type]int {
	return map[mesos.RLimitInfo_RLimit_Type]int{
		mesos.RLimitInfo_RLimit_RLMT_AS:         unix.RLIMIT_AS,
		mesos.RLimitInfo_RLimit_RLMT_CORE:       unix.RLIMIT_CORE,
		mesos.RLimitInfo_RLimit_RLMT_CPU:        unix.RLIMIT_CPU,
		mesos.RLimitInfo_RLimit_RLMT_DATA:       unix.RLIMIT_DATA,
		mesos.RLimitInfo_RLimit_RLMT_FSIZE:      unix.RLIMIT_FSIZE,
		mesos.RLimitInfo_RLimit_RLMT_LOCKS:      10,
		mesos.RLimitInfo_RLimit_RLMT_MEMLOCK:    unix.RLIMIT_MEMLOCK,
		mesos.RLimitInfo_RLimit_RLMT_MSGQUEUE:   12,
		mesos.RLimitInfo_RLimit_RLMT_NICE:       13,
		mesos.RLimitInfo_RLimit_RLMT_NOFILE:     unix.RLIMIT_NOFILE,
		mesos.RLimitInfo_RLimit_RLMT_NPROC:      unix.RLIMIT_NPROC,
		mesos.RLimitInfo_RLimit_RLMT_RSS:        unix.RLIMIT_RSS,
		mesos.RLimitInfo_RLimit_RLMT_RTPRIO:     14,
		mesos.RLimitInfo_RLimit_RLMT_RTTIME:     15,
		mesos.RLimitInfo_RLimit_RLMT_SIGPENDING: 11,
		mesos.RLimitInfo_RLimit_RLMT_STACK:      unix.RLIMIT_STACK,
	}
}
