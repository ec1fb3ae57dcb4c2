package hadoop

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Help is the text of `stoa hadoop --help`.
const Help = `Run a MapReduce job on the cluster, with the habits of Hadoop Streaming.

Usage:
  stoa hadoop -input PATH -output DIR -mapper COMMAND -reducer COMMAND [flags]

Mapper and reducer are commands that sh -c runs, in containers. A mapper reads lines on its standard
input and prints lines; what comes before the first tab of a printed line is its key. A reducer reads these lines sorted
by key, equal keys together. The name stoa means this program, also within the containers: "stoa hadoop
wordcount-mapper" and "stoa hadoop wordcount-reducer" count words.

Example:
  stoa hadoop -input /usr/share/doc -output /tmp/words \
    -mapper 'stoa hadoop wordcount-mapper' -reducer 'stoa hadoop wordcount-reducer'

  stoa hadoop -input access.log -output /tmp/hits -numReduceTasks 2 \
    -mapper 'cut -d" " -f1' -reducer 'uniq -c'

Beside this:
  stoa hadoop jobtracker         a framework that stays and holds many jobs
  stoa hadoop job -list          what they do; also -status, -history, -logs and -kill

Flags (with one dash or two; a value follows as the next argument or after =):
  -input PATH,...        files, folders and patterns (*, ?, [a-z], [!a-z], {one,other}) to read; may be repeated;
                         each slave must have them there; .gz, .bz2, .zst and .xz files are unpacked
  -output DIR            a folder that does not exist: part-00000, ..., and _SUCCESS last
  -mapper COMMAND        run for each split of the input; its failure fails the task
  -reducer COMMAND       run for each part of the output; NONE: what the mappers print is the output
  -combiner COMMAND      sums up what a map has printed: lines as the mapper prints them, equal keys together
  -numReduceTasks N      reduces, and parts of the output (1); 0 is -reducer NONE
  -partitioner CLASS     which reduce gets a key: HashPartitioner, or KeyFieldBasedPartitioner by parts of the key
  -inputformat FORMAT    text; keyvalue; wholefile: a mapper for each file; nline: a number of lines for each map (text)
  -file PATH             ship this file to where the commands run, as PATH or PATH#NAME; may be repeated; 256 KB in all
  -files PATH,...        the same for several
  -cmdenv NAME=VALUE     a variable of the commands' environment; may be repeated
  -verbose               tell of each attempt
  -master HOST:PORT      the master (127.0.0.1:5050)
  -jobtracker HOST:PORT  a JobTracker to run the job, instead of this program: see stoa hadoop jobtracker --help
  -name NAME             the job's name (hadoop)
  -role ROLE             whose offers to use (*)
  -user USER             who runs the tasks (you)
  -cpus N                of each task (1)
  -mem MB                of each task (512)
  -connect_timeout D     how long to look for the master at first (10s)
  -reconnect_timeout D   how long to wait for a master that has gone (30s)
  -D PROPERTY=VALUE      Hadoop's name for some of these (-jobconf is the same); a name of your own is told to the commands,
                         as all are, by an environment variable with _ for all but letters and digits; and for:
`

// TLSHelp are the flags that all programs have that speak to a cluster.
const TLSHelp = `
  -tls_ca, -tls_cert, -tls_key FILE   the cluster's authority, and this program's certificate and key
`

// property is a setting by its name in Hadoop.
type property struct {
	name, help string
	set        func(o *Options, value string) error
}

// properties are those that -D takes, by name.
func properties() []property {
	return []property{
		{"dfs.namenode.http-address", "where the name node of hdfs:// inputs tells which machines have them (its host, port 9870)", textOf(func(o *Options) *string { return &o.NameNodeHTTP })},
		{"io.compression.codecs", "none: compressed input is read as it is", setCodecs},
		{"mapreduce.input.fileinputformat.split.maxsize", "bytes of a map's input, at most", bytesOf(func(o *Options) *int64 { return &o.MaxSplit })},
		{"mapreduce.input.fileinputformat.split.minsize", "bytes of a map's input, at least", bytesOf(func(o *Options) *int64 { return &o.MinSplit })},
		{"mapreduce.input.keyvaluelinerecordreader.key.value.separator", "one byte, for -inputformat keyvalue (a tab)", textOf(func(o *Options) *string { return &o.InputSeparator })},
		{"mapreduce.input.lineinputformat.linespermap", "for -inputformat nline (1)", countOf(1<<30, func(o *Options) *int { return &o.LinesPerMap })},
		{"mapreduce.job.jvm.numtasks", "1: each attempt in a container of its own; -1: a slave's share an executor (-1)", setContainers},
		{"mapreduce.job.name", "as -name", textOf(func(o *Options) *string { return &o.Name })},
		{"mapreduce.job.output.key.comparator.class", "KeyFieldBasedComparator: keys by their fields, not bytewise", textOf(func(o *Options) *string { return &o.Comparator })},
		{"mapreduce.job.partitioner.class", "as -partitioner", textOf(func(o *Options) *string { return &o.Partitioner })},
		{"mapreduce.job.priority", "VERY_HIGH, HIGH, NORMAL, LOW or VERY_LOW, among the jobs of a JobTracker (NORMAL)", setPriority},
		{"mapreduce.job.reduce.slowstart.completedmaps", "which part of the maps is done before reduces start, 0 to 1 (0.05)", setSlowStart},
		{"mapreduce.job.reduces", "as -numReduceTasks", setReduces},
		{"mapreduce.map.cpu.vcores", "as -cpus", numberOf(func(o *Options) *float64 { return &o.TaskCPUs })},
		{"mapreduce.map.maxattempts", "failures of a map that fail the job (4)", countOf(100, func(o *Options) *int { return &o.MaxMapAttempts })},
		{"mapreduce.map.memory.mb", "memory of a map", numberOf(func(o *Options) *float64 { return &o.MapMem })},
		{"mapreduce.map.speculative", "false: a map that takes long gets no second attempt beside the first (true)", speculationOf(func(o *Options) *bool { return &o.NoMapSpeculation })},
		{"mapreduce.map.output.key.field.separator", "between the fields of a key, for the next two (a tab)", textOf(func(o *Options) *string { return &o.KeyFieldSeparator })},
		{"mapreduce.partition.keycomparator.options", "of that comparator, as of sort: -k, -n, -r", textOf(func(o *Options) *string { return &o.CompareOptions })},
		{"mapreduce.partition.keypartitioner.options", "of KeyFieldBasedPartitioner, as of sort: -k", textOf(func(o *Options) *string { return &o.PartitionOptions })},
		{"mapreduce.reduce.maxattempts", "failures of a reduce that fail the job (4)", countOf(100, func(o *Options) *int { return &o.MaxReduceAttempts })},
		{"mapreduce.reduce.memory.mb", "memory of a reduce", numberOf(func(o *Options) *float64 { return &o.ReduceMem })},
		{"mapreduce.reduce.speculative", "the same for reduces", speculationOf(func(o *Options) *bool { return &o.NoReduceSpeculation })},
		{"stream.map.output.field.separator", "between the fields of a mapper's line (a tab)", textOf(func(o *Options) *string { return &o.KeySeparator })},
		{"stream.num.map.output.key.fields", "how many fields of a mapper's line are its key (1)", countOf(maxKeyFields, func(o *Options) *int { return &o.KeyFields })},
		{"stream.reduce.input.field.separator", "between key and value of a reducer's line (a tab)", textOf(func(o *Options) *string { return &o.ReducerSeparator })},
	}
}

// formerNames are those that Hadoop had before, and what they are called now.
func formerNames() map[string]string {
	return map[string]string{
		"key.value.separator.in.input.line":         "mapreduce.input.keyvaluelinerecordreader.key.value.separator",
		"map.output.key.field.separator":            "mapreduce.map.output.key.field.separator",
		"mapred.job.map.memory.mb":                  "mapreduce.map.memory.mb",
		"mapred.job.name":                           "mapreduce.job.name",
		"mapred.job.priority":                       "mapreduce.job.priority",
		"mapred.job.reuse.jvm.num.tasks":            "mapreduce.job.jvm.numtasks",
		"mapred.job.reduce.memory.mb":               "mapreduce.reduce.memory.mb",
		"mapred.line.input.format.linespermap":      "mapreduce.input.lineinputformat.linespermap",
		"mapred.map.max.attempts":                   "mapreduce.map.maxattempts",
		"mapred.map.tasks.speculative.execution":    "mapreduce.map.speculative",
		"mapred.reduce.tasks.speculative.execution": "mapreduce.reduce.speculative",
		"mapred.max.split.size":                     "mapreduce.input.fileinputformat.split.maxsize",
		"mapred.min.split.size":                     "mapreduce.input.fileinputformat.split.minsize",
		"mapred.output.key.comparator.class":        "mapreduce.job.output.key.comparator.class",
		"mapred.partitioner.class":                  "mapreduce.job.partitioner.class",
		"mapred.reduce.max.attempts":                "mapreduce.reduce.maxattempts",
		"mapred.reduce.slowstart.completed.maps":    "mapreduce.job.reduce.slowstart.completedmaps",
		"mapred.reduce.tasks":                       "mapreduce.job.reduces",
		"mapred.text.key.comparator.options":        "mapreduce.partition.keycomparator.options",
		"mapred.text.key.partitioner.options":       "mapreduce.partition.keypartitioner.options",
	}
}

// hadoopsOwn begin the names of properties that only Hadoop can mean: one that is not known here is an error, because it
// would not do what it says.
var hadoopsOwn = []string{"mapreduce.", "mapred.", "map.", "stream.", "yarn.", "dfs.", "fs.", "io.", "hadoop.", "num."}

// HelpText is Help with the properties that -D takes.
func HelpText() string {
	var b strings.Builder
	b.WriteString(Help)
	for _, p := range properties() {
		fmt.Fprintf(&b, "    %s\n        %s\n", p.name, p.help)
	}
	return b.String()
}

// ErrHelp is what ParseArgs returns when help is asked for.
var ErrHelp = errors.New("help is asked for")

// UsageError is an error in the arguments: it names the flag and what is allowed.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

func usage(format string, a ...any) error { return &UsageError{fmt.Sprintf(format, a...)} }

// flags are the flags by name, in lower case and with _ for -.
func flags() map[string]func(o *Options, value string) error {
	return map[string]func(o *Options, value string) error{
		"input": func(o *Options, value string) error {
			for _, path := range splitPaths(value) {
				if path == "" {
					return fmt.Errorf("%q has an empty path: allowed are paths, separated by commas", value)
				}
				o.Input = append(o.Input, path)
			}
			return nil
		},
		"file":  func(o *Options, value string) error { return addFiles(o, value) },
		"files": func(o *Options, value string) error { return addFiles(o, strings.Split(value, ",")...) },
		"cmdenv": func(o *Options, value string) error {
			o.Environment = append(o.Environment, value)
			return nil
		},
		"combiner":          textOf(func(o *Options) *string { return &o.Combiner }),
		"partitioner":       textOf(func(o *Options) *string { return &o.Partitioner }),
		"inputformat":       textOf(func(o *Options) *string { return &o.InputFormat }),
		"output":            textOf(func(o *Options) *string { return &o.Output }),
		"mapper":            textOf(func(o *Options) *string { return &o.Mapper }),
		"reducer":           textOf(func(o *Options) *string { return &o.Reducer }),
		"numreducetasks":    setReduces,
		"master":            textOf(func(o *Options) *string { return &o.Master }),
		"name":              textOf(func(o *Options) *string { return &o.Name }),
		"role":              textOf(func(o *Options) *string { return &o.Role }),
		"user":              textOf(func(o *Options) *string { return &o.User }),
		"cpus":              numberOf(func(o *Options) *float64 { return &o.TaskCPUs }),
		"mem":               numberOf(func(o *Options) *float64 { return &o.TaskMem }),
		"connect_timeout":   durationOf(func(o *Options) *time.Duration { return &o.ConnectTimeout }),
		"reconnect_timeout": durationOf(func(o *Options) *time.Duration { return &o.ReconnectTimeout }),
		"d":                 setProperty,
		"jobconf":           setProperty,
	}
}

func addFiles(o *Options, paths ...string) error {
	for _, path := range paths {
		if path == "" {
			return errors.New("a path is empty: wanted is PATH or PATH#NAME")
		}
		o.Files = append(o.Files, path)
	}
	return nil
}

func setReduces(o *Options, value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > MaxReduces {
		return fmt.Errorf("%q is not a number from 0 to %d", value, MaxReduces)
	}
	o.Reduces = n
	if n == 0 {
		o.Reduces = NoReduces
	}
	return nil
}

// speculationOf sets a field that forbids what the property allows.
func speculationOf(field func(*Options) *bool) func(*Options, string) error {
	return func(o *Options, value string) error {
		on, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q: allowed are true and false", value)
		}
		*field(o) = !on
		return nil
	}
}

func setContainers(o *Options, value string) error {
	if value != "1" && value != "-1" {
		return fmt.Errorf("%q: allowed are 1 and -1", value)
	}
	o.Containers = value == "1"
	return nil
}

func setSlowStart(o *Options, value string) error {
	part, err := strconv.ParseFloat(value, 64)
	if err != nil || !(part >= 0 && part <= 1) {
		return fmt.Errorf("%q is not a number from 0 to 1", value)
	}
	o.SlowStart = part
	if part == 0 {
		o.SlowStart = AtOnce
	}
	return nil
}

func setPriority(o *Options, value string) error {
	for p, name := range priorityNames {
		if strings.EqualFold(value, name) {
			o.Priority = p
			return nil
		}
	}
	return fmt.Errorf("%q: allowed are VERY_HIGH, HIGH, NORMAL, LOW and VERY_LOW", value)
}

func setCodecs(o *Options, value string) error {
	if value != codecsNone {
		return fmt.Errorf("%q: allowed is %s", value, codecsNone)
	}
	o.RawInput = true
	return nil
}

// codecsNone as io.compression.codecs leaves compressed input as it is.
const codecsNone = "none"

// RawInputFlag is Options.RawInput on the command line.
const RawInputFlag = "-Dio.compression.codecs=" + codecsNone

func setProperty(o *Options, value string) error {
	name, value, ok := strings.Cut(value, "=")
	if !ok {
		return fmt.Errorf("%q has no value: wanted is PROPERTY=VALUE", name)
	}
	if name == "" {
		return fmt.Errorf("%q has no name: wanted is PROPERTY=VALUE", "="+value)
	}
	if now, former := formerNames()[name]; former {
		name = now
	}
	all := properties()
	i := slices.IndexFunc(all, func(p property) bool { return p.name == name })
	if i < 0 && slices.ContainsFunc(hadoopsOwn, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
		names := make([]string, len(all))
		for i, p := range all {
			names[i] = p.name
		}
		return fmt.Errorf("unknown property %q: allowed are names of your own and %s", name, strings.Join(names, ", "))
	}
	if i >= 0 {
		if err := all[i].set(o, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	o.Properties = append(o.Properties, name+"="+value)
	return nil
}

func textOf(field func(*Options) *string) func(*Options, string) error {
	return func(o *Options, value string) error {
		if value == "" {
			return errors.New("the value is empty")
		}
		*field(o) = value
		return nil
	}
}

func countOf(most int, field func(*Options) *int) func(*Options, string) error {
	return func(o *Options, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > most {
			return fmt.Errorf("%q is not a number from 1 to %d", value, most)
		}
		*field(o) = n
		return nil
	}
}

func bytesOf(field func(*Options) *int64) func(*Options, string) error {
	return func(o *Options, value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is not a number of bytes, 1 or more", value)
		}
		*field(o) = n
		return nil
	}
}

func numberOf(field func(*Options) *float64) func(*Options, string) error {
	return func(o *Options, value string) error {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !(n > 0) {
			return fmt.Errorf("%q is not a number above 0", value)
		}
		*field(o) = n
		return nil
	}
}

func durationOf(field func(*Options) *time.Duration) func(*Options, string) error {
	return func(o *Options, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q is not a duration above 0, such as 30s", value)
		}
		*field(o) = d
		return nil
	}
}

// flagKey is the name of a flag as flags has it, whatever case and dashes it was written with; "" is no flag.
func flagKey(name string) string {
	bare := strings.TrimPrefix(strings.TrimPrefix(name, "-"), "-")
	if bare == name {
		return ""
	}
	return strings.ReplaceAll(strings.ToLower(bare), "-", "_")
}

// ParseArgs reads the arguments of `stoa hadoop`. The error is ErrHelp, or a *UsageError of one line.
func ParseArgs(args []string) (Options, error) { return Options{}.ParseArgs(args) }

// ParseArgs is ParseArgs for a job of which something is set already.
func (o Options) ParseArgs(args []string) (Options, error) {
	known := flags()
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		key := flagKey(name)
		if key == "" {
			return o, usage("unexpected argument %q: every argument is a flag or a flag's value", args[i])
		}
		if key == "help" || key == "h" {
			return o, ErrHelp
		}
		if key == "verbose" {
			if o.Verbose = !joined || value == "true"; joined && value != "true" && value != "false" {
				return o, usage("%s: %q: allowed are true and false", name, value)
			}
			continue
		}
		// As Hadoop takes it: -Dname=value.
		if known[key] == nil && strings.HasPrefix(strings.TrimLeft(name, "-"), "D") {
			key, value, joined = "d", strings.TrimPrefix(strings.TrimLeft(args[i], "-"), "D"), true
		}
		set := known[key]
		if set == nil {
			names := slices.Sorted(maps.Keys(known))
			return o, usage("unknown flag %s: allowed are -%s, -verbose and -jobtracker", name, strings.Join(names, ", -"))
		}
		if !joined {
			if i++; i == len(args) {
				return o, usage("%s: a value is missing", name)
			}
			value = args[i]
		}
		if err := set(&o, value); err != nil {
			return o, usage("%s: %v", name, err)
		}
	}
	return o, missing(o)
}

// TakeTracker takes the JobTracker's address out of the arguments of stoa hadoop; "" if there is none. The error is a
// *UsageError.
func TakeTracker(args []string) (rest []string, tracker string, err error) {
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		if key := flagKey(name); key != "jobtracker" && key != "jt" {
			rest = append(rest, args[i])
			continue
		}
		if !joined && i+1 < len(args) {
			i++
			value = args[i]
		}
		if value == "" {
			return nil, "", usage("%s: a value is missing: HOST:PORT, for example %s", name, DefaultJobTracker)
		}
		tracker = value
	}
	return rest, tracker, nil
}

// missing names the flags that a job can not do without.
func missing(o Options) error {
	var names []string
	for _, f := range []struct {
		name  string
		given bool
	}{{"-input", len(o.Input) > 0}, {"-output", o.Output != ""}, {"-mapper", o.Mapper != "" || o.Program != nil}, {"-reducer", o.Reducer != "" || o.Program != nil || o.Reduces == NoReduces}} {
		if !f.given {
			names = append(names, f.name)
		}
	}
	if len(names) > 0 {
		return usage("missing: %s", strings.Join(names, ", "))
	}
	if _, err := o.withDefaults(); err != nil {
		return usage("%v", firstLine(err))
	}
	return nil
}
