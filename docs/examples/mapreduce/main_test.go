package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	path := filepath.Join(t.TempDir(), "poem")
	if err := os.WriteFile(path, []byte("Be or be\nnot to be\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := invertedIndex().Local(file)
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

// generated are the records of some ranges, and their lines.
func generated(t *testing.T, ranges string) (string, []string) {
	t.Helper()
	text, err := teraGen().Local(strings.NewReader(ranges))
	if err != nil {
		t.Fatal(err)
	}
	return text, slices.Collect(strings.Lines(text))
}

func TestTeraGenMakesGensortsFormat(t *testing.T) {
	_, lines := generated(t, "0 3\n65535 1\n18446744073709551614 1\n")
	format := regexp.MustCompile(`^[ -~]{10}  [0-9A-F]{32}  [0-9A-F]{52}\r\n$`)
	for i, line := range lines {
		if len(line) != 100 || !format.MatchString(line) {
			t.Errorf("record %d is %q", i, line)
		}
	}
	if len(lines) != 5 || lines[3][12:44] != fmt.Sprintf("%032X", 65535) || lines[4][12:44] != "0000000000000000FFFFFFFFFFFFFFFE" {
		t.Errorf("got %q", lines)
	}
	if _, again := generated(t, "2 1"); again[0] != lines[2] {
		t.Errorf("record 2 is %q and %q", lines[2], again[0])
	}
	for _, bad := range []string{"", "7", "a b", "-1 3"} {
		if _, err := teraGen().Local(strings.NewReader(bad + "\n")); err == nil {
			t.Errorf("the range %q was not refused", bad)
		}
	}
}

func TestTeraSortIsThatOfSlices(t *testing.T) {
	text, lines := generated(t, "0 2000\n100 50\n")
	got, err := teraSort().Local(strings.NewReader(text))
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(a[:10], b[:10]) })
	if err != nil || got != strings.Join(lines, "") {
		t.Errorf("the records are not sorted: %v", err)
	}
	if got, err := teraSort().Local(strings.NewReader("b\na\n\n")); got != "\na\nb\n" || err != nil {
		t.Errorf("short lines: %q, %v", got, err)
	}
}

func TestTeraValidateCountsWhatIsOutOfOrder(t *testing.T) {
	_, lines := generated(t, "0 500\n")
	slices.Sort(lines)
	good, err := teraValidate().Local(strings.NewReader(strings.Join(lines, "")))
	if err != nil || !strings.HasPrefix(good, "records\t500\nunordered\t0\nchecksum\t") {
		t.Fatalf("sorted: %s, %v", good, err)
	}
	lines[200], lines[300] = lines[300], lines[200]
	bad, err := teraValidate().Local(strings.NewReader(strings.Join(lines, "")))
	want := ".: 2 records come after a higher one\n" + strings.Replace(good, "unordered\t0", "unordered\t2", 1)
	if diff := cmp.Diff(want, bad); diff != "" || err != nil {
		t.Errorf("two exchanged, %v (-want +got):\n%s", err, diff)
	}
	lines[7] = strings.ToLower(lines[7])
	changed, _ := teraValidate().Local(strings.NewReader(strings.Join(lines, "")))
	if changed == bad {
		t.Error("a record that is another has the same checksum")
	}
}
