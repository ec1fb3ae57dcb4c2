package core

import (
	"slices"
	"strings"

	"github.com/stoa-project/stoa/master/registry"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// What each line of a script does.

// bornLine: born [domain=REGION/ZONE] [min=SETS] [offer_timeout=D] [completed_frameworks=N] [completed_tasks=N] [tasks_of_framework=N] [unreachable_tasks=N]
func (s *script) bornLine(_ []string, options map[string]string) {
	var c Config
	for name, field := range map[string]*int{
		"completed_frameworks": &c.MaxCompletedFrameworks, "completed_tasks": &c.MaxCompletedTasks,
		"tasks_of_framework": &c.MaxCompletedTasksPerFramework, "unreachable_tasks": &c.MaxUnreachableTasksPerFramework,
	} {
		if text, ok := options[name]; ok {
			*field = s.number(text)
		}
	}
	if timeout, ok := options["offer_timeout"]; ok {
		c.OfferTimeout = s.duration(timeout)
	}
	if sets, ok := options["min"]; ok {
		c.MinAllocatable = s.quantities(sets)
	}
	s.domain = nil
	if text, ok := options["domain"]; ok {
		s.domain = domain(text)
	}
	s.life--
	s.birth(c, registry.State{}, false)
}

// restart: the master dies, another is born; with durable it finds what the registry had.
func (s *script) restart(args []string, _ map[string]string) {
	state := registry.State{}
	durable := slices.Contains(args, "durable")
	if durable {
		state = s.core.registry.Clone()
	}
	s.birth(Config{}, state, durable)
}

func (s *script) seed(args []string, _ map[string]string) { s.step(Seed{uint64(s.number(args[0]))}) }

// tickLine lets time pass, with every tick that the core asks for.
func (s *script) tickLine(args []string, _ map[string]string) {
	end := s.now.Add(s.duration(args[0]))
	for next := s.core.Deadline(); !next.IsZero() && !next.After(end); next = s.core.Deadline() {
		if next.After(s.now) {
			s.now = next
		}
		before := len(s.out)
		s.feed(Tick{})
		for i := before; i < len(s.out); i++ {
			s.out[i] = s.now.Format("15:04:05 ") + s.out[i]
		}
	}
	s.now = end
}

// persistLine: persist hold, persist ok, persist fail REASON
func (s *script) persistLine(args []string, _ map[string]string) {
	switch args[0] {
	case "hold":
		s.holding = true
	case "ok":
		held := s.hold
		s.holding, s.hold = false, nil
		for _, p := range held {
			s.step(Persisted{ID: p.ID})
		}
	case "fail":
		held := s.hold
		s.holding, s.hold = false, nil
		for _, p := range held {
			s.step(Persisted{p.ID, strings.Join(args[1:], " ")})
		}
	}
}

func (s *script) resources(text string) []*mesos.Resource {
	r, err := resource.Parse(text)
	if err != nil {
		s.fatal("%v", err)
	}
	return r.ToProto()
}

func (s *script) disconnect(args []string, _ map[string]string) {
	p := s.peer(args[0])
	session := p.session
	p.session = 0
	s.step(SessionClosed{session, "connection lost"})
}
