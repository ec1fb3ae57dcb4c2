// Package checkpoint is what a slave keeps on its disk. The work_dir of a slave is this tree; S, F, E, C are the ids of
// slave, framework, executor and container:
//
//	work_dir/
//	├── slaves/S/frameworks/F/executors/E/runs/
//	│   ├── C/                  a sandbox: its task's, 0750, owned by whom the task runs as
//	│   └── latest → C          the last run
//	├── volumes/roles/R/V/      a persistent volume, from its CREATE until its DESTROY; slashes of the role are blanks
//	├── meta/                   nobody's but the slave's and its hosts'
//	│   ├── slaves/S/frameworks/F/executors/E/runs/C/
//	│   │   └── exit            how the container ended; only the host writes it
//	│   ├── secret              by which a master knows the slave again, 0600
//	│   ├── hosts/H/secret      by which host H proves itself, 0600
//	│   └── discarded/N         persistent volumes that are being deleted
//	└── …
//
// What Store holds will live below meta as well: slaves/latest → S, slave.info, framework.info, executor.info,
// task.info and task.updates, at the place in the tree of what they describe.
//
// Everything below slaves is made, read and removed through os.Root, and every id is checked before it becomes a name,
// so that nothing a framework or a task does leads out of the tree.
package checkpoint

import (
	"sync"

	"github.com/stoa-project/stoa/slave/core"
)

// Store is where a slave's checkpoint is kept.
type Store interface {
	// Load returns all that was written; the zero Checkpoint if nothing ever was.
	Load() (core.Checkpoint, error)
	// Write makes changes durable, in their order, all or none.
	Write(changes []core.Change) error
}

// Memory is a Store that lives as long as the slave's process: it survives the slave's actor, not more. The zero value
// is empty and ready.
type Memory struct {
	mu      sync.Mutex
	content core.Checkpoint
}

// Load returns what was written. The caller may change it.
func (m *Memory) Load() (core.Checkpoint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.content.Clone(), nil
}

// Write applies changes. An error means that a change contradicts what was written before.
func (m *Memory) Write(changes []core.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, change := range changes {
		if err := m.content.Apply(change); err != nil {
			return err
		}
	}
	return nil
}
