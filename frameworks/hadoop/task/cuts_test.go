package task

import (
	"testing"

	"github.com/stoa-project/stoa/frameworks/hadoop/taskpb"
)

func TestAKeyGoesToTheFirstReduceWhoseCutIsAboveIt(t *testing.T) {
	rules, err := newKeyRules(&taskpb.Keys{Cuts: [][]byte{[]byte("b"), []byte("d")}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int{"": 0, "a\xff": 0, "b": 1, "b\x00": 1, "cz": 1, "d": 2, "\xff": 2} {
		if got := rules.partition([]byte(key), 3); got != want {
			t.Errorf("%q goes to %d, want %d", key, got, want)
		}
	}
	if got := rules.partition([]byte("z"), 2); got != 1 {
		t.Errorf("with more cuts than reduces: %d", got)
	}
}
