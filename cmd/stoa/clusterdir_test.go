package main

import (
	"os"
	"sync"
	"testing"
)

func TestAClusterThatIsBeingMadeIsNotTakenForDead(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const makers, clusters = 4, 100
	made := make(chan struct{})
	var making, sweeping sync.WaitGroup
	sweeping.Go(func() {
		for {
			select {
			case <-made:
				return
			default:
				sweepDeadClusters(t.Context())
			}
		}
	})
	for range makers {
		making.Go(func() {
			for range clusters {
				dir, lock, err := newClusterDir("test")
				if err != nil {
					t.Error(err)
					continue
				}
				if _, err := os.Stat(dir); err != nil {
					t.Error(err)
				}
				lock.Close()
			}
		})
	}
	making.Wait()
	close(made)
	sweeping.Wait()
	sweepDeadClusters(t.Context())
	if left, _ := os.ReadDir(os.TempDir()); len(left) != 0 {
		t.Errorf("%d directories of dead clusters are left", len(left))
	}
}
