package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/stoa-project/stoa/frameworks/hadoop/mr"
)

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

// place is where a word was seen.
type place struct {
	File string
	Line int
}

// invertedIndex tells for each word in which lines of which files it is.
func invertedIndex() mr.Job[string, place] {
	at := place{} // of the line that is read
	return mr.Job[string, place]{
		Name: "index", Key: mr.String{}, Value: mr.JSON[place]{}, Flags: []string{"-inputformat", "wholefile"},
		Begin: func(file mr.Split) error {
			at = place{File: filepath.Base(file.File)}
			return nil
		},
		Map: func(line []byte, emit func(string, place)) error {
			at.Line++
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
