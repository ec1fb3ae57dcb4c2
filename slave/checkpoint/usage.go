package checkpoint

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/stoa-project/stoa/slave/disk"
)

// SandboxUsage is what a sandbox takes.
type SandboxUsage struct {
	Run Run
	disk.Usage
}

// Sandboxes measures all sandboxes below a work_dir. No link is followed, whatever tasks do to their sandboxes meanwhile; what
// can't be read is left out. It ends early with the error of ctx.
func Sandboxes(ctx context.Context, workDir string) ([]SandboxUsage, error) {
	root, err := os.OpenRoot(workDir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var all []SandboxUsage
	runs, err := fs.Glob(root.FS(), "slaves/*/frameworks/*/executors/*/runs/*")
	if err != nil {
		return nil, err
	}
	for _, path := range runs {
		info, err := root.Lstat(path)
		if err != nil || !info.IsDir() {
			continue // the link to the latest, or gone since
		}
		one := SandboxUsage{Run: runAt(path)}
		if one.Usage, err = Measure(ctx, root, path); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// runAt is the run whose sandbox a path of the tree is.
func runAt(path string) Run {
	var names [8]string
	for i := 7; i >= 0; i-- {
		path, names[i] = filepath.Dir(path), filepath.Base(path)
	}
	return Run{SlaveID: names[1], FrameworkID: names[3], ExecutorID: names[5], ContainerID: names[7]}
}

// Measure says what the folder at a path below a root takes: nothing if it can't be read. Tasks may change it meanwhile; if a
// folder in it is moved while it is looked at, what was counted until then. The only error is the context's.
func Measure(ctx context.Context, root *os.Root, path string) (disk.Usage, error) {
	folder, err := root.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return disk.Usage{}, nil
	}
	defer folder.Close()
	usage, _ := disk.Measure(ctx, folder)
	return usage, context.Cause(ctx)
}
