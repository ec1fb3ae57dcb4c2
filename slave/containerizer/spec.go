package containerizer

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Check says what is wrong with spec, as a *SpecError, or nil. It looks at the
// values alone, not at the machine.
func (spec Spec) Check() error {
	wrong := func(field, value, allowed string) error {
		return &SpecError{Field: field, Value: value, Allowed: allowed}
	}
	switch {
	case !ValidID(spec.ID):
		return wrong("ID", spec.ID, fmt.Sprintf("1 to %d of A-Z a-z 0-9 _ + - . and neither . nor ..", MaxIDLength))
	case !absolute(spec.Sandbox) || filepath.Clean(spec.Sandbox) == "/":
		return wrong("Sandbox", spec.Sandbox, "an absolute path below /")
	case len(spec.Args) == 0 || len(spec.Args) > MaxArgs:
		return wrong("Args", fmt.Sprint(len(spec.Args)), fmt.Sprintf("1 to %d arguments", MaxArgs))
	case len(spec.Env) > MaxEnv:
		return wrong("Env", fmt.Sprint(len(spec.Env)), fmt.Sprintf("at most %d entries", MaxEnv))
	case len(spec.Volumes) > MaxVolumes:
		return wrong("Volumes", fmt.Sprint(len(spec.Volumes)), fmt.Sprintf("at most %d", MaxVolumes))
	case len(spec.Rlimits) > MaxRlimits:
		return wrong("Rlimits", fmt.Sprint(len(spec.Rlimits)), fmt.Sprintf("at most %d", MaxRlimits))
	case spec.Command() == "":
		return wrong("Args[0]", "", "a command")
	case strings.IndexByte(spec.Executable, 0) >= 0:
		return wrong("Executable", spec.Executable, "free of NUL bytes")
	case spec.MilliCPUs < 0:
		return wrong("MilliCPUs", fmt.Sprint(spec.MilliCPUs), "0 or more")
	case spec.MilliCPULimit < 0:
		return wrong("MilliCPULimit", fmt.Sprint(spec.MilliCPULimit), "0 or more")
	case spec.MemoryBytes < 0:
		return wrong("MemoryBytes", fmt.Sprint(spec.MemoryBytes), "0 or more")
	case spec.PIDs < 0:
		return wrong("PIDs", fmt.Sprint(spec.PIDs), "0 or more")
	}
	for i, arg := range spec.Args {
		if strings.IndexByte(arg, 0) >= 0 {
			return wrong(fmt.Sprintf("Args[%d]", i), arg, "free of NUL bytes")
		}
	}
	for i, entry := range spec.Env {
		if strings.IndexByte(entry, '=') < 1 || strings.IndexByte(entry, 0) >= 0 {
			return wrong(fmt.Sprintf("Env[%d]", i), entry, "KEY=VALUE without NUL bytes")
		}
	}
	for i, limit := range spec.Rlimits {
		if limit.Resource < 0 || limit.Resource >= MaxRlimits {
			return wrong(fmt.Sprintf("Rlimits[%d].Resource", i), fmt.Sprint(limit.Resource), fmt.Sprintf("0 to %d", MaxRlimits-1))
		}
		if limit.Soft > limit.Hard {
			return wrong(fmt.Sprintf("Rlimits[%d].Soft", i), fmt.Sprint(limit.Soft), fmt.Sprintf("at most Hard, which is %d", limit.Hard))
		}
	}
	for i, volume := range spec.Volumes {
		if !absolute(volume.HostPath) {
			return wrong(fmt.Sprintf("Volumes[%d].HostPath", i), volume.HostPath, "an absolute path")
		}
		if at := spec.At(volume); strings.IndexByte(at, 0) >= 0 || volume.ContainerPath == "" || at == "/" {
			return wrong(fmt.Sprintf("Volumes[%d].ContainerPath", i), volume.ContainerPath, "a path below /")
		}
	}
	return nil
}

// Command is what is executed.
func (spec Spec) Command() string {
	if spec.Executable == "" && len(spec.Args) > 0 {
		return spec.Args[0]
	}
	return spec.Executable
}

// At is the absolute, cleaned path inside at which volume is seen.
func (spec Spec) At(volume Volume) string {
	if filepath.IsAbs(volume.ContainerPath) {
		return filepath.Clean(volume.ContainerPath)
	}
	return filepath.Join(spec.Sandbox, volume.ContainerPath)
}

// ValidID reports whether id may name a container, or a host.
func ValidID(id string) bool {
	if id == "" || len(id) > MaxIDLength || id == "." || id == ".." {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '_', c == '+', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

func absolute(path string) bool {
	return filepath.IsAbs(path) && strings.IndexByte(path, 0) < 0
}
