package hadoop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// maxAlternatives bounds what the braces of one input stand for.
const maxAlternatives = 10_000

// QuoteInput writes a path so that -input means just that path, also if it has commas or what else patterns are made of.
func QuoteInput(path string) string {
	if !strings.Contains(path, ",") { // a path that is there is no pattern
		return path
	}
	var b strings.Builder
	for _, c := range []byte(path) {
		switch c {
		case ',', '*', '?', '[', '{':
			b.Write([]byte{'[', c, ']'})
		case '\\':
			b.WriteString(`\\`)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// splitPaths cuts a list of paths at its commas, but not at those within braces, nor at [,].
func splitPaths(list string) []string {
	var paths []string
	depth, start := 0, 0
	for i, c := range []byte(list) {
		switch {
		case c == ',' && i > 0 && list[i-1] == '[' && strings.HasPrefix(list[i+1:], "]"):
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == ',' && depth == 0:
			paths = append(paths, list[start:i])
			start = i + 1
		}
	}
	return append(paths, list[start:])
}

// glob gives the paths that an input stands for: itself if there is such a file, else those that match it as a pattern,
// in lexical order for each alternative of its braces. A pattern has *, ?, [a-z], [!a-z] and {one,other}, as Hadoop's.
func glob(input string) ([]string, error) {
	if _, err := os.Lstat(input); err == nil || !strings.ContainsAny(input, `*?[{`) {
		return []string{input}, nil
	}
	alternatives, err := expandBraces(input)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, pattern := range alternatives {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", input, err)
		}
		found = append(found, matches...)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("input %s matches no file and no folder", input)
	}
	return found, nil
}

// otherThan turns Hadoop's [!a] into Go's [^a].
var otherThan = strings.NewReplacer(`\\`, `\\`, `\[`, `\[`, "[!", "[^")

// expandBraces writes a pattern once for each of the alternatives in its braces, which may be nested.
func expandBraces(pattern string) ([]string, error) {
	todo, done := []string{pattern}, []string(nil)
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		open := strings.IndexByte(p, '{')
		if open < 0 {
			p = otherThan.Replace(p)
			if _, err := filepath.Match(p, ""); err != nil {
				return nil, fmt.Errorf("input %s: a [ has no ], or nothing follows a \\ or the - of a range", pattern)
			}
			done = append(done, p)
			continue
		}
		length := closingBrace(p[open:])
		if length < 0 {
			return nil, fmt.Errorf("input %s: a { has no }", pattern)
		}
		var next []string
		for _, one := range splitPaths(p[open+1 : open+length]) {
			next = append(next, p[:open]+one+p[open+length+1:])
		}
		if todo = append(next, todo...); len(todo)+len(done) > maxAlternatives {
			return nil, fmt.Errorf("input %s: its braces stand for more than %d patterns", pattern, maxAlternatives)
		}
	}
	return done, nil
}

// closingBrace is where the brace at the front is closed; -1 if it is not.
func closingBrace(text string) int {
	depth := 0
	for i, c := range []byte(text) {
		switch c {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
