package integration_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A file of the submitter's machine in a sandbox, by processes of its own for submitter, master and slave: against the same bytes
// over one bare TCP connection into a file, with the checksums that the way needs, one at each end.
func BenchmarkFileIntoASandbox(b *testing.B) {
	const size = 128 << 20
	g := newGround(b)
	c := g.local("--slaves", "1", "--isolation", "process", "--resources", "cpus:4;mem:1024")
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{})
	path := filepath.Join(g.tmp, "file")
	fill := func() { // anew, or the slave has it already
		random.Read(content)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	c.on("run", "--", "true").expect(0)
	for b.Loop() {
		b.StopTimer()
		fill()
		b.StartTimer()
		c.on("run", "--file", path, "--", "true").expect(0)
	}
	whole := b.Elapsed() / time.Duration(b.N)
	floor := fastest(b, func() error { return bareTransfer(path, filepath.Join(g.tmp, "copy")) })
	b.SetBytes(size)
	b.ReportMetric(float64(whole)/float64(floor), "x-floor")
	b.Logf("%d MB with stoa run take %v, over bare TCP %v", size>>20, whole.Round(time.Millisecond), floor.Round(time.Millisecond))
	c.interrupt()
}

// bareTransfer sends a file over TCP into another one; sender and receiver each have a checksum to make.
func bareTransfer(from, to string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	sent := make(chan error, 1)
	go func() {
		sent <- func() error {
			if _, err := sumOf(from); err != nil {
				return err
			}
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				return err
			}
			defer conn.Close()
			file, err := os.Open(from)
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = io.Copy(conn, file)
			return err
		}()
	}()
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	file, err := os.Create(to)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, conn); err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	_, err = sumOf(to)
	return err
}

func sumOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, file)
	return fmt.Sprintf("%x", hash.Sum(nil)), err
}
