// Package client asks a master what an operator wants to know, and tells it what an operator wants done: Mesos's operator
// calls over the native protocol. It is what the command line is made of.
//
//	master, err := client.Dial(ctx, "127.0.0.1:5050")
//	defer master.Close()
//	answer, err := master.Call(ctx, &masterpb.Call{Type: masterpb.Call_GET_AGENTS.Enum()})
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	// masterName is the name under which every master's actor is registered.
	masterName = "master"
	// closeTimeout bounds the good-bye to a master.
	closeTimeout = time.Second
)

// ErrRefused is wrapped by the errors for calls that the master refused.
var ErrRefused = errors.New("the master refused")

// Client is a connection to a master. Its methods may be called by many goroutines.
type Client struct {
	address string
	daemon  string // what is at the address, in errors
	system  *actor.System
	remote  *remote.Remote
}

// Options say how a master is reached. The zero value is TCP, in the clear.
type Options struct {
	// Network replaces TCP; nil is TCP.
	Network remote.Network
	// TLS secures the connection; nil: it is in the clear.
	TLS *remote.TLS
	// Slave tells that the address is a slave's; errors name it as that.
	Slave bool
}

// Dial connects to the master at address ("host:port"). The error names the address and what was wrong with it.
func Dial(ctx context.Context, address string) (*Client, error) {
	return DialWith(ctx, Options{}, address)
}

// DialWith is Dial with options.
func DialWith(ctx context.Context, o Options, address string) (*Client, error) {
	c, err := Connect(o, address)
	if err != nil {
		return nil, err
	}
	if _, err := c.Call(ctx, &masterpb.Call{Type: masterpb.Call_GET_HEALTH.Enum()}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Connect makes a client without asking whether a master is there: it is connected with the first question.
func Connect(o Options, address string) (*Client, error) {
	daemon, example := "master", "127.0.0.1:5050"
	if o.Slave {
		daemon, example = "slave", "127.0.0.1:5051"
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return nil, fmt.Errorf("%s address %q is not HOST:PORT; for example %s", daemon, address, example)
	}
	system := actor.NewSystem(actor.SystemOptions{Role: wire.RoleOperator})
	connection, err := remote.Start(remote.Options{
		System: system, Network: o.Network, TLS: o.TLS,
		May:        func(role actor.Role, message protoreflect.FullName) bool { return wire.May(string(role), message) },
		OwnSenders: true,
	})
	if err != nil {
		return nil, err
	}
	return &Client{address: address, daemon: daemon, system: system, remote: connection}, nil
}

// Close ends the connection.
func (c *Client) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = c.system.Shutdown(ctx)
	_ = c.remote.Close(ctx)
}

// Call asks one of Mesos's operator calls. The response to a call that only changes something is nil.
func (c *Client) Call(ctx context.Context, call *masterpb.Call) (*masterpb.Response, error) {
	answer, err := c.ask(ctx, call)
	if err != nil {
		return nil, err
	}
	switch answer := answer.(type) {
	case *masterpb.Response:
		return answer, nil
	case *wire.OperatorDone:
		return nil, nil
	default:
		return nil, fmt.Errorf("the master at %s answered %v with %T", c.address, call.GetType(), answer)
	}
}

// Peers lists the connections of the daemon at the client's address, which may be a slave too.
func (c *Client) Peers(ctx context.Context) (*wire.Peers, error) {
	answer, err := c.system.Ask(ctx, actor.At(c.address, wire.PeersName), &wire.ListPeers{})
	if err != nil {
		return nil, c.explain(err)
	}
	peers, ok := answer.(*wire.Peers)
	if !ok {
		return nil, fmt.Errorf("%s answered with %T", c.address, answer)
	}
	return peers, nil
}

// KillTask ends a task of a framework; the framework is told by the task's update.
func (c *Client) KillTask(ctx context.Context, framework *mesos.FrameworkID, task *mesos.TaskID) error {
	_, err := c.ask(ctx, &wire.OperatorKillTask{FrameworkId: framework, TaskId: task})
	return err
}

// Explain asks why somebody is not offered what is needed.
func (c *Client) Explain(ctx context.Context, question *wire.Explain) (*wire.Explanation, error) {
	answer, err := c.ask(ctx, question)
	if err != nil {
		return nil, err
	}
	explanation, ok := answer.(*wire.Explanation)
	if !ok {
		return nil, fmt.Errorf("the master at %s answered with %T", c.address, answer)
	}
	return explanation, nil
}

func (c *Client) ask(ctx context.Context, message proto.Message) (any, error) {
	answer, err := c.system.Ask(ctx, actor.At(c.address, masterName), message)
	if refused, ok := answer.(*wire.Refused); ok {
		return nil, fmt.Errorf("%w: %s", ErrRefused, refused.GetReason())
	}
	if err != nil {
		return nil, c.explain(err)
	}
	return answer, nil
}

// explain turns the end of a connection into what a person can do about it.
func (c *Client) explain(err error) error {
	var exit *actor.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("no answer from the %s at %s: %w", c.daemon, c.address, err)
	}
	switch exit.Reason {
	case actor.Unreachable, actor.Disconnected:
		return fmt.Errorf("no %s at %s (%s); start one with 'stoa %[1]s' or 'stoa local', or name another with --%[1]s", c.daemon, c.address, cause(exit))
	case actor.Refused:
		if why := errors.Unwrap(exit.Err); why != nil { // without the address, which is said already
			return fmt.Errorf("the %s at %s: %w", c.daemon, c.address, why)
		}
		return fmt.Errorf("the %s at %s: %w", c.daemon, c.address, err)
	case actor.NoSuchActor:
		return fmt.Errorf("what answers at %s is not a %s", c.address, c.daemon)
	default:
		return fmt.Errorf("the %s at %s: %w", c.daemon, c.address, err)
	}
}

// cause is the innermost error of an exit: "connection refused" says it all.
func cause(exit *actor.ExitError) string {
	if exit.Err == nil {
		return exit.Reason.String()
	}
	text := exit.Err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return text
}
