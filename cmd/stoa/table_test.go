package main

import (
	"strings"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop"
)

func TestTextsOfOthersDoNothingToATerminal(t *testing.T) {
	for text, want := range map[string]string{
		"a job":                  "a job",
		`it said "no", größer`:   `it said "no", größer`,
		"\x1b[2J":                `"\x1b[2J"`,
		"two\nlines":             `"two\nlines"`,
		"\xff":                   `"\xff"`,
		"right\u202eto left":     `"right\u202eto left"`,
		"C1 \u009b2J, a \"bit\"": `"C1 \u009b2J, a \"bit\""`,
	} {
		if got := printable(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestACellOfATableIsOneAndInItsLine(t *testing.T) {
	var out strings.Builder
	if err := table(&out, []string{"ID", "MESSAGE", "AGE"}, [][]string{{"t", "two\n\tlines\x1b[2J", "1s"}, {"u", "-", "2s"}}); err != nil {
		t.Fatal(err)
	}
	want := "ID  MESSAGE                AGE\n" +
		"t   \"two\\n\\tlines\\x1b[2J\"  1s\n" +
		"u   -                      2s\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestALongNameLeavesRoomInATable(t *testing.T) {
	for text, want := range map[string]string{
		strings.Repeat("ü", 40): strings.Repeat("ü", 40),
		strings.Repeat("ü", 41): strings.Repeat("ü", 39) + "…",
	} {
		var out strings.Builder
		if err := listJobs(&out, []hadoop.JobStatus{{ID: "job-1", Name: text}}); err != nil || !strings.Contains(out.String(), "  "+want+"  ") {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

func TestWhatTasksSayOfThemselvesDoesNothingToATerminal(t *testing.T) {
	var out strings.Builder
	result := hadoop.Result{
		Output: "/o", TasksPerSlave: map[string]int{"b": 2, "a": 1},
		Statuses: []hadoop.TaskStatus{{Task: "map 1 of 1", Text: "\x1b[2J"}},
	}
	printJob(&out, result)
	printReports(&out, result, false)
	for _, want := range []string{"tasks    a: 1  b: 2\noutput   /o\n", `  map 1 of 1: "\x1b[2J"` + "\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
