package task

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

// keyRules say where the key of a line ends, in which order keys come and which reduce gets them. The zero value is not
// useful: newKeyRules makes it.
type keyRules struct {
	separator    []byte // between the fields of a mapper's line
	fields       int    // of a line that are its key
	keySeparator []byte // between the fields of a key
	reducer      []byte // between key and value of a reducer's line
	compare      func(a, b []byte) int
	bytewise     bool     // compare is that of the bytes
	spread       keySpecs // nil: by the whole key
	cuts         [][]byte // ascending; nil: a hash says which reduce gets a key
}

var tab = []byte{'\t'}

// CheckKeys says what is wrong with the options of an order's keys.
func CheckKeys(k *taskpb.Keys) error {
	_, err := newKeyRules(k)
	return err
}

func newKeyRules(k *taskpb.Keys) (*keyRules, error) {
	r := &keyRules{
		separator: separatorOr(k.GetSeparator()), fields: max(1, int(k.GetFields())),
		keySeparator: separatorOr(k.GetKeySeparator()), reducer: separatorOr(k.GetReducerSeparator()),
		compare: bytes.Compare, bytewise: true, cuts: k.GetCuts(),
	}
	if k != nil && k.Compare != nil {
		specs, err := parseKeySpecs(k.GetCompare())
		if err != nil {
			return nil, err
		}
		r.compare, r.bytewise = func(a, b []byte) int { return specs.compare(a, b, r.keySeparator) }, false
	}
	if k != nil && k.Partition != nil {
		specs, err := parseKeySpecs(k.GetPartition())
		if err != nil {
			return nil, err
		}
		r.spread = specs
	}
	return r, nil
}

func separatorOr(separator string) []byte {
	if separator == "" {
		return tab
	}
	return []byte(separator)
}

// keyEnd is where the key of a line ends: before the separator that follows its fields, or with the line.
func (r *keyRules) keyEnd(line []byte) int {
	at := 0
	for n := 0; ; n++ {
		i := bytes.Index(line[at:], r.separator)
		if i < 0 {
			return len(line)
		}
		if n == r.fields-1 {
			return at + i
		}
		at += i + len(r.separator)
	}
}

// partition says which of n reduces gets the records of a key.
func (r *keyRules) partition(key []byte, n int) int {
	if r.cuts != nil {
		at, _ := slices.BinarySearchFunc(r.cuts, key, func(cut, key []byte) int {
			if r.compare(cut, key) <= 0 { // a key that equals the cut comes after it
				return -1
			}
			return 1
		})
		return min(at, n-1)
	}
	if r.spread == nil || n == 1 {
		return Partition(key, n)
	}
	h := partitionBasis
	for _, spec := range r.spread {
		h = addToHash(h, spec.cut(key, r.keySeparator))
	}
	return foldHash(h, n)
}

// appendLine writes a record as a line, with its \n.
func appendLine(line []byte, r record, separator []byte) []byte {
	line = append(line, r.key...)
	if r.hasValue {
		line = append(append(line, separator...), r.value...)
	}
	return append(line, '\n')
}

// keySpecs are options as those of sort and of Hadoop's KeyFieldBasedComparator and KeyFieldBasedPartitioner:
//
//	-k FIELD[.BYTE][,FIELD[.BYTE]][n][r]   this part of the key; fields and bytes count from 1; without an end, to the key's
//	-n                                     as numbers: blanks, a minus, digits, a point, digits; anything else is 0
//	-r                                     in reverse
//
// -n and -r alone hold for all parts that have neither of their own; without -k the part is the whole key.
type keySpecs []keySpec

type keySpec struct {
	from, to         keyPosition
	numeric, reverse bool
}

// keyPosition is a byte of a field, both from 1. Of an end, byte 0 is the field's last and field 0 the key's end.
type keyPosition struct{ field, byte int }

func parseKeySpecs(options string) (keySpecs, error) {
	var specs keySpecs
	var all keySpec // the options that stand alone
	words := strings.Fields(options)
	for i := 0; i < len(words); i++ {
		word := words[i]
		if position, ok := strings.CutPrefix(word, "-k"); ok {
			if position == "" && i+1 < len(words) {
				i++
				position = words[i]
			}
			spec, err := parseKeySpec(position)
			if err != nil {
				return nil, fmt.Errorf("key options %q: %w", options, err)
			}
			specs = append(specs, spec)
			continue
		}
		letters, dash := strings.CutPrefix(word, "-")
		if rest := all.takeLetters(letters); !dash || letters == "" || rest != "" {
			return nil, fmt.Errorf("key options %q: %q is not allowed; allowed are -k FIELD[.BYTE][,FIELD[.BYTE]][n][r], -n and -r", options, word)
		}
	}
	if specs == nil {
		specs = keySpecs{{from: keyPosition{1, 1}}}
	}
	for i, spec := range specs {
		if !spec.numeric && !spec.reverse {
			specs[i].numeric, specs[i].reverse = all.numeric, all.reverse
		}
	}
	return specs, nil
}

// takeLetters takes the letters n and r at the front and gives the rest.
func (s *keySpec) takeLetters(text string) string {
	for ; text != ""; text = text[1:] {
		switch text[0] {
		case 'n':
			s.numeric = true
		case 'r':
			s.reverse = true
		default:
			return text
		}
	}
	return ""
}

func parseKeySpec(text string) (spec keySpec, err error) {
	rest := text
	if spec.from, rest, err = parsePosition(rest); err != nil {
		return spec, fmt.Errorf("-k %q: %w", text, err)
	}
	spec.from.byte = max(1, spec.from.byte)
	rest = spec.takeLetters(rest)
	if after, ok := strings.CutPrefix(rest, ","); ok {
		if spec.to, rest, err = parsePosition(after); err != nil {
			return spec, fmt.Errorf("-k %q: %w", text, err)
		}
		rest = spec.takeLetters(rest)
	}
	if rest != "" {
		return spec, fmt.Errorf("-k %q: %q is not allowed there; wanted is FIELD[.BYTE][,FIELD[.BYTE]][n][r]", text, rest)
	}
	return spec, nil
}

// maxKeyField bounds fields and bytes of a key, so that no number overflows.
const maxKeyField = 1 << 20

func parsePosition(text string) (p keyPosition, rest string, err error) {
	if p.field, rest, err = parseCount(text); err != nil {
		return p, rest, err
	}
	if p.field == 0 {
		return p, rest, fmt.Errorf("fields count from 1")
	}
	if after, ok := strings.CutPrefix(rest, "."); ok {
		p.byte, rest, err = parseCount(after)
	}
	return p, rest, err
}

func parseCount(text string) (int, string, error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	n, err := strconv.Atoi(text[:digits])
	if err != nil || n > maxKeyField {
		return 0, text, fmt.Errorf("%q does not begin with a number up to %d", text, maxKeyField)
	}
	return n, text[digits:], nil
}

// cut gives the part of a key; empty if the key has no such part. As with sort, a byte beyond its field is one of what
// follows.
func (s keySpec) cut(key, separator []byte) []byte {
	start, _ := fieldOf(key, separator, s.from.field)
	start = min(start+s.from.byte-1, len(key))
	end := len(key)
	if s.to.field > 0 {
		toStart, toEnd := fieldOf(key, separator, s.to.field)
		end = toEnd
		if s.to.byte > 0 {
			end = min(toStart+s.to.byte, len(key))
		}
	}
	return key[start:max(start, end)]
}

// fieldOf is where the nth field of a key begins and ends; its end twice if it has fewer.
func fieldOf(key, separator []byte, n int) (start, end int) {
	for ; n > 1; n-- {
		i := bytes.Index(key[start:], separator)
		if i < 0 {
			return len(key), len(key)
		}
		start += i + len(separator)
	}
	if i := bytes.Index(key[start:], separator); i >= 0 {
		return start, start + i
	}
	return start, len(key)
}

func (specs keySpecs) compare(a, b, separator []byte) int {
	for _, s := range specs {
		x, y := s.cut(a, separator), s.cut(b, separator)
		c := 0
		if s.numeric {
			c = compareNumbers(x, y)
		} else {
			c = bytes.Compare(x, y)
		}
		if s.reverse {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// number is a decimal number as text: without leading zeros, its fraction without trailing ones.
type number struct {
	negative        bool
	whole, fraction []byte
}

func parseNumber(text []byte) (n number) {
	text = bytes.TrimLeft(text, " \t")
	if rest, ok := bytes.CutPrefix(text, []byte("-")); ok {
		n.negative, text = true, rest
	}
	whole := leadingDigits(text)
	n.whole = bytes.TrimLeft(text[:whole], "0")
	if rest, ok := bytes.CutPrefix(text[whole:], []byte(".")); ok {
		n.fraction = bytes.TrimRight(rest[:leadingDigits(rest)], "0")
	}
	if len(n.whole)+len(n.fraction) == 0 {
		n.negative = false
	}
	return n
}

func leadingDigits(text []byte) int {
	for i, c := range text {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(text)
}

// compareNumbers compares texts as the numbers that they begin with, however long.
func compareNumbers(a, b []byte) int {
	x, y := parseNumber(a), parseNumber(b)
	if x.negative != y.negative {
		if x.negative {
			return -1
		}
		return 1
	}
	c := len(x.whole) - len(y.whole)
	if c == 0 {
		c = bytes.Compare(x.whole, y.whole)
	}
	if c == 0 {
		c = bytes.Compare(x.fraction, y.fraction)
	}
	if x.negative {
		return -c
	}
	return c
}
