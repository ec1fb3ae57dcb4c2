// Package apache runs Apache Hadoop itself beside Stoa, for tests and benchmarks: its local MapReduce, as a referee, and a
// small HDFS. It wants Java, and Hadoop's jars as tools/fetch-hadoop leaves them; who lacks these gets ErrMissing.
package apache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Version of Hadoop, as pom.xml has it.
const Version = "3.4.2"

// JarsVariable is the environment variable that names the folder of the jars; without it they lie in the user's cache.
const JarsVariable = "STOA_HADOOP_JARS"

// ErrMissing is wrapped by the errors for want of Java or of the jars.
var ErrMissing = errors.New("Apache Hadoop is not here")

// Hadoop is an installation, and a folder for its configuration and its data.
type Hadoop struct {
	jars, dir string
}

// Find looks for Java and the jars. dir is an empty folder, or one that is made.
func Find(dir string) (*Hadoop, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return nil, fmt.Errorf("%w: no java", ErrMissing)
	}
	jars := os.Getenv(JarsVariable)
	if jars == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMissing, err)
		}
		jars = filepath.Join(cache, "stoa", "hadoop-"+Version)
	}
	if _, err := os.Stat(filepath.Join(jars, "hadoop-streaming-"+Version+".jar")); err != nil {
		return nil, fmt.Errorf("%w: no jars in %s; tools/fetch-hadoop fetches them", ErrMissing, jars)
	}
	h := &Hadoop{jars: jars, dir: dir}
	for _, server := range []string{"hdfs", "datanode", "static"} { // the servers want them, empty or not
		if err := os.MkdirAll(filepath.Join(h.conf(), "webapps", server), 0o755); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *Hadoop) conf() string { return filepath.Join(h.dir, "conf") }

// java is a Java program with so many MB of heap.
func (h *Hadoop) java(ctx context.Context, heap int, options []string, args ...string) *exec.Cmd {
	all := append([]string{
		"--add-opens", "java.base/java.lang=ALL-UNNAMED", fmt.Sprintf("-Xmx%dm", heap), "-Dhadoop.root.logger=WARN",
	}, options...)
	all = append(all, "-cp", h.conf()+":"+filepath.Join(h.jars, "*"))
	cmd := exec.CommandContext(ctx, "java", append(all, args...)...)
	cmd.Dir = h.dir
	cmd.WaitDelay = time.Second
	return cmd
}

// configure writes one of Hadoop's files of properties.
func (h *Hadoop) configure(name string, properties map[string]string) error {
	var b strings.Builder
	b.WriteString("<configuration>\n")
	for key, value := range properties {
		fmt.Fprintf(&b, "<property><name>%s</name><value>%s</value></property>\n", key, value)
	}
	b.WriteString("</configuration>\n")
	return os.WriteFile(filepath.Join(h.conf(), name), []byte(b.String()), 0o600)
}

// localHeap is the local MapReduce's memory, in MB.
const localHeap = 2048

// Local is a program of Hadoop's local MapReduce: its main class and arguments. It runs at most two tasks at a time, reads and
// writes paths of this machine, and keeps its temporary files below Find's folder.
func (h *Hadoop) Local(ctx context.Context, mainClass string, args ...string) (*exec.Cmd, error) {
	err := errors.Join(
		h.configure("core-site.xml", map[string]string{"fs.defaultFS": "file:///", "hadoop.tmp.dir": filepath.Join(h.dir, "tmp")}),
		h.configure("mapred-site.xml", map[string]string{
			"mapreduce.framework.name": "local", "mapreduce.local.map.tasks.maximum": "2", "mapreduce.local.reduce.tasks.maximum": "2",
		}),
	)
	if err != nil {
		return nil, err
	}
	return h.java(ctx, localHeap, nil, append([]string{mainClass}, args...)...), nil
}

// Main classes for Local.
const (
	Streaming = "org.apache.hadoop.streaming.HadoopStreaming"
	Examples  = "org.apache.hadoop.examples.ExampleDriver"
)

// HDFS is a name node and a data node that run.
type HDFS struct {
	NameNode string // HOST:PORT
	HTTP     string // where the name node answers HTTP
	daemons  []*daemon
}

type daemon struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// startPatience is how long an HDFS may take to be ready.
const startPatience = 3 * time.Minute

// StartHDFS starts one, whose blocks have so many bytes.
func (h *Hadoop) StartHDFS(ctx context.Context, blockBytes int) (*HDFS, error) {
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	f := &HDFS{NameNode: ports[0], HTTP: ports[1]}
	err = errors.Join(
		h.configure("core-site.xml", map[string]string{"fs.defaultFS": "hdfs://" + f.NameNode, "hadoop.tmp.dir": filepath.Join(h.dir, "tmp")}),
		h.configure("hdfs-site.xml", map[string]string{
			"dfs.replication": "1", "dfs.permissions.enabled": "false", "dfs.namenode.safemode.extension": "0",
			"dfs.blocksize": fmt.Sprint(blockBytes), "dfs.namenode.fs-limits.min-block-size": "4096",
			"dfs.namenode.name.dir": filepath.Join(h.dir, "name"), "dfs.namenode.http-address": f.HTTP,
			"dfs.datanode.data.dir": filepath.Join(h.dir, "data"), "dfs.datanode.address": ports[2],
			"dfs.datanode.ipc.address": ports[3], "dfs.datanode.http.address": ports[4],
		}),
	)
	if err != nil {
		return nil, err
	}
	const nameNode, dataNode = "org.apache.hadoop.hdfs.server.namenode.NameNode", "org.apache.hadoop.hdfs.server.datanode.DataNode"
	small := []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	if out, err := h.java(ctx, 256, small, nameNode, "-format", "-force", "-nonInteractive").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format the name node: %w: %s", err, out)
	}
	for _, main := range []string{nameNode, dataNode} {
		cmd := h.java(ctx, 256, small, main)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends who uses it first
		if err := cmd.Start(); err != nil {
			f.Stop()
			return nil, err
		}
		d := &daemon{cmd, make(chan struct{})}
		go func() {
			_ = cmd.Wait() // it is killed
			close(d.done)
		}()
		f.daemons = append(f.daemons, d)
	}
	if err := f.awaitReady(ctx); err != nil {
		f.Stop()
		return nil, err
	}
	return f, nil
}

// awaitReady waits for the data node to be known.
func (f *HDFS) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		var state struct {
			Beans []struct{ NumLiveDataNodes int }
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.HTTP+"/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState", nil)
		if err != nil {
			return err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			err = json.NewDecoder(answer.Body).Decode(&state)
			answer.Body.Close()
			if err == nil && len(state.Beans) == 1 && state.Beans[0].NumLiveDataNodes == 1 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("HDFS is not ready: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Stop ends both.
func (f *HDFS) Stop() {
	for _, d := range f.daemons {
		_ = d.cmd.Process.Kill() // it may have ended
		<-d.done
	}
}

// freePorts gives addresses of this machine on which nobody listens.
func freePorts(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
