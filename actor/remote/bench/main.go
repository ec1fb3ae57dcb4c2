// Command bench runs this project's transport and those of others one after the other and prints what docs/wire.md shows:
//
//	cd actor/remote/bench && go run .
//
// Each is a program of its own, because two of them can't live in one. The module is its own so that no user builds them.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/stoa-project/stoa/actor/remote/bench/race"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Println("| transport | messages/s | of bare TCP | arrived | p50 | times bare TCP | p99 | times bare TCP |")
	fmt.Println("| --- | --: | --: | --: | --: | --: | --: | --: |")
	for _, name := range []string{"stoa", "protoactor", "hollywood"} {
		program := filepath.Join(dir, name)
		build := exec.Command("go", "build", "-o", program, "./"+name)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build %s: %w", name, err)
		}
		measure := exec.Command(program)
		measure.Stderr = os.Stderr
		out, err := measure.Output()
		if err != nil {
			return fmt.Errorf("run %s: %w", name, err)
		}
		var r race.Result
		if err := json.Unmarshal(out, &r); err != nil {
			return fmt.Errorf("result of %s: %w", name, err)
		}
		fmt.Printf("| %s | %.2f M | %.2f | %d of %d | %.0f µs | %.1f | %.0f µs | %.1f |\n",
			r.Name, r.Rate/1e6, r.Rate/r.FloorRate, r.Arrived, r.Sent, float64(r.P50)/1e3, float64(r.P50)/float64(r.FloorP50),
			float64(r.P99)/1e3, float64(r.P99)/float64(r.FloorP99))
	}
	return nil
}
