// Bench runs MapReduce jobs on a running cluster beside what people would use instead, on files that it makes, and prints a
// table. Each line's floor ran in the same minutes on the same files:
//
//	go build -o /tmp/mapreduce ./docs/examples/mapreduce
//	stoa local --slaves 1 --resources 'cpus:2;mem:8192' &
//	go run ./frameworks/hadoop/bench -program /tmp/mapreduce -dir /tmp/bench -mb 1000
//
// Word count's floor is a shell pipeline, that of sort is GNU sort with two threads and the memory of two tasks. Apache
// Hadoop's local MapReduce runs the same jobs where tools/fetch-hadoop has been. Outputs are compared. The input of each is
// in the page cache, and what the one before has written is on the disk.
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
	"slices"
	"strings"
	"syscall"
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
	flag.StringVar(&b.lines, "lines", "wordcount,streaming,sort", "what to run: wordcount, streaming, sort, and tenfold, which is word count of ten times as much too")
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
	lines                      string
}

func (b bench) path(name string, megabytes int) string {
	return filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, megabytes))
}

// tenfold is how much more text the last line counts.
const tenfold = 10

func (b bench) run(ctx context.Context) error {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	fmt.Printf("| %d MB, tasks of %d MB | time | MB/s | x-floor | largest process |\n| --- | --- | --- | --- | --- |\n", b.megabytes, b.memory)
	sort := fmt.Sprintf("sort --parallel=2 -S %dM -T ", 2*b.memory)
	wordCount := contender{"word count: Stoa, Go API", b.job(b.program, "wordcount"), counts}
	for name := range strings.SplitSeq(b.lines, ",") {
		var err error
		switch name {
		case "wordcount":
			err = b.compare(ctx, "text", b.megabytes, []contender{
				{"word count: tr, sort, uniq -c", b.shell(`tr -s ' ' '\n' <"$0" | ` + sort + b.dir + ` | uniq -c >"$1"`), countsFirst},
				wordCount,
				{"word count: Apache Hadoop, local", b.hadoop(ctx, "wordcount"), counts},
			})
		case "streaming":
			err = b.compare(ctx, "text", b.megabytes, []contender{
				{"streaming cat: cat, sort", b.shell(`cat "$0" | ` + sort + b.dir + ` -o "$1"`), anyOrder},
				{"streaming cat: Stoa", b.job(b.stoa, "hadoop", "-mapper", "cat", "-reducer", "cat"), anyOrder},
			})
		case "sort":
			err = b.compare(ctx, "records", b.megabytes, []contender{
				{"sort: GNU sort", b.shell(sort + b.dir + ` -o "$1" "$0"`), inOrder},
				{"sort: Stoa, terasort of the Go API", b.job(b.program, "terasort"), inOrder},
				{"sort: Apache Hadoop, local terasort", b.hadoop(ctx, "terasort"), inOrder},
			})
		case "tenfold":
			err = b.grow(ctx, wordCount)
		default:
			err = fmt.Errorf("-lines has %q: allowed are wordcount, streaming, sort and tenfold", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// job is a job of Stoa's.
func (b bench) job(program string, words ...string) command {
	split := fmt.Sprintf("-Dmapreduce.input.fileinputformat.split.minsize=%d", 64<<20)
	words = append(words, "-master", b.master, "-mem", fmt.Sprint(b.memory), "-numReduceTasks", "2", split)
	return func(ctx context.Context, in, out string) (*exec.Cmd, error) {
		return exec.CommandContext(ctx, program, append(slices.Clone(words), "-input", in, "-output", out)...), nil
	}
}

func (b bench) shell(line string) command {
	return func(ctx context.Context, in, out string) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line, in, out)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		return cmd, nil
	}
}

// hadoop is one of Apache Hadoop's own examples; nil if it is not here, or not wanted.
func (b bench) hadoop(ctx context.Context, example string) command {
	h, err := apache.Find(filepath.Join(b.dir, "apache"))
	if err != nil || !b.apache {
		return nil
	}
	return func(_ context.Context, in, out string) (*exec.Cmd, error) {
		return h.Local(ctx, apache.Examples, example, "-Dmapreduce.job.reduces=2", in, out)
	}
}

// command makes a program that reads the file in and makes out, a file or a folder of parts.
type command func(ctx context.Context, in, out string) (*exec.Cmd, error)

// contender is a program for the job; without a command it is not here.
type contender struct {
	name    string
	command command
	digest  func(files []string) (string, error) // of its output: that of all contenders is the same
}

// compare runs all of them, the floor first, on a file of so many MB, and prints a line for each.
func (b bench) compare(ctx context.Context, what string, megabytes int, contenders []contender) error {
	in := b.path(what, megabytes)
	if err := b.generate(ctx, in, what, megabytes); err != nil {
		return err
	}
	floor, want := time.Duration(0), ""
	for _, c := range contenders {
		if c.command == nil {
			continue
		}
		r, err := b.measure(ctx, c, in)
		if err != nil {
			return err
		}
		if floor, want = cmp.Or(floor, r.took), cmp.Or(want, r.digest); r.digest != want {
			return fmt.Errorf("%s: the output is another than that of %s", c.name, contenders[0].name)
		}
		b.print(c.name, megabytes, r, r.took.Seconds()/floor.Seconds())
	}
	return nil
}

// grow counts the words of so many MB and of ten times as many. x-floor is a tenth of the time as a multiple of the first.
func (b bench) grow(ctx context.Context, c contender) error {
	floor := time.Duration(0)
	for _, megabytes := range []int{b.megabytes, tenfold * b.megabytes} {
		in := b.path("text", megabytes)
		if err := b.generate(ctx, in, "text", megabytes); err != nil {
			return err
		}
		r, err := b.measure(ctx, c, in)
		if err != nil {
			return err
		}
		floor = cmp.Or(floor, r.took)
		b.print(fmt.Sprintf("%s, %d MB", c.name, megabytes), megabytes, r, r.took.Seconds()/floor.Seconds()*float64(b.megabytes)/float64(megabytes))
	}
	return nil
}

func (b bench) print(name string, megabytes int, r result, ratio float64) {
	fmt.Printf("| %s | %.1f s | %.0f | %.2f | %d MB |\n", name, r.took.Seconds(), float64(megabytes)/r.took.Seconds(), ratio, r.peak>>20)
}

// result is what a program has taken: its time, and the bytes of its largest process.
type result struct {
	took   time.Duration
	peak   int64
	digest string
}

// measure runs one of them. Its input is in memory, and what others have written is on the disk.
func (b bench) measure(ctx context.Context, c contender, in string) (result, error) {
	out := filepath.Join(b.dir, "out")
	if err := errors.Join(os.RemoveAll(out), readAll(in)); err != nil {
		return result{}, err
	}
	syscall.Sync()
	cmd, err := c.command(ctx, in, out)
	if err != nil {
		return result{}, err
	}
	tasks, watched := watchTasks(), time.Now()
	said, err := cmd.CombinedOutput()
	r := result{took: time.Since(watched), peak: tasks()}
	if err != nil {
		return r, fmt.Errorf("%s: %w: %s", c.name, err, said)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.peak = max(r.peak, usage.Maxrss<<10)
	}
	files := []string{out}
	if parts, err := filepath.Glob(filepath.Join(out, "part-*")); err == nil && len(parts) > 0 {
		files = parts
	}
	r.digest, err = c.digest(files)
	return r, err
}

// generate makes a file if it is not there: text of 50,000 words that are as unevenly frequent as words are, or records as
// teragen makes them.
func (b bench) generate(ctx context.Context, path, what string, megabytes int) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if what == "records" {
		return b.generateRecords(ctx, path, megabytes)
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
	for written < megabytes*1e6 {
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

func (b bench) generateRecords(ctx context.Context, path string, megabytes int) error {
	ranges := path + "-ranges"
	var lines strings.Builder
	const each = 500_000
	total := megabytes * 10_000
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
