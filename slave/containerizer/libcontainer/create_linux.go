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

// stateFile is what libcontainer calls its memory of a container, in the directory of its id.
const stateFile = "state.json"

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
	state := struct {
		runc.State
		CgroupPaths map[string]string `json:"cgroup_paths"` // written although it is empty
	}{State: runc.State{BaseState: runc.BaseState{ID: id, Config: config}}, CgroupPaths: map[string]string{}}
	data, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, id)
	if err := os.Mkdir(dir, 0o711); err != nil {
		return nil, err
	}
	if err = os.WriteFile(filepath.Join(dir, stateFile), data, 0o600); err == nil {
		var made *runc.Container
		if made, err = runc.Load(root, id); err == nil {
			return made, nil
		}
	}
	return nil, errors.Join(err, os.RemoveAll(dir))
}
