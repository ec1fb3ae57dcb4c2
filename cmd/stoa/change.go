package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// change has the master change something, and says what was done: to programs as JSON.
func (f *operatorFlags) change(ctx context.Context, std stdio, call *masterpb.Call, done any, format string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	master, err := f.dial(ctx)
	if err != nil {
		return err
	}
	defer master.Close()
	if _, err := master.Call(ctx, call); err != nil {
		return err
	}
	if f.json {
		return printJSON(std.out, []any{done})
	}
	_, err = fmt.Fprintf(std.out, format+"\n", args...)
	return err
}

// twoArgs is a check like oneArg.
func twoArgs(first, second string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usageError("%s needs two arguments, the %s and the %s; %d were given", command.CommandPath(), first, second, len(args))
		}
		return nil
	}
}
