package hadoop

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop/apache"
)

// apacheClasses are what Apache Hadoop calls things that have short names here.
var apacheClasses = map[string]string{
	"keyvaluetextinputformat":  "org.apache.hadoop.mapred.KeyValueTextInputFormat",
	"keyvalue":                 "org.apache.hadoop.mapred.KeyValueTextInputFormat",
	"nline":                    "org.apache.hadoop.mapred.lib.NLineInputFormat",
	"keyfieldbasedpartitioner": "org.apache.hadoop.mapred.lib.KeyFieldBasedPartitioner",
	"keyfieldbasedcomparator":  "org.apache.hadoop.mapred.lib.KeyFieldBasedComparator",
	"wholefile":                "org.apache.hadoop.mapred.TextInputFormat", // with wholeFiles
}

// wholeFiles gives a mapper all lines of a file: Apache Hadoop has no format of whole files, and this is as good for lines that
// end with \n alone.
const wholeFiles = "mapreduce.input.fileinputformat.split.minsize=1099511627776"

// leastCompared is how many jobs are held against Apache Hadoop at least.
const leastCompared = 20

// apacheArgs are a job's arguments as Apache Hadoop takes them: its generic options first, and as it runs commands without a
// shell, each is a script that has the working directory in its path.
func apacheArgs(t *testing.T, dir string, args []string) []string {
	t.Helper()
	generic, rest := []string{"-D", "stream.non.zero.exit.is.failure=true"}, []string(nil)
	files := []string(nil)
	full := func(name string) string {
		if class, ok := apacheClasses[strings.ToLower(class(name))]; ok {
			return class
		}
		return name
	}
	for i := 0; i+1 < len(args); i += 2 {
		flag, value := args[i], args[i+1]
		switch flag {
		case "-D", "-jobconf":
			name, v, _ := strings.Cut(value, "=")
			generic = append(generic, "-D", name+"="+full(v))
		case "-file", "-files":
			files = append(files, strings.Split(value, ",")...)
		case "-mapper", "-combiner", "-reducer":
			if value == ReducerNone {
				rest = append(rest, flag, value)
				break
			}
			script := flag[1:] + "-command"
			write(t, filepath.Join(dir, script), "PATH=$PWD:$PATH\n"+value+"\n")
			files = append(files, script)
			rest = append(rest, flag, "/bin/sh "+script)
		case "-inputformat":
			if value == "wholefile" {
				generic = append(generic, "-D", wholeFiles)
			}
			rest = append(rest, flag, full(value))
		default:
			rest = append(rest, flag, full(value))
		}
	}
	return slices.Concat(generic, []string{"-files", strings.Join(files, ",")}, rest)
}

// Two habits of Apache Hadoop are not ours: a line of the output that has no value gets a tab at its end, and \r before \n is
// lost.
func withoutHabits(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\t\n", "\n")
}

// The same scripts by Apache Hadoop's own local runner: what pipelines are held to be is what Hadoop does. A script says if
// Apache Hadoop can not run it, or keeps no order of equal keys.
func TestStreamingJobsGiveWhatApacheHadoopGives(t *testing.T) {
	if testing.Short() {
		t.Skip("a Java machine for each of 20 jobs")
	}
	t.Setenv("LC_ALL", "C")
	scripts, err := filepath.Glob("testdata/streaming/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	compared, excused := 0, 0
	for _, path := range scripts {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			hadoop, err := apache.Find(t.TempDir())
			if errors.Is(err, apache.ErrMissing) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			script := readScript(t, path, dir)
			if script.notApache != "" {
				excused++
				t.Skip(script.notApache)
			}
			if script.setup != "" {
				inShell(t, dir, script.setup)
			}
			if script.apacheSetup != "" {
				inShell(t, dir, script.apacheSetup)
			}
			inShell(t, dir, "chmod -R u+x .") // it runs shipped files where they lie
			out := filepath.Join(dir, "apache-out")
			args := append(apacheArgs(t, dir, script.args(t, dir)), "-output", out)
			cmd, err := hadoop.Local(t.Context(), apache.Streaming, args...)
			if err != nil {
				t.Fatal(err)
			}
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "HADOOP_CONF_DIR=")
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, said[max(0, len(said)-3000):])
			}
			pipeline := cmp.Or(script.apachePipeline, script.pipeline)
			want, got := withoutHabits(inShell(t, dir, pipeline)), withoutHabits(inShell(t, dir, "cat apache-out/part-*"))
			if script.anyOrder || script.apacheAnyOrder {
				want, got = sortedLines(want), sortedLines(got)
			}
			if want != got {
				t.Errorf("%s\n%.2000q, the pipeline gives\n%.2000q", script.job, got, want)
			}
			compared++
		})
	}
	t.Logf("%d of %d jobs compared", compared, len(scripts))
	if compared+excused == len(scripts) && compared < leastCompared {
		t.Errorf("want at least %d", leastCompared)
	}
}
