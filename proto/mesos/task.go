package mesos

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// ValidateTaskInfo reports why task cannot be launched whatever the offer is, nil if it can: its
// ids, its resources, exactly one of command and executor, and the shape of what they contain.
func ValidateTaskInfo(task *TaskInfo) error {
	if task == nil {
		return errors.New("task is missing")
	}
	if err := ValidateTaskID(task.GetTaskId()); err != nil {
		return err
	}
	if err := validateTaskShape(task); err != nil {
		return fmt.Errorf("task %s: %w", quote(task.GetTaskId().GetValue()), err)
	}
	return nil
}

func validateTaskShape(task *TaskInfo) error {
	if err := ValidateAgentID(task.GetAgentId()); err != nil {
		return err
	}
	if err := ValidateResources(task.GetResources()); err != nil {
		return err
	}
	switch {
	case task.GetCommand() != nil && task.GetExecutor() != nil:
		return errors.New("it has both a command and an executor: exactly one of them must be set")
	case task.GetExecutor() != nil:
		if err := ValidateExecutorInfo(task.GetExecutor()); err != nil {
			return err
		}
	case task.GetCommand() != nil:
		if err := ValidateCommandInfo(task.GetCommand()); err != nil {
			return err
		}
	default:
		return errors.New("it has neither a command nor an executor: exactly one of them must be set")
	}
	if task.GetContainer() != nil {
		if err := ValidateContainerInfo(task.GetContainer()); err != nil {
			return err
		}
	}
	if err := validateDuration("kill_policy.grace_period", task.GetKillPolicy().GetGracePeriod()); err != nil {
		return err
	}
	if err := validateDuration("max_completion_time", task.GetMaxCompletionTime()); err != nil {
		return err
	}
	if err := validateCheck(task.GetCheck()); err != nil {
		return err
	}
	if err := validateHealthCheck(task.GetHealthCheck()); err != nil {
		return err
	}
	return validateLimits(task)
}

// validateLimits wants of each limit that it bounds a resource that the task has, from above.
func validateLimits(task *TaskInfo) error {
	for _, name := range sortedKeys(task.GetLimits()) {
		if name != "cpus" && name != "mem" {
			return fmt.Errorf("limits has %s: limits are possible for \"cpus\" and \"mem\"", quote(name))
		}
		limit := task.GetLimits()[name].GetValue()
		if math.IsNaN(limit) || limit < 0 {
			return fmt.Errorf("limits of %q is %v: allowed are numbers from 0 on and infinity", name, limit)
		}
		asked := 0.0
		for _, r := range task.GetResources() {
			if r.GetName() == name {
				asked += r.GetScalar().GetValue()
			}
		}
		// Only thousandths count, and a sum of doubles may be off by less.
		if math.Round(limit*1000) < math.Round(asked*1000) {
			return fmt.Errorf("limits of %q is %v: it must be at least what the task has in resources, %v", name, limit, asked)
		}
	}
	return nil
}

// ValidateExecutorInfo reports why executor cannot be started whatever the offer is, nil if it can.
func ValidateExecutorInfo(executor *ExecutorInfo) error {
	if err := ValidateExecutorID(executor.GetExecutorId()); err != nil {
		return err
	}
	if err := validateExecutorShape(executor); err != nil {
		return fmt.Errorf("executor %s: %w", quote(executor.GetExecutorId().GetValue()), err)
	}
	return nil
}

func validateExecutorShape(executor *ExecutorInfo) error {
	switch {
	case executor.GetType() == ExecutorInfo_DEFAULT && executor.GetCommand() != nil:
		return errors.New("its type is DEFAULT and it has a command: the built-in executor has none of its own")
	case executor.GetType() == ExecutorInfo_DEFAULT && executor.GetContainer() != nil && executor.GetContainer().GetType() == ContainerInfo_DOCKER:
		return errors.New("its type is DEFAULT and its container's DOCKER: the built-in executor runs in a MESOS container")
	case executor.GetType() != ExecutorInfo_DEFAULT && executor.GetCommand() == nil:
		return errors.New("it has no command: an executor whose type is not DEFAULT needs one")
	}
	if executor.GetCommand() != nil {
		if err := ValidateCommandInfo(executor.GetCommand()); err != nil {
			return err
		}
	}
	if executor.GetContainer() != nil {
		if err := ValidateContainerInfo(executor.GetContainer()); err != nil {
			return err
		}
	}
	if executor.GetFrameworkId().GetValue() != "" {
		if err := ValidateFrameworkID(executor.GetFrameworkId()); err != nil {
			return err
		}
	}
	if err := validateDuration("shutdown_grace_period", executor.GetShutdownGracePeriod()); err != nil {
		return err
	}
	return ValidateResources(executor.GetResources())
}

// ValidateCommandInfo reports why command cannot be run anywhere, nil if it can. Whether the
// executable exists is for the slave to find out.
func ValidateCommandInfo(command *CommandInfo) error {
	if command.GetShell() && command.GetValue() == "" {
		return errors.New("command.value is empty: with shell it must be a line for /bin/sh")
	}
	if strings.ContainsRune(command.GetValue(), 0) {
		return fmt.Errorf("command.value %s contains a zero byte: no program can be given one", quote(command.GetValue()))
	}
	for _, argument := range command.GetArguments() {
		if strings.ContainsRune(argument, 0) {
			return fmt.Errorf("command.arguments has %s, which contains a zero byte: no program can be given one", quote(argument))
		}
	}
	if err := validateLine("command.user", command.GetUser()); err != nil {
		return err
	}
	for _, uri := range command.GetUris() {
		if err := validateURI(uri); err != nil {
			return err
		}
	}
	for _, variable := range command.GetEnvironment().GetVariables() {
		if err := validateVariable(variable); err != nil {
			return err
		}
	}
	return nil
}

func validateURI(uri *CommandInfo_URI) error {
	if uri.GetValue() == "" {
		return errors.New("command.uris has an empty value: it must be a path or a URI")
	}
	name := uri.GetOutputFile()
	if strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") {
		return fmt.Errorf("output_file %s of URI %s starts or ends with a slash: it must be a path in the sandbox", quote(name), quote(uri.GetValue()))
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return fmt.Errorf("output_file %s of URI %s leads out of the sandbox: \"..\" is not allowed", quote(name), quote(uri.GetValue()))
		}
	}
	return nil
}

func validateVariable(variable *Environment_Variable) error {
	name := variable.GetName()
	if name == "" || strings.ContainsAny(name, "=\x00") {
		return fmt.Errorf("environment variable name %s is empty or has \"=\" or a zero byte in it", quote(name))
	}
	switch variable.GetType() {
	case Environment_Variable_VALUE:
		switch {
		case variable.GetSecret() != nil:
			return fmt.Errorf("environment variable %s is of type VALUE and has a secret", quote(name))
		case variable.Value == nil:
			return fmt.Errorf("environment variable %s has no value; an empty one is allowed", quote(name))
		case strings.ContainsRune(variable.GetValue(), 0):
			return fmt.Errorf("environment variable %s has a zero byte in its value", quote(name))
		}
	case Environment_Variable_SECRET:
		switch {
		case variable.Value != nil:
			return fmt.Errorf("environment variable %s is of type SECRET and has a plain value", quote(name))
		case variable.GetSecret() == nil:
			return fmt.Errorf("environment variable %s is of type SECRET and has no secret", quote(name))
		}
	case Environment_Variable_UNKNOWN:
		return fmt.Errorf("environment variable %s is of type UNKNOWN: allowed are VALUE and SECRET", quote(name))
	}
	return nil
}

// ValidateContainerInfo reports why container cannot be made anywhere, nil if it can.
func ValidateContainerInfo(container *ContainerInfo) error {
	if container.GetType() == ContainerInfo_DOCKER && container.GetDocker() == nil {
		return errors.New("container.type is DOCKER and container.docker is missing")
	}
	for _, volume := range container.GetVolumes() {
		if err := ValidateVolume(volume); err != nil {
			return err
		}
	}
	return nil
}

// ValidateVolume reports why a volume cannot be shown to any container, nil if it can.
func ValidateVolume(volume *Volume) error {
	path := volume.GetContainerPath()
	if path == "" || strings.ContainsRune(path, 0) {
		return fmt.Errorf("container_path %s of a volume is empty or has a zero byte in it", quote(path))
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return fmt.Errorf("container_path %s of a volume has \"..\" in it, which is not allowed", quote(path))
		}
	}
	sources := 0
	for _, set := range []bool{volume.HostPath != nil, volume.GetImage() != nil, volume.GetSource() != nil} {
		if set {
			sources++
		}
	}
	if sources > 1 {
		return fmt.Errorf("the volume at %s has %d of host_path, image and source: at most one is allowed", quote(path), sources)
	}
	return nil
}

func validateDuration(what string, duration *DurationInfo) error {
	if duration.GetNanoseconds() < 0 {
		return fmt.Errorf("%s is %d ns: it must not be negative", what, duration.GetNanoseconds())
	}
	return nil
}
