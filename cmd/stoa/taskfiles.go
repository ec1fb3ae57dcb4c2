package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
)

// maxDownloadDepth bounds the folders in folders of a download.
const maxDownloadDepth = 500

func newTaskLs(std stdio) *cobra.Command {
	var flags taskFlags
	command := &cobra.Command{
		Use:   "ls ID [PATH]",
		Short: "List a folder or a file of a task's sandbox",
		Example: `  stoa task ls hello-0
  stoa task ls --json hello-0 out | jq -r '.[].path'`,
		Args:              idAndPath(true),
		ValidArgsFunction: flags.completeTasks,
		RunE: func(command *cobra.Command, args []string) error {
			return flags.inSandbox(command.Context(), args, func(ctx context.Context, files sandbox.Client, place sandbox.Place, name string) error {
				entries, more, err := browse(ctx, files, place, name)
				if err != nil {
					return err
				}
				if more {
					fmt.Fprintf(std.err, "stoa: there are more than the %d that are listed\n", len(entries))
				}
				if flags.json {
					return printJSON(std.out, entries)
				}
				var rows [][]string
				for _, e := range entries {
					at := time.Unix(int64(e.Mtime), 0).Format(time.DateTime)
					rows = append(rows, []string{e.Mode, e.UID, e.GID, strconv.FormatInt(e.Size, 10), at, e.Name()})
				}
				return table(std.out, []string{"MODE", "USER", "GROUP", "BYTES", "CHANGED", "NAME"}, rows)
			})
		},
	}
	flags.addTask(command.Flags())
	flags.addJSON(command.Flags())
	return withSettings(command)
}

// browse lists a folder, or a file as the only entry.
func browse(ctx context.Context, files sandbox.Client, place sandbox.Place, name string) (entries []sandbox.Entry, more bool, err error) {
	entries, more, err = files.Browse(ctx, place, name)
	if !errors.Is(err, sandbox.ErrIsFile) {
		return entries, more, err
	}
	folder, file := path.Split(path.Clean("/" + name))
	beside, _, failed := files.Browse(ctx, place, strings.Trim(folder, "/"))
	at := slices.IndexFunc(beside, func(e sandbox.Entry) bool { return e.Name() == file })
	if failed != nil || at < 0 { // it has gone meanwhile, or is beyond those that a slave lists
		return nil, false, fmt.Errorf("%q: %w", name, sandbox.ErrIsFile)
	}
	return beside[at : at+1], false, nil
}

func newTaskCat(std stdio) *cobra.Command {
	var flags taskFlags
	command := &cobra.Command{
		Use:   "cat ID PATH",
		Short: "Print a file of a task's sandbox",
		Example: `  stoa task cat hello-0 stderr
  stoa task cat hello-0 out/part-00000`,
		Args:              idAndPath(false),
		ValidArgsFunction: flags.completeTasks,
		RunE: func(command *cobra.Command, args []string) error {
			return flags.inSandbox(command.Context(), args, func(ctx context.Context, files sandbox.Client, place sandbox.Place, name string) error {
				_, err := files.Copy(ctx, std.out, place, name, 0)
				return err
			})
		},
	}
	flags.addTask(command.Flags())
	return withSettings(command)
}

func newTaskDownload(std stdio) *cobra.Command {
	var flags taskFlags
	var output string
	command := &cobra.Command{
		Use:   "download ID PATH",
		Short: "Copy a file or a folder of a task's sandbox to this machine",
		Long: `Copies a file, or a folder with all that is in it, of a task's sandbox to this machine. What is neither file
nor folder, or is gone meanwhile, is left out and named. A file that is there already is replaced.`,
		Example: `  stoa task download hello-0 out
  stoa task download --output /tmp/errors hello-0 stderr`,
		Args:              idAndPath(false),
		ValidArgsFunction: flags.completeTasks,
		RunE: func(command *cobra.Command, args []string) error {
			return flags.inSandbox(command.Context(), args, func(ctx context.Context, files sandbox.Client, place sandbox.Place, name string) error {
				if output == "" {
					if output = path.Base(path.Clean("/" + name)); output == "/" {
						output = args[0]
					}
				}
				d := downloader{files: files, place: place, skipped: func(name, reason string) {
					fmt.Fprintf(std.err, "stoa: left out %s: %s\n", printable(name), reason)
				}}
				if err := d.get(ctx, name, output); err != nil {
					return err
				}
				fmt.Fprintf(std.out, "%s: %s, %d bytes\n", output, plural(d.count, "file"), d.bytes)
				return nil
			})
		},
	}
	flags.addTask(command.Flags())
	command.Flags().StringVar(&output, "output", "", "`PATH` that it gets here (default: its name, in the working directory)")
	return withSettings(command)
}

// idAndPath are the arguments of commands about a file of a sandbox.
func idAndPath(optional bool) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) == 2 || optional && len(args) == 1 {
			return nil
		}
		return usageError("%s needs a task's id and a path in its sandbox; %d arguments were given", command.CommandPath(), len(args))
	}
}

// inSandbox does something with a path in a task's sandbox.
func (f *taskFlags) inSandbox(ctx context.Context, args []string, do func(context.Context, sandbox.Client, sandbox.Place, string) error) error {
	name := ""
	if len(args) > 1 {
		name = args[1]
	}
	// A slave refuses what leaves the sandbox too, but a path is made clean before it gets there.
	if clean := path.Clean("/" + name); clean != "/" && !filepath.IsLocal(strings.TrimPrefix(name, "/")) {
		return usageError("path %q leaves the sandbox", name)
	}
	found, err := f.find(ctx, args[0], true)
	if err != nil {
		return err
	}
	found.master.Close()
	place, files, err := f.sandbox(found)
	if err != nil {
		return err
	}
	err = do(ctx, files, place, name)
	if ctx.Err() != nil {
		return &exitError{code: exitInterrupted}
	}
	if errors.Is(err, sandbox.ErrNotFound) {
		return fmt.Errorf("task %s has no %q: there is none, or its sandbox has been removed", found.task.GetTaskId().GetValue(), name)
	}
	if refused := (*sandbox.RefusedError)(nil); errors.As(err, &refused) {
		return fmt.Errorf("task %s: %w", found.task.GetTaskId().GetValue(), err)
	}
	return err
}

// downloader copies what is in a sandbox to this machine.
type downloader struct {
	files   sandbox.Client
	place   sandbox.Place
	skipped func(name, reason string)
	count   int
	bytes   int64
}

// get copies a file or a folder to a path of this machine.
func (d *downloader) get(ctx context.Context, name, to string) error {
	entries, more, err := d.files.Browse(ctx, d.place, name)
	if errors.Is(err, sandbox.ErrIsFile) {
		return d.file(ctx, name, func() (*os.File, error) { return os.Create(to) })
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	return d.folder(ctx, root, name, entries, more, 0)
}

// folder copies the entries of a folder into a folder of this machine, which no name leads out of.
func (d *downloader) folder(ctx context.Context, root *os.Root, name string, entries []sandbox.Entry, more bool, depth int) error {
	if more || depth > maxDownloadDepth {
		return fmt.Errorf("folder %q has more than %d entries, or is deeper than %d: pack it with 'stoa task exec'", name, len(entries), maxDownloadDepth)
	}
	for _, e := range entries {
		inside := path.Join(name, e.Name())
		switch {
		case e.IsFile():
			mode := os.FileMode(0o644)
			if strings.Contains(e.Mode, "x") {
				mode = 0o755
			}
			err := d.file(ctx, inside, func() (*os.File, error) {
				return root.OpenFile(e.Name(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
			})
			if reason := leftOut(err); reason != "" {
				d.skipped(inside, reason)
				err = root.Remove(e.Name())
			}
			if err != nil {
				return err
			}
		case e.IsDir():
			err := d.below(ctx, root, inside, e.Name(), depth)
			if reason := leftOut(err); reason != "" {
				d.skipped(inside, reason)
			} else if err != nil {
				return err
			}
		default:
			d.skipped(inside, "it is neither a file nor a folder")
		}
	}
	return nil
}

// leftOut is why something in a folder can't be had, while the rest can: "" if it can, or the rest can't either.
func leftOut(err error) string {
	var refused *sandbox.RefusedError
	switch {
	case errors.Is(err, sandbox.ErrNotFound):
		return "it is gone"
	case errors.As(err, &refused):
		return refused.Reason
	}
	return ""
}

func (d *downloader) below(ctx context.Context, root *os.Root, name, base string, depth int) error {
	if err := root.Mkdir(base, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	sub, err := root.OpenRoot(base)
	if err != nil {
		return err
	}
	defer sub.Close()
	entries, more, err := d.files.Browse(ctx, d.place, name)
	if err != nil {
		return err
	}
	return d.folder(ctx, sub, name, entries, more, depth+1)
}

func (d *downloader) file(ctx context.Context, name string, create func() (*os.File, error)) error {
	to, err := create()
	if err != nil {
		return err
	}
	n, err := d.files.Copy(ctx, to, d.place, name, 0)
	if err == nil {
		d.count, d.bytes = d.count+1, d.bytes+n
	}
	return errors.Join(err, to.Close())
}
