// Package hdfs is where paths as hdfs://HOST:PORT/PATH lead: files of a Hadoop cluster, as inputs and as outputs of jobs. It
// speaks the name node's and the data nodes' own protocols, without Java, and asks the name node's HTTP server which machines
// have a file's blocks.
package hdfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	client "github.com/colinmarc/hdfs/v2"
)

// Scheme begins the paths that lead here.
const Scheme = "hdfs://"

// Hadoop's ports of a name node.
const (
	defaultPort     = "8020"
	defaultHTTPPort = "9870" // dfs.namenode.http-address
)

// UserVariable names the user that HDFS sees, as for Hadoop's own programs.
const UserVariable = "HADOOP_USER_NAME"

const (
	// dialTimeout is how long a name node or data node may take to answer a call.
	dialTimeout = 5 * time.Second
	// locationsTimeout bounds the question where blocks are: a name node that has just started takes its time for the first one.
	// maxLocationsBytes bounds its answer: some 500 bytes for a block.
	locationsTimeout  = 30 * time.Second
	maxLocationsBytes = 64 << 20
)

// Is tells whether a path leads into HDFS.
func Is(path string) bool { return strings.HasPrefix(path, Scheme) }

// Location is a path of HDFS, taken apart.
type Location struct {
	NameNode string // HOST:PORT
	Path     string // absolute and clean
}

// Parse takes a path apart. Nothing in it is decoded: a % is a %.
func Parse(text string) (Location, error) {
	rest, ok := strings.CutPrefix(text, Scheme)
	slash := strings.IndexByte(rest, '/')
	if !ok || slash < 1 {
		return Location{}, fmt.Errorf("%q: wanted is hdfs://HOST:PORT/PATH", text)
	}
	l := Location{NameNode: rest[:slash], Path: path.Clean(rest[slash:])}
	if _, _, err := net.SplitHostPort(l.NameNode); err != nil {
		l.NameNode = net.JoinHostPort(strings.Trim(l.NameNode, "[]"), defaultPort)
	}
	return l, nil
}

// String is the path as it is written.
func (l Location) String() string { return Scheme + l.NameNode + l.Path }

// User is who HDFS sees: UserVariable, or else who runs this process.
func User() string {
	if name := os.Getenv(UserVariable); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "nobody"
}

// System reaches files of HDFS, as one user. Its zero value works; User is then User(). Its methods may be called by many
// goroutines.
type System struct {
	User string // "": as the function User says
	// HTTP is where the name node answers HTTP, HOST:PORT; "": on its host, at Hadoop's port.
	HTTP string

	mu      sync.Mutex
	clients map[string]*client.Client // by name node
}

// at gives a connection to a name node, kept for the next call.
func (s *System) at(nameNode string) (*client.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[nameNode]; c != nil {
		return c, nil
	}
	dial := (&net.Dialer{Timeout: dialTimeout}).DialContext
	c, err := client.NewClient(client.ClientOptions{
		Addresses: []string{nameNode}, User: s.user(), NamenodeDialFunc: dial, DatanodeDialFunc: dial,
	})
	if err != nil {
		return nil, fmt.Errorf("on the name node %s: %w", nameNode, err)
	}
	if s.clients == nil {
		s.clients = map[string]*client.Client{}
	}
	s.clients[nameNode] = c
	return c, nil
}

func (s *System) user() string {
	if s.User == "" {
		return User()
	}
	return s.User
}

// Close ends the connections.
func (s *System) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		c.Close()
	}
	s.clients = nil
}

// call does something with the client of a location's name node. Errors name the location.
func (s *System) call(l Location, do func(c *client.Client) error) error {
	c, err := s.at(l.NameNode)
	if err != nil {
		return err
	}
	if err := do(c); err != nil {
		var named *os.PathError
		if errors.As(err, &named) {
			err = named.Err
		}
		return fmt.Errorf("%s: %w", l, err)
	}
	return nil
}

// Entry is a file or folder.
type Entry struct {
	Location
	Size      int64
	BlockSize int64
	Folder    bool
}

func entry(l Location, info os.FileInfo) Entry {
	e := Entry{Location: l, Size: info.Size(), Folder: info.IsDir()}
	if status, ok := info.Sys().(*client.FileStatus); ok {
		e.BlockSize = int64(status.GetBlocksize()) //nolint:gosec // a block fits on a disk
	}
	return e
}

// Stat looks at a file or folder. The error of one that is not there wraps fs.ErrNotExist.
func (s *System) Stat(l Location) (e Entry, err error) {
	err = s.call(l, func(c *client.Client) error {
		info, err := c.Stat(l.Path)
		if err == nil {
			e = entry(l, info)
		}
		return err
	})
	return e, err
}

// List gives what is in a folder, by name.
func (s *System) List(l Location) (entries []Entry, err error) {
	err = s.call(l, func(c *client.Client) error {
		infos, err := c.ReadDir(l.Path)
		for _, info := range infos {
			entries = append(entries, entry(Location{l.NameNode, path.Join(l.Path, info.Name())}, info))
		}
		return err
	})
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return entries, err
}

// File is a file to read.
type File struct {
	*client.FileReader
	Location
}

// Name is the whole path.
func (f *File) Name() string { return f.Location.String() }

// Open opens a file to read. Each block is read from one of the machines that have it, another if that fails, and its
// checksums are checked.
func (s *System) Open(l Location) (file *File, err error) {
	err = s.call(l, func(c *client.Client) error {
		r, err := c.Open(l.Path)
		file = &File{r, l}
		return err
	})
	return file, err
}

// Create makes a new file to write, with the folders above it. The file is there when Close has returned nil.
func (s *System) Create(l Location) (w io.WriteCloser, err error) {
	err = s.call(l, func(c *client.Client) error {
		if err := c.MkdirAll(path.Dir(l.Path), folderMode); err != nil {
			return err
		}
		defaults, err := c.ServerDefaults()
		if err != nil {
			return err
		}
		f, err := c.Create(l.Path)
		w = &writer{FileWriter: f, client: c, location: l, blockSize: defaults.BlockSize, room: defaults.BlockSize}
		return err
	})
	return w, err
}

// folderMode is that of new folders, before the name node's mask.
const folderMode = 0o777

// writer completes a file block by block. The library begins a block when it has sent the one before, and the name node refuses that
// (NotReplicatedYetException) if no machine has reported the one before that yet.
type writer struct {
	*client.FileWriter
	client    *client.Client
	location  Location
	blockSize int64
	room      int64 // bytes that the block under way still takes
}

const (
	// completionPatience is how long a file may take to have its replicas when all is written.
	completionPatience = 30 * time.Second
	// completionPeriod is how often the name node is asked whether it has them.
	completionPeriod = 50 * time.Millisecond
)

// Write writes into as many blocks as it takes. What has no bytes begins none, which would never end.
func (w *writer) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		if w.room == 0 {
			if err := w.nextBlock(); err != nil {
				return written, err
			}
		}
		n, err := w.FileWriter.Write(b[:min(int64(len(b)), w.room)])
		written, w.room, b = written+n, w.room-int64(n), b[n:]
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// nextBlock goes on behind a block that is full.
func (w *writer) nextBlock() error {
	if err := w.Close(); err != nil {
		return err
	}
	next, err := w.client.Append(w.location.Path)
	if err != nil {
		return fmt.Errorf("%s: %w", w.location, err)
	}
	w.FileWriter, w.room = next, w.blockSize
	return nil
}

// Close waits until the name node has what was written.
func (w *writer) Close() error {
	for begin := time.Now(); ; {
		err := w.FileWriter.Close()
		if !client.IsErrReplicating(err) || time.Since(begin) > completionPatience {
			if err != nil {
				err = fmt.Errorf("%s: %w", w.location, err)
			}
			return err
		}
		time.Sleep(completionPeriod)
	}
}

// MkdirAll makes a folder and those above it.
func (s *System) MkdirAll(l Location) error {
	return s.call(l, func(c *client.Client) error { return c.MkdirAll(l.Path, folderMode) })
}

// Rename moves a file or folder to a path of the same name node, where nothing is.
func (s *System) Rename(from, to Location) error {
	return s.call(from, func(c *client.Client) error { return c.Rename(from.Path, to.Path) })
}

// Remove removes a file, or a folder with all that is in it.
func (s *System) Remove(l Location) error {
	return s.call(l, func(c *client.Client) error { return c.RemoveAll(l.Path) })
}

// Block is a piece of a file and the machines that have it.
type Block struct {
	Offset, Length int64
	Hosts          []string // names and addresses
}

// Blocks tells where a file's blocks are. It asks the name node over HTTP, where many clusters want no more than a user's name;
// an error means that it is not known.
func (s *System) Blocks(ctx context.Context, l Location) ([]Block, error) {
	server := s.HTTP
	if server == "" {
		host, _, err := net.SplitHostPort(l.NameNode)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l, err)
		}
		server = net.JoinHostPort(host, defaultHTTPPort)
	}
	ctx, cancel := context.WithTimeout(ctx, locationsTimeout)
	defer cancel()
	address := url.URL{
		Scheme: "http", Host: server, Path: "/webhdfs/v1" + l.Path,
		RawQuery: url.Values{"op": {"GETFILEBLOCKLOCATIONS"}, "user.name": {s.user()}}.Encode(),
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	answer, err := locationsClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask where the blocks of %s are: %w", l, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask where the blocks of %s are: %s", l, answer.Status)
	}
	var body struct {
		BlockLocations struct {
			BlockLocation []struct {
				Offset, Length int64
				Hosts, Names   []string
			}
		}
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxLocationsBytes)).Decode(&body); err != nil {
		return nil, fmt.Errorf("ask where the blocks of %s are: %w", l, err)
	}
	var blocks []Block
	for _, b := range body.BlockLocations.BlockLocation {
		block := Block{Offset: b.Offset, Length: b.Length, Hosts: b.Hosts}
		for _, name := range b.Names {
			if host, _, err := net.SplitHostPort(name); err == nil && !slices.Contains(block.Hosts, host) {
				block.Hosts = append(block.Hosts, host)
			}
		}
		blocks = append(blocks, block)
	}
	return blocks, nil
}

// locationsClient takes no proxy, and keeps no connections.
var locationsClient = &http.Client{Transport: &http.Transport{
	DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, DisableKeepAlives: true,
}}
