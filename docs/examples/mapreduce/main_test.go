package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const poem = "To be, or not to be,\nthat is the question:\n\nWhether 'tis\tnobler in the mind to suffer\nThe slings and arrows"

// counted is what word count and grep print for some words.
func counted(words []string) string {
	counts := map[string]int{}
	for _, word := range words {
		counts[word]++
	}
	var out strings.Builder
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&out, "%s\t%d\n", word, counts[word])
	}
	return out.String()
}

func TestWordCountIsThatOfAMap(t *testing.T) {
	got, err := wordCount().Local(strings.NewReader(poem))
	if diff := cmp.Diff(counted(strings.Fields(poem)), got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestGrepCountsWhatMatches(t *testing.T) {
	pattern := regexp.MustCompile(`t[a-z]|\bb`)
	got, err := grep(pattern).Local(strings.NewReader(poem))
	if diff := cmp.Diff(counted(pattern.FindAllString(poem, -1)), got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestSortIsThatOfSlices(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var lines []string
	for range 5000 {
		line := make([]byte, random.IntN(4))
		for i := range line {
			if line[i] = byte(random.IntN(256)); line[i] == '\n' {
				line[i] = '\t'
			}
		}
		lines = append(lines, string(line)+"\n")
	}
	got, err := sortLines().Local(strings.NewReader(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[:len(a)-1], b[:len(b)-1]) })
	if got != strings.Join(lines, "") {
		t.Error("the lines are not sorted")
	}
}

func TestTheIndexTellsFilesAndLines(t *testing.T) {
	t.Setenv("mapreduce_map_input_file", "/some/where/poem")
	got, err := invertedIndex().Local(strings.NewReader("Be or be\nnot to be\n"))
	if diff := cmp.Diff("be poem:1 poem:2\nnot poem:2\nor poem:1\nto poem:2\n", got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestPiIsThatOfALoop(t *testing.T) {
	hits := 0
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 0))
		for range samplesPerSeed {
			if x, y := random.Float64(), random.Float64(); x*x+y*y < 1 {
				hits++
			}
		}
	}
	got, err := pi().Local(strings.NewReader("0\n1\n2\n"))
	if want := fmt.Sprintf("%.6f\n", 4*float64(hits)/(3*samplesPerSeed)); got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if _, err := pi().Local(strings.NewReader("x\n")); err == nil {
		t.Error("a line that is no seed was not refused")
	}
}
