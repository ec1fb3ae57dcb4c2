package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envPrefix starts the environment variable of a flag: --work_dir is STOA_WORK_DIR.
const envPrefix = "STOA_"

// notSettings are flags that only make sense on a command line.
var notSettings = map[string]bool{"help": true, "version": true, "config": true}

// withSettings makes a command read its flags also from the environment and, if it has --config, from that file.
// What is typed wins over the environment, the environment over the file.
func withSettings(command *cobra.Command) *cobra.Command {
	run := command.RunE
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := settle(command.Flags()); err != nil {
			return usageError("%w", err)
		}
		return run(command, args)
	}
	return command
}

// settle gives every flag that was not typed its value from the environment or the configuration file.
func settle(flags *pflag.FlagSet) error {
	file, values, err := readConfig(flags)
	if err != nil {
		return err
	}
	flags.VisitAll(func(flag *pflag.Flag) {
		if err != nil || flag.Changed || notSettings[flag.Name] {
			return
		}
		name := envPrefix + strings.ToUpper(flag.Name)
		if value, ok := os.LookupEnv(name); ok {
			err = set(flags, flag, []string{value}, name)
		} else if value, ok := values[flag.Name]; ok {
			err = set(flags, flag, value, file+": "+flag.Name)
		}
	})
	return err
}

func set(flags *pflag.FlagSet, flag *pflag.Flag, values []string, from string) error {
	for _, value := range values {
		if err := flags.Set(flag.Name, value); err != nil {
			return fmt.Errorf("%s: %w", from, badValue(flag, value))
		}
	}
	return nil
}

// badValue says what a flag takes instead of a value.
func badValue(flag *pflag.Flag, value string) error {
	takes, known := map[string]string{
		"int": "a whole number", "float64": "a number", "bool": "true or false", "duration": "a duration such as 10s or 1m30s",
	}[flag.Value.Type()]
	if !known {
		takes = "a " + flag.Value.Type()
	}
	return fmt.Errorf("%q is not a value for --%s: it takes %s", value, flag.Name, takes)
}

// flagError is an error of the command line's flags as people should see it.
func flagError(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		err = badValue(invalid.GetFlag(), invalid.GetValue())
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && strings.HasPrefix(unknown.GetSpecifiedShortnames(), unknown.GetSpecifiedName()) {
		if _, bad := strconv.ParseFloat("-"+unknown.GetSpecifiedShortnames(), 64); bad == nil {
			err = fmt.Errorf("-%s: no number below 0 is possible here", unknown.GetSpecifiedShortnames())
		}
	}
	return usageError("%w", err)
}

// readConfig reads the file that --config (or STOA_CONFIG) names into a list of values per flag.
func readConfig(flags *pflag.FlagSet) (string, map[string][]string, error) {
	config := flags.Lookup("config")
	if config == nil {
		return "", nil, nil
	}
	path := config.Value.String()
	if !config.Changed {
		path = os.Getenv(envPrefix + "CONFIG")
	}
	if path == "" {
		return "", nil, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil, fmt.Errorf("--config %s: no such file", path)
	} else if err != nil {
		return path, nil, fmt.Errorf("--config: %w", err)
	}
	var table map[string]any
	if err := toml.Unmarshal(text, &table); err != nil {
		var syntax *toml.DecodeError
		if errors.As(err, &syntax) {
			line, column := syntax.Position()
			return path, nil, fmt.Errorf("%s:%d:%d: %w", path, line, column, err)
		}
		return path, nil, fmt.Errorf("%s: %w", path, err)
	}
	values := make(map[string][]string, len(table))
	for key, value := range table {
		name := strings.ReplaceAll(key, "-", "_")
		if flags.Lookup(name) == nil || notSettings[name] {
			return path, nil, fmt.Errorf("%s: unknown key %q; allowed are %s", path, key, strings.Join(settingNames(flags), ", "))
		}
		texts, err := settingTexts(value)
		if err != nil {
			return path, nil, fmt.Errorf("%s: %s: %w", path, key, err)
		}
		values[name] = texts
	}
	return path, values, nil
}

func settingNames(flags *pflag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(flag *pflag.Flag) {
		if !notSettings[flag.Name] && !flag.Hidden {
			names = append(names, flag.Name)
		}
	})
	sort.Strings(names)
	return names
}

// settingTexts turns a TOML value into what would be typed; a list is the flag typed several times.
func settingTexts(value any) ([]string, error) {
	switch value := value.(type) {
	case string:
		return []string{value}, nil
	case bool, int64, float64:
		return []string{fmt.Sprint(value)}, nil
	case []any:
		var texts []string
		for _, element := range value {
			text, err := settingTexts(element)
			if err != nil {
				return nil, err
			}
			texts = append(texts, text...)
		}
		return texts, nil
	default:
		return nil, fmt.Errorf("%T is not a value for a flag; allowed are a string, a number, a boolean and a list of them", value)
	}
}
