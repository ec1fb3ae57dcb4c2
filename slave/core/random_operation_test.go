package core

import (
	"fmt"
	"maps"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
)

// bornWith is what the slave of the random test has by itself.
const bornWith = "cpus:4;disk:1000"

// belongings are what operations should have made of a slave, and whom it should have told.
type belongings struct {
	now, durable resource.Resources // as its orders have it, and as its disk does
	directories  map[string]bool    // of volumes
	inUse        map[string]bool    // volumes that tasks were given: a master has none of these destroyed
	promised     map[string]bool    // operations that somebody waits for, "f/o": told, or to be told
	durably      map[string]bool    // the same, as the disk has it
	told         map[string]bool
	acknowledged map[string]bool
	forgotten    map[string]bool // the same, as the disk has it
	serial       int
	dead         bool // the slave, or it has not recovered yet
}

func newBelongings() *belongings {
	has := resource.MustParse(bornWith)
	return &belongings{
		now: has, durable: has, directories: map[string]bool{}, inUse: map[string]bool{}, promised: map[string]bool{},
		durably: map[string]bool{}, told: map[string]bool{}, acknowledged: map[string]bool{}, forgotten: map[string]bool{},
	}
}

// operate has a master order one of the operations that are possible now, or one that is not, or acknowledge one.
func (w *world) operate() {
	if !w.core.master.registered {
		return
	}
	b := w.belongings
	if known := sortedKeys(b.promised); len(known) > 0 && w.IntN(3) == 0 {
		key := known[w.IntN(len(known))]
		if op := w.core.operations[OperationKey{key[:2], key[3:]}]; op != nil && op.stored && string(op.status.GetUuid().GetValue()) == string(w.operated[key]) {
			b.acknowledged[key] = true
		}
		w.run("ack-operation %s", key)
		return
	}
	b.serial++
	who := "operator"
	if f := fmt.Sprintf("f%d", w.IntN(3)); !w.excused[f] && w.IntN(4) > 0 {
		who = fmt.Sprintf("%s/o%d", f, b.serial)
	}
	plain, reserved := b.now.Unreserved(), b.now.Dynamic().Filter(func(x resource.Resource) bool { return x.VolumeID() == "" })
	var volumes []string
	for x := range b.now.Volumes().All() {
		volumes = append(volumes, x.VolumeID())
	}
	volume := ""
	if len(volumes) > 0 {
		volume = volumes[w.IntN(len(volumes))]
	}
	what := ""
	switch kind := w.IntN(7); {
	case kind < 2 && plain.Get(resource.Disk) > 50*resource.Unit && plain.Get(resource.CPUs) > resource.Unit:
		what = []string{"reserve disk:50", "reserve cpus:0.5;disk:20"}[kind]
	case kind == 2 && reserved.Get(resource.Disk) > 10*resource.Unit:
		what = "unreserve disk:10"
	case kind == 3 && reserved.Get(resource.Disk) > 20*resource.Unit:
		shared := []string{"", " shared"}[w.IntN(2)]
		what = fmt.Sprintf("create disk:20 volume=v%d%s", b.serial, shared)
	case kind == 4 && volume != "" && !b.inUse[volume]:
		what = "destroy volume=" + volume
	case kind == 5 && volume != "" && reserved.Get(resource.Disk) > 5*resource.Unit && b.now.Volume("web", volume).SharedOnly().IsEmpty():
		what = "grow disk:5 volume=" + volume
	case kind == 6:
		w.run("apply %s unreserve cpus:100", who) // A master that believes what is not so is asked to compare.
		if w.core.master.registered {
			w.t.Error("the master had an operation that is not possible, and the slave does not register again")
		}
		return
	default:
		return
	}
	w.converts(who, "apply "+who+" "+what)
}

// converts carries out an order for an operation that is possible.
func (w *world) converts(who, line string) {
	b := w.belongings
	m := w.orderOf(line).(*wire.ApplyOperation)
	conversion, err := resource.Convert(m.GetOperation())
	if err != nil {
		w.t.Fatalf("%s: %v", line, err)
	}
	next, ok := conversion.Apply(b.now)
	if !ok {
		w.t.Fatalf("%s: %v is not in %v", line, conversion.From, b.now)
	}
	b.now = next
	if who != "operator" {
		b.promised[who] = true
	}
	w.run("%s", line)
}

// see keeps what comes out that is about operations.
func (b *belongings) see(w *world, o Output) {
	switch o := o.(type) {
	case MakeVolume:
		b.directories[o.ID] = true
	case RemoveVolume:
		delete(b.directories, o.ID)
	case Send:
		m, ok := o.Message.(*wire.OperationUpdate)
		if !ok {
			return
		}
		key := m.GetFrameworkId().GetValue() + "/" + m.GetStatus().GetOperationId().GetValue()
		b.told[key] = true
		if !b.durably[key] && len(w.held) > 0 {
			w.t.Errorf("operation %s is told and not on the disk", key)
		}
		if b.acknowledged[key] {
			w.t.Errorf("operation %s is told again after its acknowledgement", key)
		}
		if m.GetStatus().GetState() != mesos.OperationState_OPERATION_FINISHED {
			w.t.Errorf("operation %s is %v", key, m.GetStatus().GetState())
		}
	}
}

// check follows what the disk has, and compares.
func (b *belongings) check(w *world) {
	if b.dead {
		return
	}
	if !w.core.total.Equal(b.now) {
		w.t.Fatalf("the slave has %v, want %v", w.core.total, b.now)
	}
	if len(w.held) > 0 {
		return
	}
	b.durable = b.now
	b.durably, b.forgotten = maps.Clone(b.promised), maps.Clone(b.acknowledged)
	volumes := map[string]bool{}
	for x := range b.now.Volumes().All() {
		volumes[x.VolumeID()] = true
	}
	if !maps.Equal(volumes, b.directories) {
		w.t.Fatalf("there are directories of volumes %v, want %v", sortedKeys(b.directories), sortedKeys(volumes))
	}
}

// dies forgets what is not on the disk.
func (b *belongings) dies() {
	b.now, b.dead = b.durable, true
	b.promised, b.acknowledged = maps.Clone(b.durably), maps.Clone(b.forgotten)
}

// removed: nobody waits any more for what a framework has asked for, if the slave hears of that.
func (b *belongings) removed(w *world, framework string) {
	if w.core.master.registered && w.core.master.session == w.sessions["master"] {
		maps.DeleteFunc(b.promised, func(key string, _ bool) bool { return key[:2] == framework })
	}
}

// settle acknowledges all operations: each of them was told, and nothing is left.
func (b *belongings) settle(w *world) {
	for _, key := range sortedKeys(b.promised) {
		if !b.told[key] {
			w.t.Errorf("nobody was ever told of operation %s", key)
		}
		w.run("ack-operation %s", key)
	}
	if len(w.core.operations) > 0 || len(w.disk.Operations) > 0 {
		w.t.Errorf("left of operations: %d in the slave, %d on the disk", len(w.core.operations), len(w.disk.Operations))
	}
	dynamic, err := resource.FromProto(w.disk.Resources)
	if err != nil || !dynamic.Equal(b.now.Dynamic()) {
		w.t.Errorf("the disk has %v, %v, want %v", dynamic, err, b.now.Dynamic())
	}
}

// volumeForTask is a volume that a new task may be given; empty: none.
func (w *world) volumeForTask() string {
	var volumes []string
	for x := range w.belongings.now.Volumes().All() {
		volumes = append(volumes, x.VolumeID())
	}
	if len(volumes) == 0 || w.IntN(4) > 0 {
		return ""
	}
	id := volumes[w.IntN(len(volumes))]
	w.belongings.inUse[id] = true
	return id
}
