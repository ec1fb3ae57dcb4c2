package hadoop

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Commands that count words, for Options: a word is a run of ASCII letters, lower-cased. They do what
// task.WordCountMap and task.WordCountReduce do, and work where the stoa binary has another name too.
const (
	WordCountMapper  = `"$STOA_BINARY" hadoop ` + WordCountMapperSubcommand
	WordCountReducer = `"$STOA_BINARY" hadoop ` + WordCountReducerSubcommand
)

// The subcommands of `stoa hadoop` that are these commands.
const (
	WordCountMapperSubcommand  = "wordcount-mapper"
	WordCountReducerSubcommand = "wordcount-reducer"
)

// Word is a word and how often it was counted.
type Word struct {
	Text  string
	Count uint64
}

// TopWords reads the output of a word count and gives its n most frequent words of at least minLength letters, the most
// frequent first, equally frequent ones by name. Errors: an output that is not finished (it has no _SUCCESS), or a line
// of a part that is no word and count.
func TopWords(outputDir string, n, minLength int) ([]Word, error) {
	if _, err := os.Stat(filepath.Join(outputDir, SuccessFile)); err != nil {
		return nil, fmt.Errorf("%s is not the output of a job that has finished: %w", outputDir, err)
	}
	entries, err := os.ReadDir(outputDir)
	if err != nil {
		return nil, fmt.Errorf("list the parts of the output: %w", err)
	}
	var top topWords
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), "part-") {
			continue
		}
		if err := top.read(filepath.Join(outputDir, entry.Name()), n, minLength); err != nil {
			return nil, err
		}
	}
	return top.first(n), nil
}

// topWords holds candidates: never more than some multiple of n.
type topWords []Word

func (t *topWords) read(part string, n, minLength int) error {
	f, err := os.Open(part)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReader(f)
	for number := 1; ; number++ {
		line, err := lines.ReadString('\n')
		if line == "" && err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		text, count, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		c, bad := strconv.ParseUint(count, 10, 64)
		if !ok || bad != nil {
			return fmt.Errorf("%s, line %d: %.80q is no word and count", part, number, line)
		}
		if len(text) >= minLength {
			*t = append(*t, Word{text, c})
		}
		const slack = 1000
		if len(*t) > n+slack {
			*t = t.first(n)
		}
	}
}

func (t *topWords) first(n int) []Word {
	slices.SortFunc(*t, func(a, b Word) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text))
	})
	return (*t)[:min(n, len(*t))]
}
