package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stoa-project/stoa/master/api/client"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/wire"
)

const (
	defaultMaster  = "127.0.0.1:5050"
	connectTimeout = 10 * time.Second // until a command gives up on a master that does not answer
)

// operatorFlags are the flags of every command that asks a master something.
type operatorFlags struct {
	master string
	tls    tlsFlags
	json   bool
}

func addMasterFlag(flags *pflag.FlagSet, master *string) {
	flags.StringVar(master, "master", defaultMaster, "`HOST:PORT` of the master")
}

func (f *operatorFlags) add(flags *pflag.FlagSet) {
	f.addMaster(flags)
	f.addJSON(flags)
}

func (f *operatorFlags) addJSON(flags *pflag.FlagSet) {
	flags.BoolVar(&f.json, "json", false, "print JSON for programs")
}

// addMaster adds the flags by which a master is reached.
func (f *operatorFlags) addMaster(flags *pflag.FlagSet) {
	addMasterFlag(flags, &f.master)
	f.tls.add(flags)
}

// dial connects to the master.
func (f *operatorFlags) dial(ctx context.Context) (*client.Client, error) {
	security, err := f.tls.client(wire.RoleOperator)
	if err != nil {
		return nil, err
	}
	return client.DialWith(ctx, client.Options{TLS: security}, f.master)
}

// ask puts calls to the master over one connection and gives the answers in their order.
func (f *operatorFlags) ask(ctx context.Context, types ...masterpb.Call_Type) ([]*masterpb.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	master, err := f.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer master.Close()
	var answers []*masterpb.Response
	for _, kind := range types {
		answer, err := master.Call(ctx, &masterpb.Call{Type: kind.Enum()})
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// awaitActiveSlaves returns when a master that is starting has count active slaves.
func awaitActiveSlaves(ctx context.Context, address string, count int) error {
	const pause = 10 * time.Millisecond
	for {
		if master, err := client.Dial(ctx, address); err == nil {
			ready, err := hasActiveSlaves(ctx, master, count)
			master.Close()
			if ready && err == nil {
				return nil
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func hasActiveSlaves(ctx context.Context, master *client.Client, count int) (bool, error) {
	answer, err := master.Call(ctx, &masterpb.Call{Type: masterpb.Call_GET_AGENTS.Enum()})
	if err != nil {
		return false, err
	}
	active := 0
	for _, slave := range answer.GetGetAgents().GetAgents() {
		if slave.GetActive() {
			active++
		}
	}
	return active >= count, nil
}

// noArgs and exactArgs are cobra's checks with an error that says what was seen and what is allowed.
func noArgs(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError("%s: unexpected argument %q", command.CommandPath(), args[0])
	}
	return nil
}

func oneArg(what string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError("%s needs one argument, the %s; %d were given", command.CommandPath(), what, len(args))
		}
		return nil
	}
}

// group is a command that only holds others.
func group(use, short, groupID string, commands ...*cobra.Command) *cobra.Command {
	parent := &cobra.Command{
		Use: use, Short: short, GroupID: groupID,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("unknown command %q for %s", args[0], command.CommandPath())
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error {
			if err := command.Help(); err != nil {
				return fmt.Errorf("help: %w", err)
			}
			return nil
		},
	}
	parent.AddCommand(commands...)
	return parent
}
