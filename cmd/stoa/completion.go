package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
)

// bashAlone makes cobra's script work in a bash without the package bash-completion, which few machines of a cluster have: it
// reads the words from the line, as bash itself splits them at colons too.
const bashAlone = `
if ! declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
    __stoa_init_completion()
    {
        COMPREPLY=()
        local line=${COMP_LINE:0:COMP_POINT}
        read -r -a words <<<"$line"
        [[ $line == *[[:space:]] ]] && words+=("")
        cword=$((${#words[@]} - 1))
        cur=${words[cword]} prev=${words[cword - 1]}
    }
fi
`

// completeInAnyBash has 'stoa completion bash' print bashAlone after what cobra makes.
func completeInAnyBash(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	script, _, err := root.Find([]string{"completion", "bash"})
	if err != nil {
		panic(err) // cobra has it whenever there are other commands
	}
	generate := script.RunE
	script.RunE = func(command *cobra.Command, args []string) error {
		if err := generate(command, args); err != nil {
			return err
		}
		_, err := io.WriteString(command.OutOrStdout(), bashAlone)
		return err
	}
}

// completeTimeout bounds a question to the master while somebody waits at a prompt.
const completeTimeout = 2 * time.Second

// completeIDs offers ids for the first argument of a command. Without a master there are none: a prompt is no place for
// errors.
func (f *operatorFlags) completeIDs(command *cobra.Command, args []string, begun string, kind masterpb.Call_Type, ids func(*masterpb.Response) []cobra.Completion) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 || settle(command.Flags()) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	answers, err := f.ask(ctx, kind)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var fit []cobra.Completion
	for _, id := range ids(answers[0]) {
		if strings.HasPrefix(id, begun) {
			fit = append(fit, id)
		}
	}
	return fit, cobra.ShellCompDirectiveNoFileComp
}

// completeRunning offers the tasks that have not ended, completeTasks all that the master knows.
func (f *operatorFlags) completeRunning(command *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return f.completeTaskIDs(command, args, begun, false)
}

func (f *operatorFlags) completeTasks(command *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return f.completeTaskIDs(command, args, begun, true)
}

// completeTaskIDs offers each id once, with the state of the task that runs, or else has ended last.
func (f *operatorFlags) completeTaskIDs(command *cobra.Command, args []string, begun string, all bool) ([]cobra.Completion, cobra.ShellCompDirective) {
	return f.completeIDs(command, args, begun, masterpb.Call_GET_TASKS, func(answer *masterpb.Response) []cobra.Completion {
		tasks := listedTasks(answer.GetGetTasks(), false)
		if all {
			for _, ended := range slices.Backward(answer.GetGetTasks().GetCompletedTasks()) {
				tasks = append(tasks, ended)
			}
		}
		var ids []cobra.Completion
		offered := map[string]bool{}
		for _, t := range tasks {
			id := t.GetTaskId().GetValue()
			if offered[id] || !all && mesos.IsTerminal(t.GetState()) {
				continue
			}
			offered[id] = true
			ids = append(ids, cobra.CompletionWithDesc(id, shortState(t.GetState().String())))
		}
		return ids
	})
}

func (f *operatorFlags) completeNodes(command *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return f.completeIDs(command, args, begun, masterpb.Call_GET_AGENTS, func(answer *masterpb.Response) []cobra.Completion {
		var ids []cobra.Completion
		for _, slave := range answer.GetGetAgents().GetAgents() {
			info := slave.GetAgentInfo()
			ids = append(ids, cobra.CompletionWithDesc(info.GetId().GetValue(), info.GetHostname()))
		}
		return ids
	})
}

func (f *operatorFlags) completeFrameworks(command *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return f.completeIDs(command, args, begun, masterpb.Call_GET_FRAMEWORKS, func(answer *masterpb.Response) []cobra.Completion {
		var ids []cobra.Completion
		for _, one := range answer.GetGetFrameworks().GetFrameworks() {
			info := one.GetFrameworkInfo()
			ids = append(ids, cobra.CompletionWithDesc(info.GetId().GetValue(), info.GetName()))
		}
		return ids
	})
}
