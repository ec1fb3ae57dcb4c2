package hadoop

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestArgsOfHadoopStreaming(t *testing.T) {
	needed := func(more ...string) []string {
		return append([]string{"-input", "a", "-output", "o", "-mapper", "m", "-reducer", "r"}, more...)
	}
	with := func(set func(*Options)) Options {
		o := Options{Input: []string{"a"}, Output: "o", Mapper: "m", Reducer: "r"}
		if set != nil {
			set(&o)
		}
		return o
	}
	tests := []struct {
		name string
		args []string
		want Options
	}{
		{"what is needed", needed(), with(nil)},
		{"two dashes, values after =", []string{"--input=a", "--output=o", "--mapper=m", "--reducer=r"}, with(nil)},
		{"inputs repeated and separated by commas", needed("-input", "b,c"), with(func(o *Options) { o.Input = []string{"a", "b", "c"} })},
		{
			"a command that begins with a dash and has an =",
			[]string{"-input", "a", "-output", "o", "-mapper", "-m=1", "-reducer=r=2"},
			with(func(o *Options) { o.Mapper, o.Reducer = "-m=1", "r=2" }),
		},
		{"Hadoop's name of the number of reduces", needed("-numReduceTasks", "7"), with(func(o *Options) { o.Reduces = 7 })},
		{
			"properties in all three spellings", needed("-D", "mapreduce.job.name=n", "-Dmapreduce.job.reduces=3", "-jobconf", "mapreduce.map.memory.mb=256"),
			with(func(o *Options) {
				o.Name, o.Reduces, o.MapMem = "n", 3, 256
				o.Properties = []string{"mapreduce.job.name=n", "mapreduce.job.reduces=3", "mapreduce.map.memory.mb=256"}
			}),
		},
		{
			"a property by its former name, and one of one's own", needed("-D", "mapred.reduce.tasks=3", "-Dmy.threshold=4"),
			with(func(o *Options) { o.Reduces, o.Properties = 3, []string{"mapreduce.job.reduces=3", "my.threshold=4"} }),
		},
		{
			"no second attempts", needed("-D", "mapreduce.map.speculative=false", "-D", "mapreduce.reduce.speculative=true"),
			with(func(o *Options) {
				o.NoMapSpeculation, o.Properties = true, []string{"mapreduce.map.speculative=false", "mapreduce.reduce.speculative=true"}
			}),
		},
		{"no reduces", needed("-numReduceTasks", "0"), with(func(o *Options) { o.Reduces = NoReduces })},
		{"a job without a reducer", []string{"-input", "a", "-output", "o", "-mapper", "m", "-jobconf", "mapreduce.job.reduces=0"}, with(func(o *Options) {
			o.Reducer, o.Reduces, o.Properties = "", NoReduces, []string{"mapreduce.job.reduces=0"}
		})},
		{"alternatives in an input keep their commas", needed("-input", "b{1,2},c"), with(func(o *Options) { o.Input = []string{"a", "b{1,2}", "c"} })},
		{
			"files, variables and a switch", needed("-file", "f", "-files", "g,h#i", "-verbose", "-cmdenv", "A=b=c"),
			with(func(o *Options) {
				o.Files, o.Verbose, o.Environment = []string{"f", "g", "h#i"}, true, []string{"A=b=c"}
			}),
		},
		{
			"keys by their fields",
			needed(
				"-partitioner", "org.apache.hadoop.mapred.lib.KeyFieldBasedPartitioner", "-combiner", "c",
				"-D", "stream.num.map.output.key.fields=2", "-D", "mapreduce.partition.keypartitioner.options=-k1,1",
				"-D", "mapreduce.job.output.key.comparator.class=KeyFieldBasedComparator", "-D", "mapreduce.partition.keycomparator.options=-k1,1 -k2,2nr",
			),
			with(func(o *Options) {
				o.Partitioner, o.Combiner, o.KeyFields, o.PartitionOptions = "org.apache.hadoop.mapred.lib.KeyFieldBasedPartitioner", "c", 2, "-k1,1"
				o.Comparator, o.CompareOptions = "KeyFieldBasedComparator", "-k1,1 -k2,2nr"
				o.Properties = []string{
					"stream.num.map.output.key.fields=2", "mapreduce.partition.keypartitioner.options=-k1,1",
					"mapreduce.job.output.key.comparator.class=KeyFieldBasedComparator", "mapreduce.partition.keycomparator.options=-k1,1 -k2,2nr",
				}
			}),
		},
		{
			"where and who", needed("-master", "h:1", "-role", "web", "-user", "u", "-cpus", "0.5", "-mem", "100"),
			with(func(o *Options) { o.Master, o.Role, o.User, o.TaskCPUs, o.TaskMem = "h:1", "web", "u", 0.5, 100 }),
		},
		{
			"a switch that is off", needed("-verbose", "-verbose=false"), with(nil),
		},
		{
			"- and _ are the same", needed("--reconnect-timeout", "1m", "--connect_timeout", "2s"),
			with(func(o *Options) { o.ReconnectTimeout, o.ConnectTimeout = time.Minute, 2*time.Second }),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseArgs(test.args)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(Options{}, "Log")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheJobTrackerIsTakenOutHoweverItIsWritten(t *testing.T) {
	for _, args := range [][]string{{"-jobtracker", "h:1"}, {"--jobtracker=h:1"}, {"-JobTracker", "h:1"}, {"-jt=h:1"}} {
		rest, tracker, err := TakeTracker(slices.Concat([]string{"-input", "jobtracker"}, args, []string{"-name", "n"}))
		if err != nil || tracker != "h:1" || !slices.Equal(rest, []string{"-input", "jobtracker", "-name", "n"}) {
			t.Errorf("%q: got %q and %q, %v", args, rest, tracker, err)
		}
	}
}

func TestArgsThatAreWrong(t *testing.T) {
	needed := []string{"-input", "a", "-output", "o", "-mapper", "m", "-reducer", "r"}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "missing: -input, -output, -mapper, -reducer"},
		{"a reducer is missing", needed[:6], "missing: -reducer"},
		{
			"an unknown flag", append(needed, "-outputformat", "x"),
			"unknown flag -outputformat: allowed are -cmdenv, -combiner, -connect_timeout, -cpus, -d, -file, -files, -input, -inputformat, -jobconf, -mapper, -master, " +
				"-mem, -name, -numreducetasks, -output, -partitioner, -reconnect_timeout, -reducer, -role, -user, -verbose and -jobtracker",
		},
		{"a switch that is neither on nor off", append(needed, "-verbose=2"), `-verbose: "2": allowed are true and false`},
		{"a property without a name", append(needed, "-D", "=2"), `-D: "=2" has no name: wanted is PROPERTY=VALUE`},
		{"a value is missing", append(needed, "-master"), "-master: a value is missing"},
		{"an argument that is no flag", append(needed, "x"), `unexpected argument "x": every argument is a flag or a flag's value`},
		{"no number", append(needed, "-numReduceTasks", "many"), `-numReduceTasks: "many" is not a number from 0 to 10000`},
		{"less than no reduces", append(needed, "-numReduceTasks", "-1"), `-numReduceTasks: "-1" is not a number from 0 to 10000`},
		{"no memory to speak of", append(needed, "-mem", "1"), "memory of a map in MB is 1: allowed are 64 to 16777216"},
		{"NaN", append(needed, "-cpus", "NaN"), `-cpus: "NaN" is not a number above 0`},
		{"no duration", append(needed, "-reconnect_timeout", "30"), `-reconnect_timeout: "30" is not a duration above 0, such as 30s`},
		{"an empty path", append(needed, "-input", "b,,c"), `-input: "b,,c" has an empty path: allowed are paths, separated by commas`},
		{"a blank command", append(needed, "-mapper", " "), "no mapper: give a command by -mapper"},
		{"a property without a value", append(needed, "-D", "mapreduce.job.name"), `-D: "mapreduce.job.name" has no value: wanted is PROPERTY=VALUE`},
		{"an input format that is none", append(needed, "-inputformat", "avro"), `input format "avro": allowed are text, keyvalue, wholefile, nline`},
		{"a partitioner that is none", append(needed, "-partitioner", "a.B"), `partitioner "a.B": allowed are HashPartitioner and KeyFieldBasedPartitioner`},
		{
			"partitioner options without the partitioner", append(needed, "-D", "mapreduce.partition.keypartitioner.options=-k1"),
			"mapreduce.partition.keypartitioner.options needs -partitioner KeyFieldBasedPartitioner",
		},
		{
			"comparator options without the comparator", append(needed, "-D", "mapreduce.partition.keycomparator.options=-n"),
			"mapreduce.partition.keycomparator.options needs mapreduce.job.output.key.comparator.class=KeyFieldBasedComparator",
		},
		{
			"key options that are none", append(needed, "-partitioner", "KeyFieldBasedPartitioner", "-D", "mapreduce.partition.keypartitioner.options=-k0"),
			`key options "-k0": -k "0": fields count from 1`,
		},
		{"a variable without a name", append(needed, "-cmdenv", "=x"), `environment "=x": wanted is NAME=VALUE`},
		{"a codec", append(needed, "-D", "io.compression.codecs=lzo"), `-D: io.compression.codecs: "lzo": allowed is none`},
		{"a property with a wrong value", append(needed, "-Dmapreduce.job.reduces=x"), `-Dmapreduce.job.reduces: mapreduce.job.reduces: "x" is not a number from 0 to 10000`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseArgs(slices.Clone(test.args))
			var usage *UsageError
			if !errors.As(err, &usage) || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
	_, err := ParseArgs(append(needed, "-D", "mapred.x=1"))
	if err == nil || !strings.HasPrefix(err.Error(), `-D: unknown property "mapred.x": allowed are names of your own and dfs.namenode.http-address, io.compression.codecs, mapreduce.input`) {
		t.Errorf("got %v", err)
	}
	for _, help := range []string{"-h", "--help", "-help"} {
		if _, err := ParseArgs([]string{help}); !errors.Is(err, ErrHelp) {
			t.Errorf("%s: %v", help, err)
		}
	}
	for name := range flags() {
		if name == "d" || name == "jobconf" {
			continue
		}
		if !strings.Contains(strings.ToLower(HelpText()), "\n  -"+name+" ") {
			t.Errorf("the help does not tell of -%s", name)
		}
	}
}
