// Hello is a whole framework: it runs `echo hello` three times on whatever slaves it is offered, says how each went, and ends.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/stoa-project/stoa/frameworks/scheduler"
	"github.com/stoa-project/stoa/proto/mesos"
)

type hello struct {
	scheduler.Base
	out             io.Writer
	toStart, toDone int
}

func (h *hello) Offers(d *scheduler.Driver, offers []*scheduler.Offer) {
	for _, offer := range offers {
		var tasks []*mesos.TaskInfo
		for h.toStart > 0 {
			task, err := offer.Take(scheduler.Task{Name: "hello", Command: "echo hello", CPUs: 0.1, Mem: 32})
			if err != nil {
				fmt.Fprintln(h.out, offer.Hostname(), err) // such as: too small: has 16 of 32 mem
				break
			}
			tasks = append(tasks, task)
			h.toStart--
		}
		d.Launch(offer, tasks...) // no tasks: the offer goes back
	}
}

func (h *hello) Update(d *scheduler.Driver, status *mesos.TaskStatus) {
	fmt.Fprintln(h.out, status.GetTaskId().GetValue(), status.GetState(), status.GetMessage())
	if mesos.IsTerminal(status.GetState()) {
		if h.toDone--; h.toDone == 0 {
			d.Teardown(nil)
		}
	}
}

func main() {
	master := flag.String("master", scheduler.DefaultMaster, "`HOST:PORT` of the master")
	flag.Parse()
	if err := run(context.Background(), scheduler.Options{Name: "hello", Master: *master}, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, options scheduler.Options, out io.Writer) error {
	return scheduler.Run(ctx, options, &hello{out: out, toStart: 3, toDone: 3})
}
