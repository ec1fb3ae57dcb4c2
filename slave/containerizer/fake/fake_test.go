package fake_test

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stoa-project/stoa/slave/containerizer"
	"github.com/stoa-project/stoa/slave/containerizer/fake"
)

func spec(id string) containerizer.Spec {
	return containerizer.Spec{ID: id, Args: []string{"x"}, Sandbox: "/sandbox", MemoryBytes: 64 << 20}
}

func answering(b fake.Behaviour) *fake.Containerizer {
	return fake.New(fake.Options{Answer: func(containerizer.Spec) fake.Behaviour { return b }})
}

func start(t *testing.T, c containerizer.Containerizer, id string) containerizer.Container {
	t.Helper()
	container, err := c.Start(context.Background(), spec(id), containerizer.Stdio{})
	if err != nil {
		t.Fatal(err)
	}
	return container
}

func TestACommandLastsAsLongAsItsBehaviourSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := answering(fake.Behaviour{StartLasts: time.Second, Lasts: time.Hour, Status: fake.Exited(7)})
		begun := time.Now()
		exit, err := start(t, c, "a").Wait()
		if err != nil || exit.Status.ExitStatus() != 7 || exit.Killed {
			t.Errorf("got %+v, %v", exit, err)
		}
		if exit.Started.Sub(begun) != time.Second || exit.Finished.Sub(exit.Started) != time.Hour {
			t.Errorf("started after %v, lasted %v", exit.Started.Sub(begun), exit.Finished.Sub(exit.Started))
		}
		if c.Running() != 0 {
			t.Errorf("%d are left", c.Running())
		}
	})
}

func TestASignalEndsACommandUnlessItIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := answering(fake.Behaviour{Lasts: fake.Forever, Ignores: []syscall.Signal{syscall.SIGTERM}})
		container := start(t, c, "deaf")
		if err := container.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if c.Running() != 1 {
			t.Fatal("SIGTERM ended it")
		}
		if err := container.Kill(); err != nil {
			t.Fatal(err)
		}
		if exit, _ := container.Wait(); !exit.Killed || exit.Status.Signal() != syscall.SIGKILL {
			t.Errorf("got %+v", exit)
		}

		container = start(t, answering(fake.Behaviour{Lasts: fake.Forever}), "hearing")
		if err := container.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if exit, _ := container.Wait(); exit.Killed || exit.Status.Signal() != syscall.SIGTERM {
			t.Errorf("got %+v", exit)
		}
		if err := container.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("after its end: %v", err)
		}
	})
}

func TestAStartFailsAsScriptedAndLeavesNothing(t *testing.T) {
	want := &containerizer.ExecError{Path: "x", Err: syscall.ENOENT}
	c := answering(fake.Behaviour{StartError: want})
	_, err := c.Start(context.Background(), spec("a"), containerizer.Stdio{})
	if !errors.Is(err, want) || c.Running() != 0 || len(c.Started()) != 1 {
		t.Errorf("got %v, %d running, started %v", err, c.Running(), c.Started())
	}
}

func TestAStartEndsWithItsContextAndWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := answering(fake.Behaviour{StartLasts: time.Minute})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := c.Start(ctx, spec("a"), containerizer.Stdio{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		go func() {
			<-time.After(time.Second)
			_ = c.Close()
		}()
		if _, err := c.Start(context.Background(), spec("b"), containerizer.Stdio{}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := c.Start(context.Background(), spec("c"), containerizer.Stdio{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

func TestOutputArrivesAndEnds(t *testing.T) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	c := answering(fake.Behaviour{Stdout: "hello\n"})
	if _, err := c.Start(context.Background(), spec("a"), containerizer.Stdio{Stdout: theirs}); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if got, err := io.ReadAll(ours); err != nil || string(got) != "hello\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
