//go:build cgo

package libcontainer

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stoa-project/stoa/slave/containerizer"
)

// A volume may be asked for at a path that does not exist. Below something of
// the container's own (a tmpfs, the sandbox, another volume, the root itself) its
// mount point is simply made. Elsewhere it would have to be made on the machine,
// which is not ours to change: then the nearest directory that exists is covered
// by an overlay of itself and of the missing mount points.

// lookup tells what a path of the machine is, without following a last link:
// its mode, and its target if it is a link.
type lookup func(path string) (mode fs.FileMode, target string, err error)

// placement says how the mount point of one volume comes about.
type placement struct {
	root string // the name in / that has to be made first, or ""
	over string // the directory that needs an overlay, or ""
	path string // the mount point, relative to over
}

// place finds out how the mount point at comes about. own lists the paths below
// which everything is the container's own. real is the path that at leads to by
// the links of the machine.
func place(at string, directory bool, own []string, look lookup) (where placement, real string, err error) {
	pending := strings.Split(strings.Trim(at, "/"), "/")
	here := "/"
	for links := 0; len(pending) > 0; {
		next := filepath.Join(here, pending[0])
		if belowAny(next, own) {
			return placement{}, filepath.Join(next, filepath.Join(pending[1:]...)), nil
		}
		mode, target, err := look(next)
		switch {
		case isMissing(err) && here == "/":
			return placement{root: pending[0]}, "/" + filepath.Join(pending...), nil
		case isMissing(err):
			missing := filepath.Join(pending...)
			return placement{over: here, path: missing}, filepath.Join(here, missing), nil
		case err != nil:
			return placement{}, "", err
		case mode&fs.ModeSymlink != 0:
			if links++; links > maxLinks {
				return placement{}, "", fmt.Errorf("%s: more than %d symbolic links", at, maxLinks)
			}
			if filepath.IsAbs(target) {
				here = "/"
			}
			pending = append(split(target), pending[1:]...)
			for len(pending) > 0 && pending[0] == ".." {
				here, pending = filepath.Dir(here), pending[1:]
			}
			continue
		case !mode.IsDir() && len(pending) > 1:
			return placement{}, "", fmt.Errorf("%s is a file of the machine: no mount point can be made below it", next)
		case len(pending) == 1 && mode.IsDir() != directory:
			return placement{}, "", fmt.Errorf("%s is a %s on the machine: only the same kind can be mounted there", next, kindOf(mode))
		}
		here, pending = next, pending[1:]
		for len(pending) > 0 && pending[0] == ".." {
			here, pending = filepath.Dir(here), pending[1:]
		}
	}
	return placement{}, here, nil
}

// covered is what a container needs and would not have with a volume at a path
// inside, or "".
func covered(at, sandbox string) string {
	if below(at, "/var/run") {
		at = strings.TrimPrefix(at, "/var") // a link, on most machines
	}
	if below(at, "/proc") {
		return "/proc"
	}
	for _, needed := range []string{"/dev", BinaryPath, sandbox} {
		if below(needed, at) && at != sandbox {
			return needed
		}
	}
	return ""
}

func split(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(part string) bool { return part == "" || part == "." })
}

// placed is what all volumes of a container need.
type placed struct {
	volumes  []containerizer.Volume
	roots    []rootPoint
	overlays []overlay
}

// rootPoint is a mount point directly in /, or the directory that leads to one.
type rootPoint struct {
	name      string
	directory bool
}

// placeVolumes orders the volumes so that none covers another and says which
// mount points have to be made. isDirectory tells what a HostPath is.
func placeVolumes(spec containerizer.Spec, own []string, look lookup, isDirectory func(path string) (bool, error)) (placed, error) {
	var result placed
	for _, volume := range spec.Volumes {
		volume.HostPath, volume.ContainerPath = filepath.Clean(volume.HostPath), spec.At(volume)
		result.volumes = append(result.volumes, volume)
	}
	// A parent is a prefix of its children, so it sorts before them.
	slices.SortStableFunc(result.volumes, func(a, b containerizer.Volume) int {
		return strings.Compare(a.ContainerPath, b.ContainerPath)
	})
	own = slices.Clone(own)
	for _, volume := range result.volumes {
		fail := func(err error) (placed, error) {
			return placed{}, &containerizer.StartError{ID: spec.ID, Step: "volume " + volume.ContainerPath, Err: err}
		}
		directory, err := isDirectory(volume.HostPath)
		if err != nil {
			return fail(err)
		}
		where, real, err := place(volume.ContainerPath, directory, own, look)
		if err != nil {
			return fail(err)
		}
		if needed := covered(real, spec.Sandbox); needed != "" {
			return fail(fmt.Errorf("it would cover %s, which a container needs", needed))
		}
		own = append(own, volume.ContainerPath)
		if where.root != "" {
			leads := "/"+where.root != volume.ContainerPath
			result.roots = append(result.roots, rootPoint{name: where.root, directory: directory || leads})
			own = append(own, "/"+where.root)
		}
		if where.over != "" {
			result.overlays = addPoint(result.overlays, where.over, point{path: where.path, directory: directory})
		}
	}
	return result, nil
}

func addPoint(overlays []overlay, at string, add point) []overlay {
	return addOverlay(overlays, at, func(o *overlay) { o.create = append(o.create, add) })
}

func addOverlay(overlays []overlay, at string, add func(*overlay)) []overlay {
	i := slices.IndexFunc(overlays, func(o overlay) bool { return o.at == at })
	if i < 0 {
		i = len(overlays)
		overlays = append(overlays, overlay{at: at})
	}
	add(&overlays[i])
	// One may lie below another: the outer one is mounted first.
	slices.SortFunc(overlays, func(a, b overlay) int { return strings.Compare(a.at, b.at) })
	return overlays
}

// withoutFiles takes the names of hidden files from their directories. A mask alone
// lies over one file: when another takes its name, as renewed keys do, the kernel
// drops the mask and shows that. In / there are no names of the machine's, only
// mounts.
func withoutFiles(overlays []overlay, hidden []string) []overlay {
	for _, file := range hidden {
		if at := filepath.Dir(file); at != "/" {
			overlays = addOverlay(overlays, at, func(o *overlay) { o.without = append(o.without, filepath.Base(file)) })
		}
	}
	return overlays
}

// guardVolumes resolves where the volumes of a spec come from, and keeps hidden
// what is: one that lies in it is refused, and where one has it below itself it
// is to be masked. hidden are real paths. What the slave itself shows a container
// of its own is left alone.
func guardVolumes(spec containerizer.Spec, hidden []string, resolve func(path string) (string, error)) (guarded containerizer.Spec, masked []string, err error) {
	spec.Volumes = slices.Clone(spec.Volumes)
	for i := range spec.Volumes {
		volume := &spec.Volumes[i]
		if volume.Own {
			continue
		}
		source, err := resolve(volume.HostPath)
		if err != nil {
			return spec, nil, &containerizer.StartError{ID: spec.ID, Step: "volume " + spec.At(*volume), Err: err}
		}
		if belowAny(source, hidden) {
			return spec, nil, &containerizer.SpecError{
				Field: fmt.Sprintf("Volumes[%d].HostPath", i), Value: volume.HostPath, Allowed: "a path that leads to nothing of the slave's own, and to no processes",
			}
		}
		for _, path := range hidden {
			if below(path, source) {
				masked = append(masked, filepath.Join(spec.At(*volume), strings.TrimPrefix(path, source)))
			}
		}
		volume.HostPath = source
	}
	return spec, masked, nil
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// escapeOverlay writes a path as overlayfs reads it in lowerdir=: a colon
// separates layers and a comma options, unless a backslash stands before it.
func escapeOverlay(path string) string {
	return strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace(path)
}
