package remote

import (
	"container/list"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// admission bounds the connections that have been accepted and whose peers have not said yet what they want: of one address and in
// all. At a limit the oldest is closed, so that a newcomer always gets in: who means it is done long before it is the oldest.
type admission struct {
	log        zerolog.Logger
	perAddress int
	all        int
	quiet      time.Duration // between two lines of log
	closed     atomic.Int64

	mu      sync.Mutex
	waiting ages
	from    map[string]*ages
	told    time.Time
}

// ages are connections by age, the oldest first.
type ages struct{ list.List }

// applicant is a connection that waits.
type applicant struct {
	conn       net.Conn
	host       string
	inAll, its *list.Element
	once       sync.Once
}

func newAdmission(o Options, log zerolog.Logger) *admission {
	return &admission{
		log: log, perAddress: o.HandshakesPerAddress, all: o.Handshakes, quiet: o.HandshakeTimeout,
		from: make(map[string]*ages),
	}
}

// enter adds a connection, and closes the oldest for it if there is no room. leave must follow.
func (a *admission) enter(conn net.Conn) *applicant {
	made := &applicant{conn: conn, host: hostOf(conn.RemoteAddr())}
	a.mu.Lock()
	defer a.mu.Unlock()
	its := a.from[made.host]
	if its == nil {
		its = &ages{}
		a.from[made.host] = its
	}
	if its.Len() >= a.perAddress {
		a.close(its.Front().Value.(*applicant), "of its address", a.perAddress)
	}
	if a.waiting.Len() >= a.all {
		a.close(a.waiting.Front().Value.(*applicant), "in all", a.all)
	}
	made.inAll, made.its = a.waiting.PushBack(made), its.PushBack(made)
	a.from[made.host] = its // closing another may have removed it
	return made
}

// close makes room. a.mu is held.
func (a *admission) close(oldest *applicant, which string, limit int) {
	a.closed.Add(1)
	a.remove(oldest)
	_ = cut(oldest.conn)
	if now := time.Now(); now.Sub(a.told) >= a.quiet {
		a.told = now
		a.log.Warn().Stringer("remote", oldest.conn.RemoteAddr()).
			Msgf("closed the oldest unfinished handshake: there are %d %s, which is the limit", limit, which)
	}
}

// leave takes out a connection whose peer has said what it wants, or which is over.
func (a *admission) leave(done *applicant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.remove(done)
}

func (a *admission) remove(done *applicant) {
	done.once.Do(func() {
		a.waiting.Remove(done.inAll)
		its := a.from[done.host]
		its.Remove(done.its)
		if its.Len() == 0 {
			delete(a.from, done.host)
		}
	})
}

// hostOf is an address without its port.
func hostOf(address net.Addr) string {
	if host, _, err := net.SplitHostPort(address.String()); err == nil {
		return host
	}
	return address.String()
}
