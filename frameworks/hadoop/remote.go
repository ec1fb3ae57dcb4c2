package hadoop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
)

// remoteFiles finds inputs in HDFS.
type remoteFiles struct {
	system *hdfs.System
	tell   func(string) // that blocks are not known; nil is nobody
}

// glob is glob for paths of HDFS.
func (r remoteFiles) glob(input string) ([]string, error) {
	alternatives := []string{input}
	if strings.ContainsAny(input, `*?[{`) {
		if location, err := hdfs.Parse(input); err == nil {
			if _, err := r.system.Stat(location); err == nil {
				return []string{location.String()}, nil
			}
		}
		var err error
		if alternatives, err = expandBraces(input); err != nil {
			return nil, err
		}
	}
	var found []string
	for _, pattern := range alternatives {
		location, err := hdfs.Parse(pattern)
		if err != nil {
			return nil, fmt.Errorf("input %w", err)
		}
		if !strings.ContainsAny(location.Path, `*?[`) {
			found = append(found, location.String())
			continue
		}
		matches, err := r.matches(location)
		if err != nil {
			return nil, fmt.Errorf("input %w", err)
		}
		found = append(found, matches...)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("input %s matches no file and no folder", input)
	}
	return found, nil
}

// matches are what a pattern matches, part by part.
func (r remoteFiles) matches(pattern hdfs.Location) ([]string, error) {
	paths := []string{"/"}
	for part := range strings.SplitSeq(strings.Trim(pattern.Path, "/"), "/") {
		var next []string
		for _, folder := range paths {
			if !strings.ContainsAny(part, `*?[`) {
				if e, err := r.system.Stat(hdfs.Location{NameNode: pattern.NameNode, Path: path.Join(folder, part)}); err == nil {
					next = append(next, e.Path)
				} else if !errors.Is(err, fs.ErrNotExist) {
					return nil, err
				}
				continue
			}
			entries, err := r.system.List(hdfs.Location{NameNode: pattern.NameNode, Path: folder})
			if err != nil {
				continue // it is a file
			}
			for _, e := range entries {
				ok, err := path.Match(part, path.Base(e.Path))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", pattern, err)
				}
				if ok {
					next = append(next, e.Path)
				}
			}
		}
		paths = next
	}
	found := make([]string, len(paths))
	for i, p := range paths {
		found[i] = hdfs.Location{NameNode: pattern.NameNode, Path: p}.String()
	}
	return slices.Clip(found), nil
}

// list gives the files below a path, by name, with their blocks.
func (r remoteFiles) list(ctx context.Context, input string) ([]inputFile, error) {
	location, err := hdfs.Parse(input)
	if err != nil {
		return nil, err
	}
	e, err := r.system.Stat(location)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist", input)
	}
	if err != nil {
		return nil, err
	}
	return r.below(ctx, e)
}

func (r remoteFiles) below(ctx context.Context, e hdfs.Entry) ([]inputFile, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !e.Folder {
		return []inputFile{{path: e.String(), size: e.Size, blocks: r.blocks(ctx, e)}}, nil
	}
	entries, err := r.system.List(e.Location)
	if err != nil {
		return nil, err
	}
	var files []inputFile
	for _, e := range entries {
		some, err := r.below(ctx, e)
		if err != nil {
			return nil, err
		}
		files = append(files, some...)
	}
	return files, nil
}

// blocks are a file's: if nobody tells who has them, at least where they end.
func (r remoteFiles) blocks(ctx context.Context, e hdfs.Entry) []hdfs.Block {
	if e.Size == 0 {
		return nil
	}
	blocks, err := r.system.Blocks(ctx, e.Location)
	if err == nil {
		return blocks
	}
	if r.tell != nil {
		r.tell(fmt.Sprintf("maps do not go to where their input is: %v", err))
	}
	for offset := int64(0); e.BlockSize > 0 && offset < e.Size; offset += e.BlockSize {
		blocks = append(blocks, hdfs.Block{Offset: offset, Length: min(e.BlockSize, e.Size-offset)})
	}
	return blocks
}
