package task

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Who serves files over HTTP to those who know a secret hands them over too: to processes of the same machine, which then read
// the file itself and not a copy that went through the network's buffers. It listens on a socket of Linux's abstract namespace
// whose name only those can tell who know the secret. A client that reaches nobody there, because it is on another machine or in
// a network of its own, asks by HTTP.
//
//	client ─► SECRET/PATH\n
//	client ◄─ one byte and the descriptor of the open file, or the connection's end

const (
	// handOverTimeout bounds one hand-over.
	handOverTimeout = time.Second
	// maxHandedPath bounds, in bytes, what is asked for.
	maxHandedPath = 4 << 10
)

// HandOver hands files over until it is closed. open opens one by its path; what it gives is closed.
func HandOver(secret string, open func(path string) (*os.File, error)) (io.Closer, error) {
	listener, err := net.ListenUnix("unix", handOverAddress(secret))
	if err != nil {
		return nil, fmt.Errorf("hand files over: %w", err)
	}
	go func() {
		for {
			c, err := listener.AcceptUnix()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go handOne(c, secret, open)
			}
		}
	}()
	return listener, nil
}

func handOverAddress(secret string) *net.UnixAddr {
	sum := sha256.Sum256([]byte(secret))
	return &net.UnixAddr{Net: "unix", Name: "@stoa-hadoop-" + hex.EncodeToString(sum[:])}
}

// handOne answers a client, who sees by the connection's end that it gets nothing.
func handOne(c *net.UnixConn, secret string, open func(path string) (*os.File, error)) {
	defer c.Close()
	if c.SetDeadline(time.Now().Add(handOverTimeout)) != nil {
		return
	}
	line, err := bufio.NewReader(io.LimitReader(c, maxHandedPath)).ReadString('\n')
	path, known := strings.CutPrefix(line, secret+"/")
	if err != nil || !known {
		return
	}
	file, err := open(strings.TrimSuffix(path, "\n"))
	if err != nil {
		return
	}
	defer file.Close()
	_, _, _ = c.WriteMsgUnix([]byte{0}, unix.UnixRights(int(file.Fd())), nil)
}

// handedOver is the file behind a URL if somebody of this machine hands it over, else nil.
func handedOver(address string) *os.File {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" {
		return nil
	}
	secret, path, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !ok || strings.Contains(path, "\n") {
		return nil
	}
	c, err := net.DialUnix("unix", nil, handOverAddress(secret))
	if err != nil {
		return nil
	}
	defer c.Close()
	if c.SetDeadline(time.Now().Add(handOverTimeout)) != nil {
		return nil
	}
	if _, err := io.WriteString(c, secret+"/"+path+"\n"); err != nil {
		return nil
	}
	return receiveFile(c)
}

// receiveFile takes a file from a connection; nil if there is none, or it is not an ordinary one.
func receiveFile(c *net.UnixConn) *os.File {
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 1), rights)
	if err != nil {
		return nil
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return nil
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(descriptors) == 0 {
		return nil
	}
	for _, more := range descriptors[1:] {
		_ = unix.Close(more)
	}
	file := os.NewFile(uintptr(descriptors[0]), "handed over")
	if !ordinary(descriptors[0]) {
		file.Close()
		return nil
	}
	return file
}

// ordinary says whether a descriptor is that of a file which can be read without waiting for somebody: one of a file system that
// a program serves may never answer.
func ordinary(descriptor int) bool {
	var file unix.Stat_t
	var system unix.Statfs_t
	return unix.Fstat(descriptor, &file) == nil && file.Mode&unix.S_IFMT == unix.S_IFREG &&
		unix.Fstatfs(descriptor, &system) == nil && system.Type != unix.FUSE_SUPER_MAGIC
}
