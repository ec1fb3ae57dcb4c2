package resource

import (
	"errors"
	"fmt"
	"unique"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
)

// Conversion is what an operation makes of resources: From becomes To. Neither is allocated to anybody.
type Conversion struct{ From, To Resources }

// Apply returns r with From in it replaced by To, and true; r and false if From is not in it.
func (c Conversion) Apply(r Resources) (Resources, bool) {
	rest, ok := r.Sub(c.From)
	if !ok {
		return r, false
	}
	return rest.Add(c.To), true
}

// Convert reads an operation on resources: RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME or SHRINK_VOLUME. The error
// says what in the operation itself makes no sense, for whoever sent it; whether From is there to be converted, and
// whether the sender may do so, is for the caller to find out.
func Convert(operation *mesos.Offer_Operation) (Conversion, error) {
	switch operation.GetType() {
	case mesos.Offer_Operation_RESERVE:
		return convertReserve(operation.GetReserve())
	case mesos.Offer_Operation_UNRESERVE:
		return convertUnreserve(operation.GetUnreserve())
	case mesos.Offer_Operation_CREATE:
		return convertCreate(operation.GetCreate())
	case mesos.Offer_Operation_DESTROY:
		return convertDestroy(operation.GetDestroy())
	case mesos.Offer_Operation_GROW_VOLUME:
		return convertGrow(operation.GetGrowVolume())
	case mesos.Offer_Operation_SHRINK_VOLUME:
		return convertShrink(operation.GetShrinkVolume())
	default:
		return Conversion{}, fmt.Errorf("%v is no operation on resources", operation.GetType())
	}
}

// operands reads the resources of an operation, of which there must be some.
func operands(list []*mesos.Resource) (Resources, error) {
	r, err := FromProto(list)
	if err == nil && r.IsEmpty() {
		err = errors.New("it names no resources: there must be at least one")
	}
	return r.Unallocate(), err
}

func convertReserve(m *mesos.Offer_Operation_Reserve) (Conversion, error) {
	to, err := operands(m.GetResources())
	if err != nil {
		return Conversion{}, err
	}
	for x := range to.All() {
		switch {
		case !x.isDynamic():
			return Conversion{}, fmt.Errorf("%v is not dynamically reserved: its last reservation must be DYNAMIC", x)
		case x.VolumeID() != "":
			return Conversion{}, fmt.Errorf("%v is a persistent volume: only what it is made of can be reserved", x)
		case x.Revocable():
			return Conversion{}, fmt.Errorf("%v is revocable: what may be taken away cannot be reserved", x)
		}
	}
	from := to.mapAll(Resource.unreserve)
	if len(m.GetSource()) == 0 {
		return Conversion{from, to}, nil
	}
	source, err := operands(m.GetSource())
	if err != nil {
		return Conversion{}, fmt.Errorf("source: %w", err)
	}
	if plain := source.mapAll(Resource.original); !plain.Equal(to.mapAll(Resource.original)) {
		return Conversion{}, fmt.Errorf("source %v is not what %v is made of", source, to)
	}
	for x := range source.All() {
		if x.VolumeID() != "" {
			return Conversion{}, fmt.Errorf("source %v is a persistent volume: it must be destroyed first", x)
		}
	}
	return Conversion{source, to}, nil
}

func convertUnreserve(m *mesos.Offer_Operation_Unreserve) (Conversion, error) {
	from, err := operands(m.GetResources())
	if err != nil {
		return Conversion{}, err
	}
	for x := range from.All() {
		switch {
		case x.VolumeID() != "":
			return Conversion{}, fmt.Errorf("persistent volume %q cannot be unreserved: destroy it first, then unreserve what it was made of", x.VolumeID())
		case !x.isDynamic():
			return Conversion{}, fmt.Errorf("%v is not dynamically reserved: only a reservation made while the slave runs can be undone", x)
		}
	}
	return Conversion{from, from.mapAll(Resource.unreserve)}, nil
}

func convertCreate(m *mesos.Offer_Operation_Create) (Conversion, error) {
	to, err := operands(m.GetVolumes())
	if err != nil {
		return Conversion{}, err
	}
	seen := map[volumeKey]bool{}
	for x := range to.All() {
		if err := x.checkVolume(); err != nil {
			return Conversion{}, err
		}
		if key := x.volumeKey(); seen[key] || x.Copies() > 1 {
			return Conversion{}, fmt.Errorf("persistent volume %q is created twice: its id must be unique in role %q", x.VolumeID(), x.Role())
		} else {
			seen[key] = true
		}
	}
	return Conversion{to.mapAll(Resource.withoutVolume), to}, nil
}

// checkVolume reports why x cannot be created as a persistent volume.
func (r Resource) checkVolume() error {
	if r.VolumeID() == "" {
		return fmt.Errorf("%v is no persistent volume: disk.persistence must be set", r)
	}
	volume := r.Disk().GetVolume()
	switch {
	case volume == nil:
		return fmt.Errorf("persistent volume %q has no disk.volume: it must say the container_path", r.VolumeID())
	case volume.HostPath != nil || volume.GetSource() != nil || volume.GetImage() != nil:
		return fmt.Errorf("persistent volume %q has a host_path, source or image: where it is on the machine is the slave's to say", r.VolumeID())
	case volume.GetMode() != mesos.Volume_RW:
		return fmt.Errorf("persistent volume %q has mode %v: it must be created with RW", r.VolumeID(), volume.GetMode())
	case r.Disk().GetSource() != nil:
		return fmt.Errorf("persistent volume %q is on a disk of source %v: slaves here make volumes on their own disk only", r.VolumeID(), r.Disk().GetSource().GetType())
	}
	if err := mesos.ValidateVolume(volume); err != nil {
		return fmt.Errorf("persistent volume %q: %w", r.VolumeID(), err)
	}
	return nil
}

func convertDestroy(m *mesos.Offer_Operation_Destroy) (Conversion, error) {
	from, err := operands(m.GetVolumes())
	if err != nil {
		return Conversion{}, err
	}
	for x := range from.All() {
		if x.VolumeID() == "" {
			return Conversion{}, fmt.Errorf("%v is no persistent volume: only those can be destroyed", x)
		}
	}
	from = from.Once()
	return Conversion{from, from.mapAll(Resource.withoutVolume)}, nil
}

func convertGrow(m *mesos.Offer_Operation_GrowVolume) (Conversion, error) {
	volume, err := resizable(m.GetVolume())
	if err != nil {
		return Conversion{}, err
	}
	addition, err := operands([]*mesos.Resource{m.GetAddition()})
	if err != nil {
		return Conversion{}, fmt.Errorf("addition: %w", err)
	}
	if x := addition.list[0]; x.id != volume.withoutVolume().id {
		return Conversion{}, fmt.Errorf("addition %v is not disk like that of the volume, %v: reservations and source must be the same", x, volume.withoutVolume())
	}
	grown := volume.resize(volume.Thousandths() + addition.Get(Disk))
	return Conversion{Of(volume).Add(addition), Of(grown)}, nil
}

func convertShrink(m *mesos.Offer_Operation_ShrinkVolume) (Conversion, error) {
	volume, err := resizable(m.GetVolume())
	if err != nil {
		return Conversion{}, err
	}
	size, subtract := volume.Thousandths(), Thousandths(m.GetSubtract().GetValue())
	if subtract <= 0 || subtract >= size {
		return Conversion{}, fmt.Errorf("persistent volume %q of %s cannot shrink by %v: allowed is more than 0 and less than all",
			volume.VolumeID(), FormatThousandths(size), m.GetSubtract().GetValue())
	}
	freed := volume.withoutVolume()
	freed.amount = subtract
	return Conversion{Of(volume), Of(volume.resize(size - subtract)).Add(Of(freed))}, nil
}

// resizable reads a volume whose size can change.
func resizable(m *mesos.Resource) (Resource, error) {
	r, err := operands([]*mesos.Resource{m})
	if err != nil {
		return Resource{}, fmt.Errorf("volume: %w", err)
	}
	switch volume := r.list[0]; {
	case volume.VolumeID() == "":
		return Resource{}, fmt.Errorf("%v is no persistent volume: only those grow and shrink", volume)
	case volume.Shared():
		return Resource{}, fmt.Errorf("persistent volume %q is shared: its size is fixed", volume.VolumeID())
	case volume.Disk().GetSource() != nil:
		return Resource{}, fmt.Errorf("persistent volume %q is on a disk of source %v: its size is fixed", volume.VolumeID(), volume.Disk().GetSource().GetType())
	default:
		return volume, nil
	}
}

// volumeKey names a persistent volume on a slave.
type volumeKey struct{ role, id string }

func (r Resource) volumeKey() volumeKey { return volumeKey{r.Role(), r.VolumeID()} }

// Volumes returns the persistent volumes.
func (r Resources) Volumes() Resources {
	return r.Filter(func(x Resource) bool { return x.VolumeID() != "" })
}

// Volume returns the persistent volume of this role and id, empty if there is none.
func (r Resources) Volume(role, id string) Resources {
	return r.Filter(func(x Resource) bool { return id != "" && x.volumeKey() == volumeKey{role, id} })
}

// Dynamic returns what is not as it was when the slave started: what operations have reserved or made volumes of.
func (r Resources) Dynamic() Resources {
	return r.Filter(func(x Resource) bool { return x.isDynamic() || x.VolumeID() != "" })
}

// Original returns the resources as they were when the slave started, before any operation.
func (r Resources) Original() Resources { return r.mapAll(Resource.original) }

// Reserve returns the resources with one more dynamic reservation each, on top of those that they have.
func (r Resources) Reserve(reservation Reservation) Resources {
	reservation.Dynamic = true
	return r.mapAll(func(x Resource) Resource { return x.withReservations(append(x.Reservations(), reservation)) })
}

// Exclusive returns what only one can use at a time.
func (r Resources) Exclusive() Resources {
	return r.Filter(func(x Resource) bool { return !x.Shared() })
}

// SharedOnly returns the shared volumes.
func (r Resources) SharedOnly() Resources {
	return r.Filter(Resource.Shared)
}

// Once returns the resources with one copy each of what is shared.
func (r Resources) Once() Resources {
	return r.mapAll(func(x Resource) Resource {
		if x.Shared() {
			x.amount = 1
		}
		return x
	})
}

// Like returns those resources of r of which some are in other, whatever the amount.
func (r Resources) Like(other Resources) Resources {
	ids := map[unique.Handle[identity]]bool{}
	for _, x := range other.list {
		ids[x.id] = true
	}
	return r.Filter(func(x Resource) bool { return ids[x.id] })
}

// NewVolume makes a persistent volume of reserved disk, one amount of it, for a task to see at containerPath. It panics
// if that is not disk which can be divided.
func NewVolume(disk Resources, id, principal, containerPath string, shared bool) Resources {
	if len(disk.list) != 1 || disk.list[0].Name() != Disk || !disk.list[0].Divisible() {
		panic(fmt.Sprintf("resource: no volume can be made of %v", disk))
	}
	return Of(disk.list[0].edit(func(m *mesos.Resource) {
		persistence := &mesos.Resource_DiskInfo_Persistence{Id: &id}
		if principal != "" {
			persistence.Principal = &principal
		}
		m.Disk = &mesos.Resource_DiskInfo{
			Persistence: persistence, Volume: &mesos.Volume{Mode: mesos.Volume_RW.Enum(), ContainerPath: &containerPath},
		}
		if shared {
			m.Shared = &mesos.Resource_SharedInfo{}
		}
	}))
}

// At returns persistent volumes with another container path: each task chooses where it sees them.
func (r Resources) At(containerPath string, mode mesos.Volume_Mode) Resources {
	return r.mapAll(func(x Resource) Resource {
		copies := x.amount
		x = x.edit(func(m *mesos.Resource) {
			m.Disk.Volume = &mesos.Volume{Mode: mode.Enum(), ContainerPath: &containerPath}
		})
		x.amount = copies
		return x
	})
}

// Of returns the resource alone.
func Of(r Resource) Resources { return collect([]Resource{r}) }

func (r Resources) mapAll(change func(Resource) Resource) Resources {
	list := make([]Resource, len(r.list))
	for i, x := range r.list {
		list[i] = change(x)
	}
	return collect(list)
}

// isDynamic reports whether the last reservation can be undone.
func (r Resource) isDynamic() bool {
	stack := r.Reservations()
	return len(stack) > 0 && stack[len(stack)-1].Dynamic
}

// unreserve takes the last reservation away.
func (r Resource) unreserve() Resource {
	stack := r.Reservations()
	return r.withReservations(stack[:len(stack)-1])
}

// original takes away all that operations have made.
func (r Resource) original() Resource {
	r = r.withoutVolume()
	stack := r.Reservations()
	for len(stack) > 0 && stack[len(stack)-1].Dynamic {
		stack = stack[:len(stack)-1]
	}
	return r.withReservations(stack)
}

func (r Resource) withReservations(stack []Reservation) Resource {
	copies := Of(r).reidentify(func(id *identity) {
		id.reservations, id.role = encodeReservations(stack), Unreserved
		if len(stack) > 0 {
			id.role = stack[len(stack)-1].Role
		}
	})
	return copies.list[0]
}

// withoutVolume is what a persistent volume is made of; anything else is that itself.
func (r Resource) withoutVolume() Resource {
	if r.VolumeID() == "" {
		return r
	}
	return r.edit(func(m *mesos.Resource) {
		m.Shared = nil
		if m.Disk.Persistence, m.Disk.Volume = nil, nil; m.Disk.Source == nil {
			m.Disk = nil
		}
	})
}

func (r Resource) resize(thousandths int64) Resource {
	return r.edit(func(m *mesos.Resource) { m.Scalar.Value = proto.Float64(Float(thousandths)) })
}

// edit changes one piece of r by way of its message.
func (r Resource) edit(change func(*mesos.Resource)) Resource {
	m := r.toProtoRefined()
	change(m)
	edited, err := fromProto(m)
	if err != nil {
		panic("resource: " + err.Error())
	}
	return edited
}
