// Package race drives one message transport over loopback, between two processes, beside bare TCP in the same run.
//
// The program of a transport calls [Main]. It starts itself once more as the other end, which prints where it listens.
package race

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/stoa-project/stoa/actor/remote/sample"
)

const (
	// oneWayMessages is how many messages a run sends, in rounds that alternate with the floor's.
	oneWayMessages = 2_000_000
	// trips is how many messages a run sends there and back.
	trips  = 30_000
	rounds = 10
	// window is how many messages are under way at once.
	window = 24_000
	// acknowledged is after how many messages the receiver says so.
	acknowledged = 1000
	// different is how many messages are sent in turn.
	different = 256
	// patience bounds one round.
	patience = time.Minute
)

// The numbers of messages that are not counted.
const (
	begin = -1 - iota // to a sender, from outside
	acknowledgement
	howMany
)

// Context is what an actor of any transport can do here.
type Context interface {
	// Message is the message in hand.
	Message() *sample.Update
	// Reply sends to who sent the message in hand.
	Reply(m *sample.Update)
	// Send sends to an actor of the other process.
	Send(name string, m *sample.Update)
}

// Node is one process of a transport.
type Node interface {
	// Spawn starts an actor that others reach by its name.
	Spawn(name string, receive func(Context))
	// Tell sends to an actor of this process, from outside of actors.
	Tell(name string, m *sample.Update)
}

// Result is what a run found.
type Result struct {
	Name            string
	Rate, FloorRate float64 // messages a second
	P50, FloorP50   time.Duration
	P99, FloorP99   time.Duration
	Sent, Arrived   int
}

// Main runs a transport: start makes a node that listens at an address of this machine, and whose Context.Send goes to the peer's
// address, which is empty in the process that only answers.
func Main(name string, start func(listen, peer string) Node) {
	if len(os.Args) > 1 && os.Args[1] == "peer" {
		answer(start)
		return
	}
	result, err := run(name, start)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(result)
}

func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// answer is the process at the other end. It ends with its stdin.
func answer(start func(listen, peer string) Node) {
	floor, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go sample.ServeFloor(floor)
	address := freeAddress()
	node := start(address, "")
	n := int64(0)
	node.Spawn("counter", func(ctx Context) {
		if ctx.Message().Seq == howMany {
			ctx.Reply(&sample.Update{Seq: howMany, Ts: n})
			n = 0
			return
		}
		if n++; n%acknowledged == 0 {
			ctx.Reply(&sample.Update{Seq: acknowledgement})
		}
	})
	node.Spawn("echo", func(ctx Context) { ctx.Reply(ctx.Message()) })
	fmt.Println(floor.Addr(), address)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func run(name string, start func(listen, peer string) Node) (*Result, error) {
	peer := exec.Command(os.Args[0], "peer")
	peer.Stderr = os.Stderr
	stdin, err := peer.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := peer.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := peer.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_ = stdin.Close()
		_ = peer.Process.Kill()
		_ = peer.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, err
	}
	addresses := strings.Fields(line)
	floor, err := sample.DialFloor(addresses[0])
	if err != nil {
		return nil, err
	}
	defer floor.Close()
	r := &runner{result: &Result{Name: name}, messages: sample.Updates(different), floor: floor, done: make(chan int64, 1)}
	r.node = start(freeAddress(), addresses[1])
	r.spawn()
	if err := r.oneWay(); err != nil {
		return nil, err
	}
	return r.result, r.roundTrips()
}

// runner is the process that measures. Its actors and its main goroutine take turns.
type runner struct {
	result   *Result
	node     Node
	messages []*sample.Update
	floor    *sample.Floor
	done     chan int64
	left     int
	credit   int
	sent     time.Time
	times    []time.Duration
}

func (r *runner) spawn() {
	r.node.Spawn("sender", func(ctx Context) {
		switch m := ctx.Message(); m.Seq {
		case begin:
			r.left, r.credit = int(m.Ts), window
		case acknowledgement:
			r.credit += acknowledged
		case howMany:
			r.done <- m.Ts
			return
		}
		for ; r.credit > 0 && r.left > 0; r.left-- {
			r.credit--
			ctx.Send("counter", r.messages[r.left%len(r.messages)])
			if r.left == 1 {
				ctx.Send("counter", &sample.Update{Seq: howMany})
			}
		}
	})
	r.node.Spawn("pinger", func(ctx Context) {
		if m := ctx.Message(); m.Seq == begin {
			r.left = int(m.Ts)
		} else {
			r.times = append(r.times, time.Since(r.sent))
			r.left--
		}
		if r.left == 0 {
			r.done <- 0
			return
		}
		r.sent = time.Now()
		ctx.Send("echo", r.messages[r.left%len(r.messages)])
	})
}

func (r *runner) await() (int64, error) {
	select {
	case n := <-r.done:
		return n, nil
	case <-time.After(patience):
		return 0, fmt.Errorf("not all messages arrived within %v", patience)
	}
}

func (r *runner) oneWay() error {
	r.node.Tell("sender", &sample.Update{Seq: begin, Ts: acknowledged}) // connects
	if _, err := r.await(); err != nil {
		return err
	}
	var floor, ours time.Duration
	const part = oneWayMessages / rounds
	for range rounds {
		took, err := r.floor.OneWay(r.messages, part)
		if err != nil {
			return err
		}
		floor += took
		start := time.Now()
		r.node.Tell("sender", &sample.Update{Seq: begin, Ts: part})
		arrived, err := r.await()
		if err != nil {
			return err
		}
		ours += time.Since(start)
		r.result.Arrived += int(arrived)
		r.result.Sent += part
	}
	r.result.Rate, r.result.FloorRate = oneWayMessages/ours.Seconds(), oneWayMessages/floor.Seconds()
	return nil
}

func (r *runner) roundTrips() error {
	var floor []time.Duration
	for range rounds {
		var err error
		if floor, err = r.floor.RoundTrips(r.messages, trips/rounds, floor); err != nil {
			return err
		}
		r.node.Tell("pinger", &sample.Update{Seq: begin, Ts: trips / rounds})
		if _, err := r.await(); err != nil {
			return err
		}
	}
	slices.Sort(floor)
	slices.Sort(r.times)
	at := func(times []time.Duration, p int) time.Duration { return times[len(times)*p/100] }
	r.result.P50, r.result.P99 = at(r.times, 50), at(r.times, 99)
	r.result.FloorP50, r.result.FloorP99 = at(floor, 50), at(floor, 99)
	return nil
}
