package hadoop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stoa-project/stoa/frameworks/hadoop/hdfs"
	"github.com/stoa-project/stoa/frameworks/hadoop/task"
	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// ReducerNone as a reducer makes a job of maps alone, as NoReduces does.
const ReducerNone = "NONE"

// MaxShippedBytes bounds the files that travel with each task, all together: a launch of hundreds of tasks must fit
// into one message to the master.
const MaxShippedBytes = 256 << 10

// Hadoop's classes that mean something here, without their package.
const (
	hashPartitioner     = "HashPartitioner"
	keyFieldPartitioner = "KeyFieldBasedPartitioner"
	keyFieldComparator  = "KeyFieldBasedComparator"
)

// inputFormats are those that a job can have, by their names in lower case: ours, and Hadoop's classes without package.
func inputFormats() map[string]inputFormat {
	return map[string]inputFormat{
		"":          {},
		"text":      {},
		"keyvalue":  {tasks: taskpb.InputFormat_INPUT_FORMAT_KEY_VALUE},
		"wholefile": {tasks: taskpb.InputFormat_INPUT_FORMAT_WHOLE_FILE, whole: true},
		"nline":     {byLines: true},

		"textinputformat":         {},
		"keyvaluetextinputformat": {tasks: taskpb.InputFormat_INPUT_FORMAT_KEY_VALUE},
		"wholefileinputformat":    {tasks: taskpb.InputFormat_INPUT_FORMAT_WHOLE_FILE, whole: true},
		"nlineinputformat":        {byLines: true},
	}
}

// inputFormat says how inputs are cut and what mappers get of them.
type inputFormat struct {
	tasks   taskpb.InputFormat
	whole   bool // files are not cut
	byLines bool // splits have a number of lines, not of bytes
}

func (o Options) format() inputFormat { return inputFormats()[strings.ToLower(class(o.InputFormat))] }

// class is a Java class's name without its package.
func class(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// checkStreaming says what is wrong with what is Hadoop Streaming's own.
func (o Options) checkStreaming() error {
	if _, known := inputFormats()[strings.ToLower(class(o.InputFormat))]; !known {
		return fmt.Errorf("input format %q: allowed are text, keyvalue, wholefile, nline", o.InputFormat)
	}
	switch p := class(o.Partitioner); {
	case p != "" && p != hashPartitioner && p != keyFieldPartitioner:
		return fmt.Errorf("partitioner %q: allowed are %s and %s", o.Partitioner, hashPartitioner, keyFieldPartitioner)
	case p != keyFieldPartitioner && o.PartitionOptions != "":
		return fmt.Errorf("mapreduce.partition.keypartitioner.options needs -partitioner %s", keyFieldPartitioner)
	}
	switch c := class(o.Comparator); {
	case c != "" && c != keyFieldComparator:
		return fmt.Errorf("key comparator %q: allowed is %s", o.Comparator, keyFieldComparator)
	case c == "" && o.CompareOptions != "":
		return fmt.Errorf("mapreduce.partition.keycomparator.options needs mapreduce.job.output.key.comparator.class=%s", keyFieldComparator)
	}
	if len(o.InputSeparator) > 1 {
		return fmt.Errorf("mapreduce.input.keyvaluelinerecordreader.key.value.separator is %q: allowed is one byte", o.InputSeparator)
	}
	for _, text := range slices.Concat(o.Environment, o.Properties, []string{o.KeySeparator, o.KeyFieldSeparator, o.ReducerSeparator}) {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return fmt.Errorf("%q: wanted is UTF-8 text without NUL", text)
		}
	}
	for _, variable := range o.Environment {
		if name, _, ok := strings.Cut(variable, "="); !ok || name == "" {
			return fmt.Errorf("environment %q: wanted is NAME=VALUE", variable)
		}
	}
	return task.CheckKeys(o.keys())
}

// keys are the rules of the job's keys.
func (o Options) keys() *taskpb.Keys {
	k := &taskpb.Keys{
		Separator: o.KeySeparator, Fields: int32(o.KeyFields), KeySeparator: o.KeyFieldSeparator, ReducerSeparator: o.ReducerSeparator,
	}
	if class(o.Comparator) == keyFieldComparator {
		k.Compare = &o.CompareOptions
	}
	if class(o.Partitioner) == keyFieldPartitioner {
		k.Partition = &o.PartitionOptions
	}
	return k
}

// kit reads the files that are shipped and writes the variables of the commands.
func (o Options) kit() (*taskpb.Kit, error) {
	k := &taskpb.Kit{}
	if slices.ContainsFunc(o.Input, hdfs.Is) {
		k.Variables = append(k.Variables, hdfs.UserVariable+"="+hdfs.User())
	}
	for _, property := range o.Properties {
		name, value, _ := strings.Cut(property, "=")
		k.Variables = append(k.Variables, variableName(name)+"="+value)
	}
	k.Variables = append(k.Variables, o.Environment...)
	left := MaxShippedBytes
	for _, path := range o.Files {
		file, err := readShipped(path, left)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(k.Files, func(f *taskpb.ShippedFile) bool { return f.GetName() == file.GetName() }) {
			return nil, fmt.Errorf("-file %s: another file is shipped as %s already; name it by PATH#NAME", path, file.GetName())
		}
		left -= len(file.GetContent())
		k.Files = append(k.Files, file)
	}
	return k, nil
}

// variableName is a property's name as commands find it in their environment: as Hadoop Streaming has it.
func variableName(property string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, property)
}

// readShipped reads PATH or PATH#NAME of at most so many bytes.
func readShipped(path string, most int) (*taskpb.ShippedFile, error) {
	file, name, named := strings.Cut(path, "#")
	if !named {
		name = filepath.Base(file)
	}
	if err := task.CheckFileName(name); err != nil {
		return nil, fmt.Errorf("-file %s: %w", path, err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("-file %s: %w", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("-file %s is no file: allowed are plain files", path)
	}
	if info.Size() > int64(most) {
		return nil, fmt.Errorf("-file %s has %d bytes: shipped files may have %d together; have larger ones on every slave", path, info.Size(), MaxShippedBytes)
	}
	content, err := os.ReadFile(file)
	if err == nil && len(content) > most {
		err = errors.New("it grows while it is read")
	}
	if err != nil {
		return nil, fmt.Errorf("-file %s: %w", path, cause(err))
	}
	return &taskpb.ShippedFile{Name: name, Content: content}, nil
}

// cause is what went wrong with a path that is named already.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
