// Mapreduce is five MapReduce jobs of typed functions in one program:
//
//	go build ./docs/examples/mapreduce
//	./mapreduce wordcount -input /usr/share/doc -output /tmp/words
//	./mapreduce grep 'GPL-[0-9]' -input /usr/share/doc -output /tmp/licenses
//	./mapreduce sort -input access.log -output /tmp/sorted
//	./mapreduce index -input /usr/share/doc -output /tmp/index
//	./mapreduce pi -input seeds -inputformat nline -output /tmp/pi    # seeds: a number on each line
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/stoa-project/stoa/frameworks/hadoop/mr"
)

func main() {
	name := ""
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	switch name {
	case "wordcount":
		os.Exit(wordCount().Main(os.Args[2:]))
	case "grep":
		if len(os.Args) < 3 {
			break
		}
		pattern, err := regexp.Compile(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		os.Exit(grep(pattern).Main(os.Args[3:]))
	case "sort":
		os.Exit(sortLines().Main(os.Args[2:]))
	case "index":
		os.Exit(invertedIndex().Main(os.Args[2:]))
	case "pi":
		os.Exit(pi().Main(os.Args[2:]))
	}
	fmt.Fprintln(os.Stderr, "usage: mapreduce wordcount|grep PATTERN|sort|index|pi -input PATH -output DIR")
	os.Exit(2)
}

func sum(counts iter.Seq[int64]) (total int64) {
	for n := range counts {
		total += n
	}
	return total
}

// wordCount counts words: what lies between white space.
func wordCount() mr.Job[[]byte, int64] {
	return mr.Job[[]byte, int64]{
		Name: "count words", Key: mr.Bytes{}, Value: mr.Int{},
		Map: func(line []byte, emit func([]byte, int64)) error {
			for word := range bytes.FieldsSeq(line) {
				emit(word, 1)
			}
			return nil
		},
		Combine: func(_ []byte, counts iter.Seq[int64], emit func(int64)) error {
			emit(sum(counts))
			return nil
		},
		Reduce: func(word []byte, counts iter.Seq[int64], out io.Writer) error {
			_, err := fmt.Fprintf(out, "%s\t%d\n", word, sum(counts))
			return err
		},
	}
}

// grep counts what a pattern matches.
func grep(pattern *regexp.Regexp) mr.Job[[]byte, int64] {
	job := wordCount()
	job.Name = "grep"
	job.Map = func(line []byte, emit func([]byte, int64)) error {
		for _, match := range pattern.FindAll(line, -1) {
			emit(match, 1)
		}
		return nil
	}
	return job
}

// sortLines sorts lines by their bytes, within each part of the output.
func sortLines() mr.Job[[]byte, struct{}] {
	return mr.Job[[]byte, struct{}]{
		Name: "sort", Key: mr.Bytes{}, Value: mr.None{},
		Map: func(line []byte, emit func([]byte, struct{})) error {
			emit(line, struct{}{})
			return nil
		},
		Reduce: func(line []byte, times iter.Seq[struct{}], out io.Writer) error {
			for range times {
				if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// place is where a word was seen.
type place struct {
	File string
	Line int
}

// invertedIndex tells for each word in which lines of which files it is.
func invertedIndex() mr.Job[string, place] {
	number := 0 // a mapper reads one file
	return mr.Job[string, place]{
		Name: "index", Key: mr.String{}, Value: mr.JSON[place]{}, Flags: []string{"-inputformat", "wholefile"},
		Map: func(line []byte, emit func(string, place)) error {
			number++
			at := place{filepath.Base(os.Getenv("mapreduce_map_input_file")), number}
			for word := range strings.FieldsFuncSeq(strings.ToLower(string(line)), func(r rune) bool { return !unicode.IsLetter(r) }) {
				emit(word, at)
			}
			return nil
		},
		Reduce: func(word string, places iter.Seq[place], out io.Writer) error {
			all := slices.SortedFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
			line := word
			for _, at := range slices.Compact(all) {
				line += fmt.Sprintf(" %s:%d", at.File, at.Line)
			}
			_, err := fmt.Fprintln(out, line)
			return err
		},
	}
}

// samplesPerSeed is how many points of the unit square a line of pi's input stands for.
const samplesPerSeed = 100_000

// tally is how many points there were, and how many of them in the circle.
type tally struct{ Hits, All int64 }

func tallyUp(tallies iter.Seq[tally]) (sum tally) {
	for t := range tallies {
		sum.Hits += t.Hits
		sum.All += t.All
	}
	return sum
}

// pi estimates π by random points: each line of the input is a seed.
func pi() mr.Job[struct{}, tally] {
	return mr.Job[struct{}, tally]{
		Name: "pi", Key: mr.None{}, Value: mr.JSON[tally]{},
		Map: func(line []byte, emit func(struct{}, tally)) error {
			seed, err := strconv.ParseUint(string(line), 10, 64)
			if err != nil {
				return fmt.Errorf("%q is no seed: wanted is a whole number on each line", line)
			}
			random, t := rand.New(rand.NewPCG(seed, 0)), tally{All: samplesPerSeed}
			for range samplesPerSeed {
				if x, y := random.Float64(), random.Float64(); x*x+y*y < 1 {
					t.Hits++
				}
			}
			emit(struct{}{}, t)
			return nil
		},
		Combine: func(_ struct{}, tallies iter.Seq[tally], emit func(tally)) error {
			emit(tallyUp(tallies))
			return nil
		},
		Reduce: func(_ struct{}, tallies iter.Seq[tally], out io.Writer) error {
			sum := tallyUp(tallies)
			_, err := fmt.Fprintf(out, "%.6f\n", 4*float64(sum.Hits)/float64(sum.All))
			return err
		},
	}
}
