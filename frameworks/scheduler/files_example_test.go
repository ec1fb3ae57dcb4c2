package scheduler_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
)

// A program of this machine runs on the cluster.
func ExampleFiles() {
	program := filepath.Join(os.TempDir(), "greet.sh")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho hello\n"), 0o755); err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(program)

	files := &scheduler.Files{}
	uri, err := files.Add(program)
	if err != nil {
		fmt.Println(err)
		return
	}
	options := scheduler.Options{Name: "greeter", Files: files} // for scheduler.Run
	task := scheduler.Task{Name: "greet", Args: []string{"./greet.sh"}, URIs: []*mesos.CommandInfo_URI{uri}, CPUs: 0.1, Mem: 32}

	fmt.Println(options.Name, "runs", task.Args, "of", uri.GetValue(), "executable:", uri.GetExecutable())
	// Output: greeter runs [./greet.sh] of stoa-file:///greet.sh#sha256=bfdeaeb08cffb6a36438bcd12dda25417e3cdd36f1e7e482a2849d539225288b executable: true
}
