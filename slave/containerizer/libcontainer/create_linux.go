//go:build cgo

package libcontainer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/opencontainers/cgroups"
	runc "github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/configs/validate"
)

// noProcess, as a process id, has a cgroup made and nothing put into it.
const noProcess = -1

// createWithoutCgroups is libcontainer's Create of a container whose cgroups are none of its business. Create has no
// word for that; but the state of a container may say that there are none, as that of one without root's rights does, and
// Load takes it as it is.
func createWithoutCgroups(root, id string, config configs.Config) (*runc.Container, error) {
	// Rootless: that the limits of devices can't be set is no error.
	config.Cgroups = &cgroups.Cgroup{Rootless: true, Resources: &cgroups.Resources{}}
	if err := validate.Validate(&config); err != nil {
		return nil, err
	}
	dir := filepath.Join(root, id)
	if err := os.Mkdir(dir, 0o711); err != nil {
		return nil, err
	}
	made, err := loadStateWithoutCgroups(root, id, runc.State{BaseState: runc.BaseState{ID: id, Config: config}})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return made, nil
}

// loadWithoutCgroups is libcontainer's Load of what createWithoutCgroups has made and libcontainer has started.
func loadWithoutCgroups(root, id string) (*runc.Container, error) {
	data, err := os.ReadFile(statePath(root, id))
	if err != nil {
		return nil, err
	}
	var state runc.State
	if err := json.Unmarshal(data, &state); err != nil {
		return nil, err
	}
	return loadStateWithoutCgroups(root, id, state)
}

// loadStateWithoutCgroups says in the state that there are no cgroups, which libcontainer itself leaves out when it writes,
// and takes for unknown when it reads.
func loadStateWithoutCgroups(root, id string, state runc.State) (*runc.Container, error) {
	data, err := json.Marshal(struct {
		runc.State
		CgroupPaths map[string]string `json:"cgroup_paths"`
	}{state, map[string]string{}})
	if err != nil {
		return nil, err
	}
	// Another command may be entering at this moment.
	whole, err := os.CreateTemp(filepath.Join(root, id), "state-")
	if err != nil {
		return nil, err
	}
	_, err = whole.Write(data)
	if err := errors.Join(err, whole.Close(), os.Rename(whole.Name(), statePath(root, id))); err != nil {
		return nil, err
	}
	return runc.Load(root, id)
}

// statePath is where libcontainer keeps the state of a container.
func statePath(root, id string) string { return filepath.Join(root, id, "state.json") }
