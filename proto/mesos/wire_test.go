package mesos_test

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/stoa-project/stoa/proto/mesos"
	_ "github.com/stoa-project/stoa/proto/mesos/agentpb"
	_ "github.com/stoa-project/stoa/proto/mesos/allocatorpb"
	_ "github.com/stoa-project/stoa/proto/mesos/executorpb"
	_ "github.com/stoa-project/stoa/proto/mesos/maintenancepb"
	_ "github.com/stoa-project/stoa/proto/mesos/masterpb"
	_ "github.com/stoa-project/stoa/proto/mesos/quotapb"
	_ "github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

// Size of the whole vocabulary: a table that lost half of its lines must not pass.
const (
	wantMessages = 340
	wantEnums    = 50
	wantFields   = 1174
	wantValues   = 427
)

// shapes maps "message NAME" and "enum NAME" to the sorted lines that describe its members.
type shapes map[string][]string

func TestEveryMessageIsOnTheWireWhatTheTableSays(t *testing.T) {
	want := readWireTable(t, "testdata/wire.txt")
	got := describedShapes()
	for name, lines := range want {
		if diff := cmp.Diff(lines, got[name]); diff != "" {
			t.Errorf("%s differs (-table +descriptor):\n%s", name, diff)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
}

func TestTheTableIsWhole(t *testing.T) {
	counts := map[string]int{}
	for name, lines := range readWireTable(t, "testdata/wire.txt") {
		kind, _, _ := strings.Cut(name, " ")
		counts[kind]++
		counts["members of "+kind] += len(lines)
	}
	want := map[string]int{"message": wantMessages, "enum": wantEnums, "members of message": wantFields, "members of enum": wantValues}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("size of the table (-want +got):\n%s", diff)
	}
}

func readWireTable(t *testing.T, path string) shapes {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table := shapes{}
	name := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "message ") || strings.HasPrefix(line, "enum "):
			name = line
			table[name] = []string{}
		default:
			table[name] = append(table[name], line)
		}
	}
	for _, lines := range table {
		slices.Sort(lines)
	}
	return table
}

// describedShapes lists all that is registered below the package mesos.v1.
func describedShapes() shapes {
	found := shapes{}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if f.Package() == "mesos.v1" || f.Package().Parent() == "mesos.v1" {
			found.addEnums(f.Enums())
			found.addMessages(f.Messages())
		}
		return true
	})
	return found
}

func (found shapes) addEnums(enums protoreflect.EnumDescriptors) {
	for i := range enums.Len() {
		e := enums.Get(i)
		lines := []string{}
		for j := range e.Values().Len() {
			v := e.Values().Get(j)
			lines = append(lines, fmt.Sprintf("%d %s", v.Number(), v.Name()))
		}
		slices.Sort(lines)
		found["enum "+string(e.FullName())] = lines
	}
}

func (found shapes) addMessages(messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		m := messages.Get(i)
		if m.IsMapEntry() {
			continue
		}
		lines := []string{}
		for j := range m.Fields().Len() {
			lines = append(lines, fieldLine(m.Fields().Get(j)))
		}
		slices.Sort(lines)
		found["message "+string(m.FullName())] = lines
		found.addEnums(m.Enums())
		found.addMessages(m.Messages())
	}
}

func fieldLine(f protoreflect.FieldDescriptor) string {
	cardinality, typeName := f.Cardinality().String(), fieldType(f)
	switch {
	case f.IsMap():
		cardinality, typeName = "map", fieldType(f.MapKey())+","+fieldType(f.MapValue())
	case f.ContainingOneof() != nil:
		cardinality = "oneof:" + string(f.ContainingOneof().Name())
	}
	line := fmt.Sprintf("%d %s %s %s", f.Number(), f.Name(), cardinality, typeName)
	if f.HasDefault() {
		line += " " + defaultText(f)
	}
	return line
}

func fieldType(f protoreflect.FieldDescriptor) string {
	switch {
	case f.Enum() != nil:
		return string(f.Enum().FullName())
	case f.Message() != nil:
		return string(f.Message().FullName())
	}
	return f.Kind().String()
}

func defaultText(f protoreflect.FieldDescriptor) string {
	if f.Enum() != nil {
		return string(f.DefaultEnumValue().Name())
	}
	if f.Kind() == protoreflect.DoubleKind {
		return strconv.FormatFloat(f.Default().Float(), 'g', -1, 64)
	}
	return f.Default().String()
}
