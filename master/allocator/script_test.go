package allocator

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
	"github.com/stoa-project/stoa/proto/resource"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the expected outputs in testdata")

// TestScripts runs testdata/*.txt, a rule each. A line that is not indented is an event; the indented ones after it are
// what comes of it: first who is offered what, in order, then each share that is another than before, with how it follows
// from what is held. That the share is what the line says is computed here, not by the allocator. What waits at the time
// of an event is done by itself, and after it every invariant is checked.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			w, g := strings.Split(string(want), "\n"), strings.Split(got, "\n")
			for i := range min(len(w), len(g)) {
				if w[i] != g[i] {
					t.Fatalf("%s:%d, see git diff after -rewrite\nwant %s\ngot  %s", file, i+1, w[i], g[i])
				}
			}
			if len(w) != len(g) {
				t.Fatalf("%s has %d lines, want %d", file, len(g), len(w))
			}
		})
	}
}

func runScript(t *testing.T, text string) string {
	s := &script{bench: newBench(t), offered: map[Client]map[string]resource.Resources{}, shown: map[string]string{}}
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue
		}
		b.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		s.line, s.out = line, nil
		s.do(strings.Fields(line))
		s.settle()
		for _, out := range s.out {
			b.WriteString("  " + out + "\n")
		}
	}
	return b.String()
}

// script is an allocator with what its caller remembers.
type script struct {
	*bench
	line    string
	out     []string
	offered map[Client]map[string]resource.Resources // by slave
	shown   map[string]string                        // shares
}

func (s *script) print(format string, args ...any) {
	s.out = append(s.out, fmt.Sprintf(format, args...))
}

func (s *script) fatal(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s\n  %s\nopen are %v", s.line, fmt.Sprintf(format, args...), s.offered)
}

// rivals are the children of the root, or those below it where the first choice is, with what they hold.
func (s *script) rivals() (nodes []*node, held map[*node]vector) {
	n := s.tree.root
	for len(n.order) == 1 && n.order[0].kind != clientNode {
		n = n.order[0]
	}
	held = map[*node]vector{}
	for _, rival := range n.order {
		nodes = append(nodes, rival)
		held[rival] = slices.Clone(rival.held)
	}
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(a.name, b.name) })
	return nodes, held
}

// standing shows the shares among which the next is chosen: who has the least of those that want it gets it.
func (s *script) standing(nodes []*node, held map[*node]vector) string {
	var parts []string
	for _, n := range nodes {
		rival := node{held: held[n], weight: n.weight}
		parts = append(parts, fmt.Sprintf("%s %.4f", n.name, s.tree.share(&rival)))
	}
	return strings.Join(parts, ", ")
}

// settle does what waits, and shows what has come of it.
func (s *script) settle() {
	rivals, held := s.rivals()
	for _, o := range s.run() {
		s.print("%s: %s is offered %s: %v", s.standing(rivals, held), o.Client, o.Slave, o.Resources)
		for n := s.tree.clients[o.Client]; n != nil; n = n.parent {
			if v, ok := held[n]; ok {
				v.add(s.tree.vector(o.Resources.Quantities()), 1)
				held[n] = v
			}
		}
		if s.offered[o.Client] == nil {
			s.offered[o.Client] = map[string]resource.Resources{}
		}
		s.offered[o.Client][o.Slave] = s.offered[o.Client][o.Slave].Add(o.Resources)
	}
	s.tree.refresh()
	seen := map[string]bool{}
	for _, path := range sortedKeys(s.tree.roles) {
		role := s.tree.roles[path]
		s.showShare("role "+path, role)
		seen["role "+path] = true
		if role.own == nil {
			continue
		}
		for _, id := range sortedKeys(role.own.children) {
			s.showShare(Client{id, path}.String(), role.own.children[id])
			seen[Client{id, path}.String()] = true
		}
	}
	for name := range s.shown {
		if !seen[name] {
			delete(s.shown, name)
		}
	}
}

// showShare shows a share that has changed: by the definition the largest part of a resource of the cluster, divided by
// the weight.
func (s *script) showShare(name string, n *node) {
	part, text := 0.0, "0"
	for _, resourceName := range sortedKeys(s.tree.names) {
		i := s.tree.names[resourceName]
		held, total := n.held.at(i), s.tree.total.at(i)
		if total > 0 && s.tree.fair[i] && float64(held)/float64(total) > part {
			part = float64(held) / float64(total)
			text = fmt.Sprintf("%s of %s %s", resource.FormatThousandths(held), resource.FormatThousandths(total), resourceName)
		}
	}
	share := part / n.weight
	if n.weight != 1 {
		text += fmt.Sprintf(", weight %v", n.weight)
	}
	if share != n.share {
		s.fatal("share of %s is %v, by the definition %v", name, n.share, share)
	}
	if text = fmt.Sprintf("%s: %.4f = %s", name, share, text); text != s.shown[name] && (share > 0 || s.shown[name] != "") {
		s.print("%s", text)
	}
	s.shown[name] = text
}

// do lets one event happen.
func (s *script) do(words []string) {
	var args []string
	options := map[string]string{}
	for _, w := range words[1:] {
		if name, value, ok := strings.Cut(w, "="); ok && !strings.ContainsAny(name, ":@") {
			options[name] = value
		} else {
			args = append(args, w)
		}
	}
	commands := map[string]func([]string, map[string]string){
		"born": s.born, "slave": s.slaveLine, "framework": s.frameworkLine, "terms": s.terms, "weight": s.weight, "quota": s.quota,
		"accept": s.accept, "decline": s.decline, "end": s.end, "charge": s.charge, "whitelist": s.whitelist, "explain": s.explain,
		"lost":       func(a []string, _ map[string]string) { s.RemoveSlave(a[0]); s.forgetSlave(a[0]) },
		"deactivate": func(a []string, _ map[string]string) { s.DeactivateSlave(a[0]) },
		"activate":   func(a []string, _ map[string]string) { s.ActivateSlave(a[0]) },
		"suppress":   func(a []string, _ map[string]string) { s.Suppress(s.client(a[0]).Framework, s.rolesOf(a)) },
		"revive":     func(a []string, _ map[string]string) { s.Revive(s.client(a[0]).Framework, s.rolesOf(a)) },
		"leave":      func(a []string, _ map[string]string) { s.DeactivateFramework(a[0]) },
		"back":       func(a []string, _ map[string]string) { s.ActivateFramework(a[0]) },
		"gone":       func(a []string, _ map[string]string) { s.RemoveFramework(a[0]) },
		"roles": func(a []string, o map[string]string) {
			s.UpdateFramework(a[0], strings.Split(a[1], ","), list(o["suppressed"]))
		},
		"tick": func(a []string, _ map[string]string) { s.tick(s.duration(a[0])) },
	}
	f := commands[words[0]]
	if f == nil {
		s.fatal("no such event")
	}
	f(args, options)
}

// tick lets time pass, and shows what happens at which time.
func (s *script) tick(wait time.Duration) {
	end := s.now.Add(wait)
	for next := s.Deadline(s.now); !next.IsZero() && !next.After(end); next = s.Deadline(s.now) {
		s.now = next
		before := len(s.out)
		s.settle()
		if len(s.out) > before {
			s.out = slices.Insert(s.out, before, s.now.Format("at 15:04:05"))
		}
	}
	s.now = end
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func (s *script) resources(text string) resource.Resources {
	r, err := resource.Parse(strings.ReplaceAll(text, "(revocable)", ""))
	if err != nil {
		s.fatal("%v", err)
	}
	return r
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.fatal("%v", err)
	}
	return d
}

// client reads F, the one of its only role, or F@ROLE.
func (s *script) client(text string) Client {
	id, role, ok := strings.Cut(text, "@")
	if !ok {
		if role = mesos.DefaultRole; s.frameworks[id] != nil {
			role = sortedKeys(s.frameworks[id].roles)[0]
		}
	}
	return Client{id, role}
}

// rolesOf are the roles after a framework, all of its own if there are none.
func (s *script) rolesOf(args []string) []string {
	if len(args) > 1 {
		return args[1:]
	}
	return sortedKeys(s.frameworks[args[0]].roles)
}

// born: born [unfair=NAMES] [region=R] [min=SETS]
func (s *script) born(_ []string, options map[string]string) {
	o := Options{Unfair: list(options["unfair"]), Region: options["region"]}
	if sets, ok := options["min"]; ok {
		o.Minimum = s.quantities(sets)
	}
	s.Allocator = New(o)
}

func (s *script) quantities(text string) []resource.Quantities {
	sets := []resource.Quantities{}
	for _, set := range strings.Split(text, "|") {
		if set != "" {
			sets = append(sets, s.resources(set).Quantities())
		}
	}
	return sets
}

// slaveLine: slave S[,S]... RESOURCES [revocable=RESOURCES] [refined=RESOURCES] [host=H] [attributes=A:V,A:V] [domain=R/Z]
func (s *script) slaveLine(args []string, options map[string]string) {
	total := s.resources(args[1])
	if text, ok := options["revocable"]; ok {
		total = total.Add(s.special(text, func(m *mesos.Resource) { m.Revocable = &mesos.Resource_RevocableInfo{} }))
	}
	if text, ok := options["refined"]; ok { // cpus(a/b):1 is reserved for a, and that for a/b.
		total = total.Add(s.special(text, func(m *mesos.Resource) {
			outer := strings.Split(m.GetReservations()[0].GetRole(), "/")[0]
			m.Reservations = append([]*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: &outer}}, m.Reservations...)
			m.Reservations[1].Type = mesos.Resource_ReservationInfo_DYNAMIC.Enum()
		}))
	}
	for _, id := range strings.Split(args[0], ",") {
		s.AddSlave(id, total)
		traits := Traits{Hostname: cmp.Or(options["host"], id)}
		traits.Region, traits.Zone, _ = strings.Cut(options["domain"], "/")
		for _, a := range list(options["attributes"]) {
			name, value, _ := strings.Cut(a, ":")
			_, err := strconv.ParseFloat(value, 64)
			traits.Attributes = append(traits.Attributes, Attribute{Name: name, Value: value, Text: err != nil})
		}
		s.SetTraits(id, traits)
	}
}

// special changes each of some resources.
func (s *script) special(text string, change func(*mesos.Resource)) resource.Resources {
	messages := s.resources(text).ToProto()
	for _, m := range messages {
		change(m)
	}
	r, err := resource.FromProto(messages)
	if err != nil {
		s.fatal("%v", err)
	}
	return r
}

// frameworkLine: framework F ROLE[,ROLE]... [suppressed=ROLES] and the options of terms
func (s *script) frameworkLine(args []string, options map[string]string) {
	s.AddFramework(args[0], strings.Split(args[1], ","), list(options["suppressed"]))
	s.terms(args, options)
	s.ActivateFramework(args[0])
}

// terms: terms F [can=gpus,regions,revocable,shared,refined] [min=ROLE:SETS] [want=ROLE:ATTRIBUTE:VALUE]
func (s *script) terms(args []string, options map[string]string) {
	known := map[string]Abilities{"gpus": GPUs, "regions": Regions, "revocable": Revocable, "shared": Shared, "refined": Refined}
	var terms Terms
	for _, name := range list(options["can"]) {
		terms.Abilities |= known[name]
	}
	if text, ok := options["min"]; ok {
		role, sets, _ := strings.Cut(text, ":")
		terms.Minimum = map[string][]resource.Quantities{role: s.quantities(sets)}
	}
	if text, ok := options["want"]; ok {
		role, rest, _ := strings.Cut(text, ":")
		name, value, _ := strings.Cut(rest, ":")
		one, err := ReadConstraints(&schedulerpb.OfferConstraints_RoleConstraints{Groups: []*schedulerpb.OfferConstraints_RoleConstraints_Group{{
			AttributeConstraints: []*schedulerpb.AttributeConstraint{textEquals(name, value)},
		}}})
		if err != nil {
			s.fatal("%v", err)
		}
		terms.Constraints = map[string]Constraints{role: one}
	}
	s.SetTerms(args[0], terms)
}

func (s *script) weight(args []string, _ map[string]string) {
	weight, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		s.fatal("%v", err)
	}
	s.SetWeight(args[0], weight)
}

// quota: quota ROLE [least=AMOUNTS] [most=AMOUNTS]
func (s *script) quota(args []string, options map[string]string) {
	s.SetQuota(args[0], Quota{Guarantees: s.amounts(options["least"]), Limits: s.amounts(options["most"])})
}

// amounts reads cpus:2;mem:0. Unlike in resources what is 0 is there.
func (s *script) amounts(text string) resource.Quantities {
	var q resource.Quantities
	for part := range strings.SplitSeq(text, ";") {
		if name, number, ok := strings.Cut(part, ":"); ok {
			value, err := strconv.ParseFloat(number, 64)
			if err != nil {
				s.fatal("%v", err)
			}
			q = q.Add(resource.Quantities{{Name: name, Thousandths: resource.Thousandths(value)}})
		}
	}
	return q
}

// take takes what is offered of a slave out of what the client has on offer.
func (s *script) take(c Client, slave string) resource.Resources {
	r := s.offered[c][slave]
	if r.IsEmpty() {
		s.fatal("%v is not offered anything of %s", c, slave)
	}
	delete(s.offered[c], slave)
	return r
}

// accept: accept F S RESOURCES [refuse=D]; the rest goes back and is refused, for 5 s or as long as is said
func (s *script) accept(args []string, options map[string]string) {
	c, slave := s.client(args[0]), args[1]
	all, used := s.take(c, slave), s.resources(args[2])
	rest, ok := all.Sub(used)
	if !ok {
		s.fatal("%v is not in the offer of %v", used, all)
	}
	s.Use(c, slave, used)
	s.giveBack(c, slave, rest, options)
}

// decline: decline F S... [refuse=D]
func (s *script) decline(args []string, options map[string]string) {
	for _, slave := range args[1:] {
		s.giveBack(s.client(args[0]), slave, s.take(s.client(args[0]), slave), options)
	}
}

func (s *script) giveBack(c Client, slave string, r resource.Resources, options map[string]string) {
	s.Return(c, slave, r)
	if refuse := s.duration(cmp.Or(options["refuse"], mesos.DefaultRefuse.String())); refuse > 0 {
		s.Refuse(c, slave, r, s.now.Add(refuse))
	}
}

// end: end F S RESOURCES, of a task
func (s *script) end(args []string, _ map[string]string) {
	s.Release(s.client(args[0]), args[1], s.resources(args[2]))
}

// charge: charge F S RESOURCES, which run there already
func (s *script) charge(args []string, _ map[string]string) {
	if err := s.Charge(s.client(args[0]), args[1], s.resources(args[2])); err != nil {
		s.fatal("%v", err)
	}
}

func (s *script) forgetSlave(slave string) {
	for _, offers := range s.offered {
		delete(offers, slave)
	}
}

// whitelist: whitelist HOST..., or whitelist * for all
func (s *script) whitelist(args []string, _ map[string]string) {
	if len(args) == 1 && args[0] == "*" {
		s.SetWhitelist(nil)
		return
	}
	s.SetWhitelist(append([]string{}, args...))
}

// explain: explain F|F@ROLE [need=AMOUNTS]; with a framework that is not there somebody who would come
func (s *script) explain(args []string, options map[string]string) {
	c, need := s.client(args[0]), s.resources(options["need"]).Quantities()
	standing := s.Standing(c, need)
	s.print("%v: share %.2f against fair %.2f", c, standing.Share, standing.Fair)
	for _, reason := range standing.Reasons {
		s.print("  %s", reason)
	}
	for _, id := range sortedKeys(s.ledger.slaves) {
		reason, _ := s.WhyNot(c, id, need, s.now)
		s.print("  %s: %s", id, reason)
	}
}
