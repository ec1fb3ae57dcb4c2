package run

import (
	"fmt"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/resource"
)

// Volume is a persistent volume that a run uses, and makes if the cluster has none of its id in the run's role.
type Volume struct {
	ID string
	// Path is where the command sees it: absolute, or in its sandbox.
	Path string
	// MB is its size in megabytes (2^20 bytes) when it is made.
	MB float64
}

// check says why a run cannot use the volume.
func (v *Volume) check(o Options) error {
	switch {
	case len(o.Roles) != 1:
		return fmt.Errorf("persistent volume %q: it needs one role to be reserved for, not %d", v.ID, len(o.Roles))
	case o.Roles[0] == mesos.DefaultRole:
		return fmt.Errorf("persistent volume %q: it needs a role of its own to be reserved for, not %q", v.ID, mesos.DefaultRole)
	case o.Instances != 1:
		return fmt.Errorf("persistent volume %q and %d instances: only one can use it at a time", v.ID, o.Instances)
	case !(v.MB > 0):
		return fmt.Errorf("persistent volume %q of %v MB: it must have more than 0", v.ID, v.MB)
	}
	if err := mesos.ValidateID("id of a persistent volume", v.ID); err != nil {
		return err
	}
	return mesos.ValidateVolume(&mesos.Volume{Mode: mesos.Volume_RW.Enum(), ContainerPath: &v.Path})
}

// make reserves disk of an offer and makes the volume of it.
func (v *Volume) make(o *scheduler.Offer) error {
	disk := resource.Scalar(resource.Disk, resource.Thousandths(v.MB))
	// What is reserved for the role already is as good.
	if _, err := o.CreateVolume(v.ID, v.Path, v.MB, false); err == nil {
		return nil
	}
	if _, err := o.Reserve(disk); err != nil {
		return err
	}
	_, err := o.CreateVolume(v.ID, v.Path, v.MB, false)
	return err
}

// slaves lists the slaves that have the volume, by id.
func (v *Volume) slaves(role string, agents *masterpb.Response_GetAgents) []string {
	var ids []string
	for _, a := range agents.GetAgents() {
		if total, err := resource.FromProto(a.GetTotalResources()); err == nil && !total.Volume(role, v.ID).IsEmpty() {
			ids = append(ids, a.GetAgentInfo().GetId().GetValue())
		}
	}
	return ids
}
