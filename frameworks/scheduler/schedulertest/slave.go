package schedulertest

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/frameworks/scheduler/sandbox"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

// Slave is a slave of a test's master: a name in offers, and files that schedulers can read over HTTP.
type Slave struct {
	ID       string
	Hostname string

	master *Master
	server *http.Server
	mu     sync.Mutex
	files  map[string][]byte
}

// Slave makes a slave, a host of its own in the master's network.
func (m *Master) Slave(hostname string) *Slave {
	m.t.Helper()
	s := &Slave{ID: "slave-" + hostname, Hostname: hostname, master: m, files: map[string][]byte{}}
	listener, err := m.network.Host(hostname).Listen(fmt.Sprintf("%s:%d", hostname, slavePort))
	if err != nil {
		m.t.Fatal(err)
	}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve)}
	go func() {
		if err := s.server.Serve(listener); err != http.ErrServerClosed {
			m.t.Errorf("slave %s: %v", hostname, err)
		}
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slaves = append(m.slaves, s)
	return s
}

// NewOffer makes an offer of the slave's resources, to be changed and sent with Master.Offers.
func (s *Slave) NewOffer(resources string) *mesos.Offer {
	s.master.t.Helper()
	return s.offer(resources)
}

func (s *Slave) offer(resources string) *mesos.Offer {
	s.master.t.Helper()
	parsed, err := resource.Parse(resources)
	if err != nil {
		s.master.t.Fatal(err)
	}
	return &mesos.Offer{
		AgentId: mesos.NewAgentID(s.ID), Hostname: proto.String(s.Hostname),
		Resources: parsed.ToProto(),
		Url: &mesos.URL{Scheme: proto.String("http"), Address: &mesos.Address{
			Hostname: proto.String(s.Hostname), Port: proto.Int32(slavePort),
		}},
	}
}

// Write appends to a file in the sandbox of a task, as in Write("framework-1", "task-1", "stdout", "hello\n").
func (s *Slave) Write(frameworkID, taskID, file, text string) {
	place := sandbox.Place{SlaveID: s.ID, FrameworkID: frameworkID, ExecutorID: taskID, ContainerID: containerID(taskID)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[place.Path(file)] = append(s.files[place.Path(file)], text...)
}

func (s *Slave) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	content, ok := s.files[r.URL.Query().Get("path")]
	s.mu.Unlock()
	if r.URL.Path != "/files/download" || !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// Stop ends the slave's HTTP, as its death would.
func (s *Slave) Stop() { s.close() }

func (s *Slave) close() {
	if err := s.server.Close(); err != nil {
		s.master.t.Errorf("slave %s: %v", s.Hostname, err)
	}
}
