package task

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// reservedNames are those of the sandbox's own files, which no shipped file may have.
var reservedNames = []string{"map", "reduce", "stdin", "stdout", "stderr", "tmp", ".", ".."}

// CheckFileName says whether a shipped file may have a name: it is one without a path, and not of the sandbox's own.
func CheckFileName(name string) error {
	if name == "" || strings.ContainsAny(name, "/\x00") || slices.Contains(reservedNames, name) {
		return fmt.Errorf("a shipped file may not be named %q: allowed is a name without / other than %s", name, strings.Join(reservedNames, ", "))
	}
	return nil
}

// withKit writes the shipped files into the sandbox, executable, lets them be found by their names alone, and adds the
// kit's variables.
func (e Env) withKit(kit *taskpb.Kit) (Env, error) {
	e.Environ = append(slices.Clone(e.Environ), kit.GetVariables()...)
	if len(kit.GetFiles()) == 0 {
		return e, nil
	}
	for _, file := range kit.GetFiles() {
		if err := CheckFileName(file.GetName()); err != nil {
			return e, err
		}
		if err := os.WriteFile(e.path(file.GetName()), file.GetContent(), 0o755); err != nil { //nolint:gosec // a script is to be run
			return e, fmt.Errorf("unpack shipped file: %w", err)
		}
	}
	path, err := filepath.Abs(e.Sandbox)
	if err != nil {
		return e, fmt.Errorf("find the sandbox: %w", err)
	}
	if old := variable(e.Environ, "PATH"); old != "" {
		path += string(filepath.ListSeparator) + old
	}
	e.Environ = append(e.Environ, "PATH="+path)
	return e, nil
}

// variable is the value of an environment's variable: the last one counts.
func variable(environ []string, name string) string {
	for _, v := range slices.Backward(environ) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}
