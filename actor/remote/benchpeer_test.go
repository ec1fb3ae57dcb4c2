package remote

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/stoa-project/stoa/actor"
	"github.com/stoa-project/stoa/actor/remote/sample"
)

const (
	// benchmarkPeerEnv makes the test binary the process at the other end of the benchmarks.
	benchmarkPeerEnv = "REMOTE_TEST_BENCHMARK_PEER"
	// benchmarkCertificateEnv is the certificate of both ends; empty: they speak in the clear.
	benchmarkCertificateEnv = "REMOTE_TEST_BENCHMARK_CERTIFICATE"
)

const (
	// acknowledged is after how many messages a counter says so.
	acknowledged = 1000
	// benchmarkPairs is how many senders and receivers there are at most.
	benchmarkPairs = 8
	// differentMessages is how many messages are sent in turn.
	differentMessages = 256
)

// beBenchmarkPeer is the life of that process: it prints where the floor and where its node listen, and ends with its stdin.
func beBenchmarkPeer() {
	floor := mustListen()
	go sample.ServeFloor(floor)
	l := mustListen()
	sys := actor.NewSystem(actor.SystemOptions{Node: "receiver"})
	options := Options{System: sys, Advertise: l.Addr().String()}
	var err error
	if certificate := os.Getenv(benchmarkCertificateEnv); certificate != "" {
		if options.TLS, err = benchmarkTLS([]byte(certificate)); err != nil {
			panic(err)
		}
	}
	r, err := Start(options)
	if err != nil {
		panic(err)
	}
	for i := range benchmarkPairs {
		sys.Spawn(fmt.Sprintf("counter%d", i), func() actor.Actor { return &counter{} })
	}
	sys.Spawn("echo", func() actor.Actor {
		return actor.Func(func(ctx actor.Context) {
			if m, ok := ctx.Message().(*sample.Update); ok {
				ctx.Reply(m)
			}
		})
	})
	go func() { _ = r.Serve(l) }()
	fmt.Println(floor.Addr(), l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func mustListen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return l
}

// counter counts updates. It acknowledges each acknowledged'th, and tells the sum and begins anew when it is asked.
type counter struct{ n int64 }

func (c *counter) Receive(ctx actor.Context) {
	switch ctx.Message().(type) {
	case *sample.Update:
		if c.n++; c.n%acknowledged == 0 {
			ctx.Reply(&wrapperspb.BoolValue{})
		}
	case *wrapperspb.StringValue:
		ctx.Reply(wrapperspb.Int64(c.n))
		c.n = 0
	}
}

// benchmarkPeer is the process at the other end, as a benchmark sees it.
type benchmarkPeer struct {
	floor *sample.Floor
	node  string // address
}

// startBenchmark starts the process at the other end, and a node to speak with it: over TLS if there is a certificate.
func startBenchmark(b *testing.B, certificate []byte) (*benchmarkPeer, *node) {
	b.Helper()
	peer := startBenchmarkPeer(b, certificate)
	return peer, newNode(b, "sender", nodeOptions{change: func(o *Options) {
		if certificate == nil {
			return
		}
		var err error
		if o.TLS, err = benchmarkTLS(certificate); err != nil {
			b.Fatal(err)
		}
	}})
}

func startBenchmarkPeer(b *testing.B, certificate []byte) *benchmarkPeer {
	b.Helper()
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), benchmarkPeerEnv+"=1", benchmarkCertificateEnv+"="+string(certificate))
	process.Stderr = os.Stderr
	stdin, err := process.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := process.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = process.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	addresses := strings.Fields(line)
	floor, err := sample.DialFloor(addresses[0])
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = floor.Close() })
	return &benchmarkPeer{floor: floor, node: addresses[1]}
}
