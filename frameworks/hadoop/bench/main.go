// Bench runs MapReduce jobs on a running cluster beside what people would use instead, on files that it makes, and prints a
// table. Each line's floor ran in the same minutes on the same files:
//
//	go build -o /tmp/mapreduce ./docs/examples/mapreduce
//	stoa local --slaves 1 --resources 'cpus:2;mem:8192' &
//	go run ./frameworks/hadoop/bench -program /tmp/mapreduce -dir /tmp/bench -mb 1000
//
// Word count's floor is a shell pipeline, that of sort is GNU sort with two threads and the memory of two tasks. Apache
// Hadoop's local MapReduce runs the same jobs where tools/fetch-hadoop has been.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stoa-project/stoa/frameworks/hadoop/apache"
)

func main() {
	b := bench{}
	flag.StringVar(&b.program, "program", "", "the program of docs/examples/mapreduce")
	flag.StringVar(&b.stoa, "stoa", "stoa", "the stoa binary")
	flag.StringVar(&b.master, "master", "127.0.0.1:5050", "HOST:PORT of the master")
	flag.StringVar(&b.dir, "dir", "", "a folder for some times -mb of files, which are kept for the next run")
	flag.IntVar(&b.megabytes, "mb", 1000, "MB of input, 10^6 bytes each")
	flag.IntVar(&b.memory, "mem", 512, "MB of memory of a task")
	flag.BoolVar(&b.apache, "apache", true, "Apache Hadoop beside, if it is there")
	flag.Parse()
	if b.program == "" || b.dir == "" {
		fmt.Fprintln(os.Stderr, "needed are -program and -dir; see -help")
		os.Exit(2)
	}
	if err := b.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type bench struct {
	program, stoa, master, dir string
	megabytes, memory          int
	apache                     bool
}

func (b bench) path(name string) string {
	return filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.megabytes))
}

func (b bench) run(ctx context.Context) error {
	text, records := b.path("text"), b.path("records")
	if err := errors.Join(os.MkdirAll(b.dir, 0o755), b.generate(ctx, text, "text"), b.generate(ctx, records, "records")); err != nil {
		return err
	}
	fmt.Printf("| %d MB, tasks of %d MB | time | MB/s | x-floor |\n| --- | --- | --- | --- |\n", b.megabytes, b.memory)
	split := fmt.Sprintf("-Dmapreduce.input.fileinputformat.split.minsize=%d", 64<<20)
	common := []string{"-master", b.master, "-mem", fmt.Sprint(b.memory), "-numReduceTasks", "2", split}
	job := func(program string, words ...string) func(in, out string) *exec.Cmd {
		return func(in, out string) *exec.Cmd {
			return exec.CommandContext(ctx, program, append(append(words, "-input", in, "-output", out), common...)...)
		}
	}
	shell := func(line string) func(in, out string) *exec.Cmd {
		return func(in, out string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line, in, out)
			cmd.Env = append(os.Environ(), "LC_ALL=C")
			return cmd
		}
	}
	sort := fmt.Sprintf("sort --parallel=2 -S %dM -T ", 2*b.memory)
	return errors.Join(
		b.compare(text, []contender{
			{"word count: tr, sort, uniq -c", shell(`tr -s ' ' '\n' <"$0" | ` + sort + b.dir + ` | uniq -c >"$1"`)},
			{"word count: Stoa, Go API", job(b.program, "wordcount")},
			{"word count: Apache Hadoop, local", b.hadoop(ctx, "wordcount")},
			{"streaming cat: Stoa", job(b.stoa, "hadoop", "-mapper", "cat", "-reducer", "cat")},
		}),
		b.compare(records, []contender{
			{"sort: GNU sort", shell(sort + b.dir + ` -o "$1" "$0"`)},
			{"sort: Stoa, terasort of the Go API", job(b.program, "terasort")},
		}),
	)
}

// contender is a program for the job; nil: it is not here.
type contender struct {
	name    string
	command func(in, out string) *exec.Cmd
}

// compare runs all of them, the floor first, and prints a line for each.
func (b bench) compare(in string, contenders []contender) error {
	floor := time.Duration(0)
	for _, c := range contenders {
		if c.command == nil {
			continue
		}
		out := filepath.Join(b.dir, "out")
		if err := os.RemoveAll(out); err != nil {
			return err
		}
		begin := time.Now()
		if said, err := c.command(in, out).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", c.name, err, said)
		}
		took := time.Since(begin)
		floor = cmp.Or(floor, took)
		fmt.Printf("| %s | %.1f s | %.0f | %.2f |\n", c.name, took.Seconds(), float64(b.megabytes)/took.Seconds(), took.Seconds()/floor.Seconds())
	}
	return nil
}

// hadoop is one of Apache Hadoop's own examples.
func (b bench) hadoop(ctx context.Context, example string) func(in, out string) *exec.Cmd {
	h, err := apache.Find(filepath.Join(b.dir, "apache"))
	if err != nil || !b.apache {
		return nil
	}
	return func(in, out string) *exec.Cmd {
		cmd, err := h.Local(ctx, apache.Examples, example, "-Dmapreduce.job.reduces=2", in, out)
		if err != nil {
			return exec.Command("/bin/false")
		}
		return cmd
	}
}

// generate makes a file if it is not there: text of 50,000 words that are as unevenly frequent as words are, or records as
// teragen makes them.
func (b bench) generate(ctx context.Context, path, what string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if what == "records" {
		return b.generateRecords(ctx, path)
	}
	file, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	defer file.Close()
	w, written := bufio.NewWriterSize(file, 1<<20), 0
	random := rand.New(rand.NewPCG(3, 4))
	words := make([]string, 50_000)
	for i := range words {
		words[i] = strings.ToLower(fmt.Sprintf("%c%0*X", 'a'+i%26, 1+random.IntN(9), i))
	}
	frequency := rand.NewZipf(random, 1.1, 4, uint64(len(words)-1))
	for written < b.megabytes*1e6 {
		end := " "
		if random.IntN(10) == 0 {
			end = "\n"
		}
		n, _ := w.WriteString(words[frequency.Uint64()] + end) // Flush tells of an error
		written += n
	}
	if err := errors.Join(w.Flush(), file.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (b bench) generateRecords(ctx context.Context, path string) error {
	ranges := b.path("ranges")
	var lines strings.Builder
	const each = 500_000
	total := b.megabytes * 10_000
	for first := 0; first < total; first += each {
		fmt.Fprintf(&lines, "%d %d\n", first, min(each, total-first))
	}
	if err := os.WriteFile(ranges, []byte(lines.String()), 0o644); err != nil {
		return err
	}
	parts := path + "-parts"
	if said, err := exec.CommandContext(ctx, b.program, "teragen", "-master", b.master, "-input", ranges, "-output", parts).CombinedOutput(); err != nil {
		return fmt.Errorf("teragen: %w: %s", err, said)
	}
	if said, err := exec.CommandContext(ctx, "/bin/sh", "-c", `cat "$0"/part-* >"$1" && rm -r "$0"`, parts, path).CombinedOutput(); err != nil {
		return fmt.Errorf("gather the records: %w: %s", err, said)
	}
	return nil
}
