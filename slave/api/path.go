package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/stoa-project/stoa/slave/checkpoint"
	"github.com/stoa-project/stoa/slave/core"
)

// files serves what is in the sandboxes of a work_dir.
type files struct {
	view    func() *core.View
	workDir string
}

// place is what a path means: something in a sandbox.
type place struct {
	run  checkpoint.Run // whose container id may be checkpoint.Latest
	rest string         // in the sandbox, clean; "." is the sandbox itself
}

// parse understands a path. It does not look at the disk.
func (f *files) parse(text string) (place, error) {
	if strings.ContainsRune(text, 0) {
		return place{}, badRequest("path %.256q: a NUL is not allowed", text)
	}
	rest, err := f.withinTree(text)
	if err != nil {
		return place{}, err
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 8 || parts[0] != "slaves" || parts[2] != "frameworks" || parts[4] != "executors" || parts[6] != "runs" {
		return place{}, notFound("path %.256q: only sandboxes are here, which are /frameworks/F/executors/E/runs/latest and "+
			"/slaves/S/frameworks/F/executors/E/runs/C", text)
	}
	p := place{
		run:  checkpoint.Run{SlaveID: parts[1], FrameworkID: parts[3], ExecutorID: parts[5], ContainerID: parts[7]},
		rest: path.Clean(strings.Join(parts[8:], "/")),
	}
	if err := p.run.Validate(); err != nil {
		return place{}, badRequest("path %.256q: %v", text, err)
	}
	return p, nil
}

// withinTree returns a path relative to the work_dir, without empty parts and without "..".
func (f *files) withinTree(text string) (string, error) {
	if !strings.HasPrefix(text, "/") {
		return "", badRequest("path %.256q: it must begin with /", text)
	}
	var parts []string
	for part := range strings.SplitSeq(text, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", badRequest("path %.256q: .. is not allowed", text)
		default:
			parts = append(parts, part)
		}
	}
	clean := strings.Join(parts, "/")
	workDir, err := filepath.Abs(f.workDir)
	if err != nil {
		return "", err
	}
	if rest, ok := strings.CutPrefix("/"+clean, workDir+"/"); ok {
		return rest, nil
	}
	if len(parts) > 0 && parts[0] == "frameworks" {
		v := f.view()
		if v == nil || v.SlaveID == "" {
			return "", notFound("path %.256q: this slave has no id yet, and so no sandboxes", text)
		}
		return "slaves/" + v.SlaveID + "/" + clean, nil
	}
	return clean, nil
}

// openSandbox opens the sandbox of a place as a root that no path and no link leads out of. The folders above belong to
// the slave alone; what is in the sandbox is its task's.
func (f *files) openSandbox(text string, p place) (*os.Root, error) {
	if p.run.ContainerID == checkpoint.Latest {
		id, err := os.Readlink(filepath.Join(f.workDir, p.run.Path()))
		if err != nil {
			return nil, explain(text, err)
		}
		p.run.ContainerID = id
		if err := p.run.Validate(); err != nil {
			return nil, notFound("path %.256q: its latest run is not known", text)
		}
	}
	sandbox, err := os.OpenRoot(filepath.Join(f.workDir, p.run.Path()))
	if err != nil {
		return nil, explain(text, err)
	}
	return sandbox, nil
}

// open opens a file or folder of a sandbox for reading.
func (f *files) open(text string) (*os.File, fs.FileInfo, error) {
	p, err := f.parse(text)
	if err != nil {
		return nil, nil, err
	}
	sandbox, err := f.openSandbox(text, p)
	if err != nil {
		return nil, nil, err
	}
	defer sandbox.Close()
	return openIn(sandbox, text, p)
}

// openIn opens a file or folder of an open sandbox for reading. A task may have put anything there: what is neither is
// never opened, for a pipe would wait for ever and a device may do something.
func openIn(sandbox *os.Root, text string, p place) (*os.File, fs.FileInfo, error) {
	info, err := sandbox.Stat(p.rest)
	if err == nil {
		err = readable(text, info)
	}
	if err != nil {
		return nil, nil, explain(text, err)
	}
	file, err := sandbox.OpenFile(p.rest, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, explain(text, err)
	}
	// It may have been replaced since.
	if info, err = file.Stat(); err == nil {
		err = readable(text, info)
	}
	if err != nil {
		file.Close()
		return nil, nil, explain(text, err)
	}
	return file, info, nil
}

func readable(text string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() && !info.IsDir() {
		return badRequest("path %.256q: it is neither a file nor a folder", text)
	}
	return nil
}

// explain turns what the disk says into an answer.
func explain(text string, err error) error {
	var f *failure
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return notFound("path %.256q: there is no such file", text)
	case errors.Is(err, syscall.ELOOP):
		return notFound("path %.256q: its links lead in circles", text)
	case errors.Is(err, fs.ErrPermission):
		return &failure{http.StatusForbidden, fmt.Sprintf("path %.256q: the slave may not read it", text)}
	case strings.Contains(err.Error(), "escapes"):
		return &failure{http.StatusForbidden, fmt.Sprintf("path %.256q: it leads out of its sandbox", text)}
	default:
		return err
	}
}

func badRequest(format string, args ...any) error {
	return &failure{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &failure{http.StatusNotFound, fmt.Sprintf(format, args...)}
}
