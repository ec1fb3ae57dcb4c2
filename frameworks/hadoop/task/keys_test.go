package task

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func TestKeyOptionsThatAreWrong(t *testing.T) {
	tests := []struct{ options, want string }{
		{"-k", `key options "-k": -k "": "" does not begin with a number up to 1048576`},
		{"-k0", `key options "-k0": -k "0": fields count from 1`},
		{"-k1,0", `key options "-k1,0": -k "1,0": fields count from 1`},
		{"-k1x", `key options "-k1x": -k "1x": "x" is not allowed there; wanted is FIELD[.BYTE][,FIELD[.BYTE]][n][r]`},
		{"-k9999999", `key options "-k9999999": -k "9999999": "9999999" does not begin with a number up to 1048576`},
		{"-f", `key options "-f": "-f" is not allowed; allowed are -k FIELD[.BYTE][,FIELD[.BYTE]][n][r], -n and -r`},
		{"1,1", `key options "1,1": "1,1" is not allowed; allowed are -k FIELD[.BYTE][,FIELD[.BYTE]][n][r], -n and -r`},
	}
	for _, test := range tests {
		if err := CheckKeys(&taskpb.Keys{Compare: proto.String(test.options)}); err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
}

func TestAPartOfAKey(t *testing.T) {
	tests := []struct{ options, key, want string }{
		{"-k1", "a.b.c", "a.b.c"},
		{"-k2", "a.b.c", "b.c"},
		{"-k2,2", "a.bcd.e", "bcd"},
		{"-k1,2", "a.b.c", "a.b"},
		{"-k 2.2,2.3", "a.bcde.f", "cd"},
		{"-k2.9,2", "a.bcd.e", ""},
		{"-k4,4", "a.b.c", ""},
		{"-k2,1", "a.b.c", ""},
		{"-k1,9", "a.b.c", "a.b.c"},
		{"-nr", "a.b.c", "a.b.c"},
		{"-k2,2", "a..c", ""},
	}
	for _, test := range tests {
		specs, err := parseKeySpecs(test.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(specs[0].cut([]byte(test.key), []byte("."))); got != test.want {
			t.Errorf("%s of %q: got %q, want %q", test.options, test.key, got, test.want)
		}
	}
}

func TestNumbersAreComparedHoweverLong(t *testing.T) {
	ascending := []string{"-10000000000000000000000000", "-12.5", "-12.25", "-1", "x", "0.001", "0.01", "2", " 10", "10.5", "99999999999999999999", "100000000000000000000"}
	for i, a := range ascending {
		for j, b := range ascending {
			if got := compareNumbers([]byte(a), []byte(b)); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%q with %q: %d", a, b, got)
			}
		}
	}
	for _, equal := range [][2]string{{"-0", "0"}, {"01.50", "1.5"}, {"word", ""}, {"7 dwarfs", "7"}} {
		if compareNumbers([]byte(equal[0]), []byte(equal[1])) != 0 {
			t.Errorf("%q and %q differ", equal[0], equal[1])
		}
	}
}

func TestTheOrderOfKeysIsThatOfSort(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		options := rapid.SampledFrom([]string{"-k1,1n", "-k2,2nr", "-k1,1 -k2,2n", "-n", "-r", "-nr", "-k2.2,2.3r", "-k3 -k1,1r", "-k1,1 -r"}).Draw(t, "options")
		lines := rapid.SliceOfN(rapid.StringMatching(`(-?[0-9]{1,3}|[ab]{1,2})?(\.[0-9ab]{0,3}){0,3}`), 0, 30).Draw(t, "keys")
		rules, err := newKeyRules(&taskpb.Keys{Compare: &options, KeySeparator: "."})
		if err != nil {
			t.Fatal(err)
		}
		got := slices.Clone(lines)
		slices.SortStableFunc(got, func(a, b string) int { return rules.compare([]byte(a), []byte(b)) })
		path := filepath.Join(dir, "lines")
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sort", append(strings.Fields(options), "-s", "-t.", path)...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		want, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if have := strings.Join(got, "\n") + "\n"; have != string(want) {
			t.Fatalf("sort %s of %q: got %q, want %q", options, lines, have, want)
		}
	})
}

func TestKeysOfSeveralFields(t *testing.T) {
	tests := []struct {
		name       string
		keys       *taskpb.Keys
		line       string
		key, value string
		has        bool
	}{
		{"one field before a tab", &taskpb.Keys{}, "a\tb\tc", "a", "b\tc", true},
		{"two fields", &taskpb.Keys{Fields: 2}, "a\tb\tc", "a\tb", "c", true},
		{"as many fields as there are", &taskpb.Keys{Fields: 3}, "a\tb\tc", "a\tb\tc", "", false},
		{"more fields than there are", &taskpb.Keys{Fields: 9}, "a\tb", "a\tb", "", false},
		{"another separator", &taskpb.Keys{Fields: 2, Separator: "."}, "a.b.c\td", "a.b", "c\td", true},
		{"a separator of several bytes", &taskpb.Keys{Separator: "::"}, "a:b::c", "a:b", "c", true},
		{"an empty value", &taskpb.Keys{Fields: 2, Separator: ","}, "a,b,", "a,b", "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rules, err := newKeyRules(test.keys)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newSorter(t.TempDir(), 1, minSortBufferBytes, rules)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err := s.readFrom(strings.NewReader(test.line)); err != nil {
				t.Fatal(err)
			}
			r := s.record(s.entries[0])
			if string(r.key) != test.key || string(r.value) != test.value || r.hasValue != test.has {
				t.Errorf("got %q, %q, %v", r.key, r.value, r.hasValue)
			}
		})
	}
}

func TestKeysThatAgreeInTheirFieldsShareAPartition(t *testing.T) {
	rules, err := newKeyRules(&taskpb.Keys{KeySeparator: ".", Partition: proto.String("-k2,2")})
	if err != nil {
		t.Fatal(err)
	}
	used := map[int]bool{}
	for i := range 100 {
		p := rules.partition(fmt.Appendf(nil, "x.%d.y", i), 7)
		used[p] = true
		if other := rules.partition(fmt.Appendf(nil, "%d.%d", i*i, i), 7); other != p {
			t.Errorf("field %d is in partitions %d and %d", i, p, other)
		}
	}
	if len(used) != 7 {
		t.Errorf("only partitions %v are used", used)
	}
	plain, err := newKeyRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	if key := []byte("some key"); plain.partition(key, 5) != Partition(key, 5) || !bytes.Equal(plain.separator, tab) {
		t.Error("without options it is not the whole key that counts")
	}
}
