package integration

import (
	"fmt"
	"os/exec"
	"strings"
)

// Unplug takes the machine's cable out of the switch: nothing passes, in either direction, and its connections stay as they are. Its
// loopback works on.
func (m *Machine) Unplug() {
	m.lan.t.Helper()
	if err := m.lan.handle.LinkSetDown(m.port); err != nil {
		m.lan.t.Fatalf("unplug %s: %v", m.name, err)
	}
}

// Plug puts the cable back.
func (m *Machine) Plug() {
	m.lan.t.Helper()
	if err := m.lan.handle.LinkSetUp(m.port); err != nil {
		m.lan.t.Fatalf("plug %s: %v", m.name, err)
	}
}

// LoseReceived has the machine lose so many percent of the packets that come over its cable, by chance; 100 are all. Losses add
// up, until Heal. This and the methods below need the program nft: see [NeedsProgram].
func (m *Machine) LoseReceived(percent int) { m.lan.t.Helper(); m.lose("in", "iifname eth0", percent) }

// LoseSent has it lose so many percent of the packets that it sends over its cable.
func (m *Machine) LoseSent(percent int) { m.lan.t.Helper(); m.lose("out", "oifname eth0", percent) }

// Lose has it lose so many percent of the packets in each direction.
func (m *Machine) Lose(percent int) {
	m.lan.t.Helper()
	m.LoseReceived(percent)
	m.LoseSent(percent)
}

// CutLoopback has nothing pass any more within the machine from one TCP port to another; 0 is any.
func (m *Machine) CutLoopback(from, to int) {
	m.lan.t.Helper()
	match := "oifname lo meta l4proto tcp"
	if from != 0 {
		match += fmt.Sprintf(" tcp sport %d", from)
	}
	if to != 0 {
		match += fmt.Sprintf(" tcp dport %d", to)
	}
	m.lose("out", match, 100)
}

// Heal takes all losses of the machine back.
func (m *Machine) Heal() {
	m.lan.t.Helper()
	m.losses = nil
	m.filter()
}

func (m *Machine) lose(chain, match string, percent int) {
	m.lan.t.Helper()
	if percent < 1 || percent > 100 {
		m.lan.t.Fatalf("a loss of %d percent: allowed are 1 to 100", percent)
	}
	if percent < 100 {
		match += fmt.Sprintf(" numgen random mod 100 < %d", percent)
	}
	m.losses = append(m.losses, fmt.Sprintf("add rule inet losses %s %s drop", chain, match))
	m.filter()
}

// filter replaces the machine's rules by those that there are now, at once.
func (m *Machine) filter() {
	m.lan.t.Helper()
	NeedsProgram(m.lan.t, "nft", "nftables")
	rules := append([]string{
		"add table inet losses", "delete table inet losses", "add table inet losses", // whether there was one or not
		"add chain inet losses in { type filter hook input priority 0; }",
		"add chain inet losses out { type filter hook output priority 0; }",
	}, m.losses...)
	command := exec.Command("nft", "-f", "-")
	command.Stdin = strings.NewReader(strings.Join(rules, "\n") + "\n")
	var said strings.Builder
	command.Stdout, command.Stderr = &said, &said
	if err := m.Do(command.Start); err != nil {
		m.lan.t.Fatalf("nft in %s: %v", m.name, err)
	}
	if err := command.Wait(); err != nil {
		m.lan.t.Fatalf("nft in %s: %v: %s", m.name, err, said.String())
	}
}
