package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
	"github.com/stoa-project/stoa/proto/wire"
	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
)

func TestLimitsThatChangeReachTheContainerAlsoIfItIsJustBeingStarted(t *testing.T) {
	for name, early := range map[string]bool{"while it is being started": true, "while it runs": false} {
		t.Run(name, func(t *testing.T) {
			work := t.TempDir()
			sandbox := filepath.Join(work, "s", "c1")
			if err := os.MkdirAll(sandbox, 0o755); err != nil {
				t.Fatal(err)
			}
			containers := fake.New(fake.Options{Answer: func(containerizer.Spec) fake.Behaviour { return fake.Behaviour{Lasts: time.Hour} }})
			defer containers.Close()
			m := &means{containerizer: containers, workDir: work, starts: make(chan struct{}, 1), buffers: &buffers{}, directOutput: true, cfs: true}
			l := newLife(m, request(func(s *wire.StartContainer) { s.Directory = sandbox }))
			resize := func() {
				if err := l.resize(&wire.ResizeExecutor{
					Resources: resource.MustParse("cpus:0.5;mem:64;cpus(web):2;mem(web):32").ToProto(),
					Limits:    map[string]*mesos.Value_Scalar{"mem": {Value: proto.Float64(128)}},
				}); err != nil {
					t.Fatal(err)
				}
			}
			if early {
				resize()
			}
			if _, err := l.begin(); err != nil {
				t.Fatal(err)
			}
			if !early {
				resize()
			}
			want := containerizer.Limits{MilliCPUs: 2500, MilliCPULimit: 2500, MemoryBytes: 128 << 20}
			if got := l.container.(*fake.Container).Limits(); got == nil || *got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if err := l.kill(); err != nil {
				t.Fatal(err)
			}
			if _, err := l.end(); err != nil {
				t.Error(err)
			}
			if err := l.resize(nil); err != nil {
				t.Errorf("after its end: %v", err)
			}
		})
	}
}
