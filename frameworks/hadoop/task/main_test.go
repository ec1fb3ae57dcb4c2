package task

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the mapper, the reducer and the task program, as the stoa binary is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		var err error
		switch os.Args[1] {
		case "wordcount-mapper":
			err = WordCountMap(os.Stdin, os.Stdout)
		case "wordcount-reducer":
			err = WordCountReduce(os.Stdin, os.Stdout)
		case "task":
			status := Main(context.Background(), os.Args[2], os.Stdin, os.Stderr)
			if path := os.Getenv(statusVariable); path != "" {
				body, _ := os.ReadFile("/proc/self/status")
				_ = os.WriteFile(path, body, 0o600)
			}
			os.Exit(status)
		default:
			goleak.VerifyTestMain(m)
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// statusVariable names the file in which the task program leaves what the kernel knows of it at its end.
const statusVariable = "TEST_STATUS_FILE"

// programs of this binary, as commands for sh -c.
const (
	wordCountMapper  = `"$STOA_BINARY" wordcount-mapper`
	wordCountReducer = `"$STOA_BINARY" wordcount-reducer`
)

func testEnv(t testing.TB) Env {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Env{Sandbox: t.TempDir(), Environ: append(os.Environ(), "LC_ALL=C", BinaryVariable+"="+binary)}
}
