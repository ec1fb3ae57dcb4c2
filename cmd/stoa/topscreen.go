package main

import (
	"bytes"
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"
)

// barWidth is how many signs a bar has.
const barWidth = 20

// lines are the screen without colours: as many as there is to say.
func (s *topSample) lines(master string) []string {
	lines := []string{
		fmt.Sprintf("stoa top  %s  %s", master, s.At.Format("15:04:05")),
		fmt.Sprintf("%s connected, %d away  %s  %s open", plural(s.Slaves.Connected, "slave"), s.Slaves.Disconnected, plural(s.Frameworks, "framework"), plural(s.Offers, "offer")),
		fmt.Sprintf("tasks: %d running, %d staging, %d starting, %d killing", s.Tasks["running"], s.Tasks["staging"], s.Tasks["starting"], s.Tasks["killing"]),
		fmt.Sprintf("per second: %.1f offers, %.1f launches, %.1f updates", s.Rates["offers"], s.Rates["launches"], s.Rates["updates"]),
	}
	for _, r := range s.Resources {
		lines = append(lines, fmt.Sprintf("%-5s %s %3.0f%%  %s of %s", r.Name, bar(r.Used/r.Total), 100*r.Used/r.Total, number(r.Used), number(r.Total)))
	}
	var rows [][]string
	for _, r := range s.Roles {
		rows = append(rows, []string{r.Name, bar(r.Share), percent(r.Share), percent(r.Fair), number(r.Weight), itoa(r.Frameworks), r.Resources.number("cpus"), r.Resources.number("mem")})
	}
	lines = append(append(lines, ""), tableLines([]string{"ROLE", "", "SHARE", "FAIR", "WEIGHT", "FRAMEWORKS", "CPUS", "MEM (MB)"}, rows)...)
	rows = nil
	for _, n := range s.Nodes {
		state := "active"
		if !n.Active {
			state = "away"
		}
		rows = append(rows, []string{n.Hostname, state, bar(n.load()), used(n.Used, n.Resources, "cpus"), used(n.Used, n.Resources, "mem"), n.Offered.number("cpus"), n.ID})
	}
	return append(append(lines, ""), tableLines([]string{"NODE", "STATE", "", "CPUS", "MEM (MB)", "OFFERED CPUS", "ID"}, rows)...)
}

func tableLines(header []string, rows [][]string) []string {
	var b bytes.Buffer
	_ = table(&b, header, rows) // A buffer takes everything.
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

func bar(part float64) string {
	full := min(barWidth, max(0, int(part*barWidth+0.5)))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}

func percent(part float64) string { return fmt.Sprintf("%.0f%%", 100*part) }

func number(value float64) string { return amounts{"": value}.number("") }

// screen is what a terminal of this size shows: the lines that fit, each cut where the terminal ends, and the keys below.
func (s *topSample) screen(master, note, keys string, width, height int) string {
	lines := s.lines(master)
	if note != "" {
		lines = append([]string{note}, lines...)
	}
	room := max(1, height-1)
	if len(lines) > room {
		lines = append(lines[:max(0, room-1)], fmt.Sprintf("… %d more lines", len(lines)-room+1))
	}
	cut := lipgloss.NewStyle().MaxWidth(max(1, width))
	bold, warning, faint := lipgloss.NewStyle().Bold(true), lipgloss.NewStyle().Foreground(lipgloss.Red), lipgloss.NewStyle().Faint(true)
	for i, line := range lines {
		line = cut.Render(line)
		switch {
		case i == 0 && note != "":
			line = warning.Render(line)
		case strings.HasPrefix(line, "stoa top"), strings.HasPrefix(line, "ROLE "), strings.HasPrefix(line, "NODE "):
			line = bold.Render(line)
		}
		lines[i] = line
	}
	for len(lines) < room {
		lines = append(lines, "")
	}
	return strings.Join(append(lines, faint.Render(cut.Render(keys))), "\n")
}
