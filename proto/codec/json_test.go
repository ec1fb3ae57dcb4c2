package codec_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/stoa-project/stoa/proto/codec"
	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/mesos/agentpb"
	"github.com/stoa-project/stoa/proto/mesos/masterpb"
	"github.com/stoa-project/stoa/proto/mesos/schedulerpb"
)

func parse[M proto.Message](t *testing.T, m M, text string) M {
	t.Helper()
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("bad test: %v", err)
	}
	return m
}

func TestWriting(t *testing.T) {
	for _, test := range []struct {
		name    string
		message proto.Message
		want    string
	}{
		{"64-bit numbers are numbers", parse(t, &mesos.TimeInfo{}, `nanoseconds: 9223372036854775807`), `{"nanoseconds":9223372036854775807}`},
		{"unsigned ones too", parse(t, &mesos.Value_Range{}, `begin: 0 end: 18446744073709551615`), `{"begin":0,"end":18446744073709551615}`},
		{"doubles show that they are", parse(t, &mesos.Value_Scalar{}, `value: 4`), `{"value":4.0}`},
		{"fractions", parse(t, &mesos.Value_Scalar{}, `value: 0.1`), `{"value":0.1}`},
		{"a million has no exponent", parse(t, &mesos.Value_Scalar{}, `value: 1000000`), `{"value":1000000.0}`},
		{"the smallest double", &mesos.Value_Scalar{Value: proto.Float64(math.SmallestNonzeroFloat64)}, `{"value":5e-324}`},
		{"infinity", &mesos.Value_Scalar{Value: proto.Float64(math.Inf(1))}, `{"value":"Infinity"}`},
		{"less than everything", &mesos.Value_Scalar{Value: proto.Float64(math.Inf(-1))}, `{"value":"-Infinity"}`},
		{"not a number", &mesos.Value_Scalar{Value: proto.Float64(math.NaN())}, `{"value":"NaN"}`},
		{"bytes are base64 with padding", parse(t, &mesos.UUID{}, `value: "\xff\xfe"`), `{"value":"//4="}`},
		{"enums are names", parse(t, &mesos.Image{}, `type: DOCKER cached: false`), `{"type":"DOCKER","cached":false}`},
		{"a field with a default is written", &mesos.Filters{}, `{"refuse_seconds":5.0}`},
		{"a default that is an enum too", &mesos.NetworkInfo_IPAddress{}, `{"protocol":"IPv4"}`},
		{"but not the role of a resource", parse(t, &mesos.Resource{}, `name: "a" type: SET set {}`), `{"name":"a","type":"SET","set":{}}`},
		{"a role that is set is written", parse(t, &mesos.Resource{}, `name: "a" type: SET set {} role: "*"`), `{"name":"a","type":"SET","set":{},"role":"*"}`},
		{"nor the role of a framework", parse(t, &mesos.FrameworkInfo{}, `user: "u" name: "n" roles: "a"`), `{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false,"roles":["a"]}`},
		{"empty lists are left out, empty messages are not", parse(t, &schedulerpb.Call{}, `type: REVIVE revive {}`), `{"type":"REVIVE","revive":{}}`},
		{"maps are objects with sorted keys", parse(t, &mesos.OfferFilters_ResourceQuantities{}, `quantities { key: "mem" value { value: 1 } } quantities { key: "cpus" value { value: 0.5 } }`), `{"quantities":{"cpus":{"value":0.5},"mem":{"value":1.0}}}`},
		{"the member of a oneof", parse(t, &schedulerpb.AttributeConstraint_Selector{}, `pseudoattribute_type: HOSTNAME`), `{"pseudoattribute_type":"HOSTNAME"}`},
		{"quotes, backslashes and lines", parse(t, &mesos.TaskID{}, `value: "a\"b\\c\nd\te\r\x00"`), `{"value":"a\"b\\c\nd\te\r\u0000"}`},
		{"other scripts are escaped", &mesos.TaskID{Value: proto.String("Στοά\u2028")}, `{"value":"\u03a3\u03c4\u03bf\u03ac\u2028"}`},
		{"all but ASCII is, and delete", &mesos.TaskID{Value: proto.String("é~\x7f")}, `{"value":"\u00e9~\u007f"}`},
		{"those beyond 16 bits twice", &mesos.TaskID{Value: proto.String("🏛")}, `{"value":"\ud83c\udfdb"}`},
		{"what is not UTF-8 is replaced", &mesos.TaskID{Value: proto.String("a\xffb")}, `{"value":"a\ufffdb"}`},
		{"durations are seconds", &masterpb.Call_DrainAgent{AgentId: mesos.NewAgentID("S0"), MaxGracePeriod: &durationpb.Duration{Seconds: 90, Nanos: 500_000_000}}, `{"agent_id":{"value":"S0"},"max_grace_period":"90.5s","mark_gone":false}`},
		{"negative durations", &durationpb.Duration{Nanos: -5}, `"-0.000000005s"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := codec.Marshal(test.message)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestAMessageThatIsNotWholeIsNotWritten(t *testing.T) {
	_, err := codec.Marshal(&schedulerpb.Call{Kill: &schedulerpb.Call_Kill{}})
	if want := `cannot write mesos.v1.scheduler.Call.Kill: its required field "task_id" is not set`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestReading(t *testing.T) {
	for _, test := range []struct {
		name, text string
		empty      proto.Message
		want       string
	}{
		{"null is unset", `{"framework_id":null,"type":"ACCEPT","accept":{"offer_ids":null,"filters":null}}`, &schedulerpb.Call{}, `type: ACCEPT accept {}`},
		{"unknown fields are left out", `{"type":"REVIVE","new":{"a":[1]},"revive":{"later":1}}`, &schedulerpb.Call{}, `type: REVIVE revive {}`},
		{"an unknown name of an optional enum is left out", `{"type":"DANCE"}`, &schedulerpb.Call{}, ``},
		{"unknown names in a list are left out", `{"services":["NODE_SERVICE","X"]}`, &mesos.CSIPluginContainerInfo{}, `services: NODE_SERVICE`},
		{"enums may be numbers", `{"type":5}`, &schedulerpb.Call{}, `type: REVIVE`},
		{"numbers may be strings", `{"begin":"1","end":"18446744073709551615"}`, &mesos.Value_Range{}, `begin: 1 end: 18446744073709551615`},
		{"doubles may be strings", `{"refuse_seconds":"2.5"}`, &mesos.Filters{}, `refuse_seconds: 2.5`},
		{"and infinite", `{"value":"Infinity"}`, &mesos.Value_Scalar{}, `value: inf`},
		{"whole numbers may look like doubles", `{"nanoseconds":1.5e9}`, &mesos.DurationInfo{}, `nanoseconds: 1500000000`},
		{"a fraction is cut off", `{"nanoseconds":-1.9}`, &mesos.DurationInfo{}, `nanoseconds: -1`},
		{"64 bits are kept", `{"nanoseconds":-9223372036854775808}`, &mesos.DurationInfo{}, `nanoseconds: -9223372036854775808`},
		{"booleans may be strings", `{"shell":"false","value":"x"}`, &mesos.CommandInfo{}, `shell: false value: "x"`},
		{"base64 with padding", `{"value":"//4="}`, &mesos.UUID{}, `value: "\xff\xfe"`},
		{"base64 without", `{"value":"//4"}`, &mesos.UUID{}, `value: "\xff\xfe"`},
		{"maps", `{"quantities":{"mem":{"value":1},"cpus":null}}`, &mesos.OfferFilters_ResourceQuantities{}, `quantities { key: "mem" value { value: 1 } }`},
		{"escapes", `{"value":"\u03a3\ud83c\udfdb\n"}`, &mesos.TaskID{}, `value: "Σ🏛\n"`},
		{"durations as seconds", `{"agent_id":{"value":"S0"},"max_grace_period":"90.5s"}`, &masterpb.Call_DrainAgent{}, `agent_id { value: "S0" } max_grace_period { seconds: 90 nanos: 500000000 }`},
		{"durations as objects", `{"agent_id":{"value":"S0"},"max_grace_period":{"seconds":"90"}}`, &masterpb.Call_DrainAgent{}, `agent_id { value: "S0" } max_grace_period { seconds: 90 }`},
		{"white space around it", " {\"value\" : 1}\n", &mesos.Value_Scalar{}, `value: 1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := proto.Clone(test.empty)
			if err := codec.Unmarshal([]byte(test.text), got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(parse(t, test.empty, test.want), got, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	for _, test := range []struct {
		name, text string
		message    proto.Message
		want       string
	}{
		{"nothing", ``, &schedulerpb.Call{}, "the body is empty: it must be a JSON object"},
		{"no JSON", `type=ACCEPT`, &schedulerpb.Call{}, "the body is not JSON: invalid character"},
		{"half an object", `{"type":`, &schedulerpb.Call{}, "the body is not JSON: it ends too early"},
		{"an array", `[]`, &schedulerpb.Call{}, "the body is an array: it must be a JSON object"},
		{"null", `null`, &schedulerpb.Call{}, "the body is null: it must be a JSON object"},
		{"two objects", `{} {}`, &schedulerpb.Call{}, "the body goes on after the JSON object"},
		{"a missing field", `{"accept":{"operations":[{"launch":{"task_infos":[{"name":"a"}]}}]}}`, &schedulerpb.Call{}, "accept.operations[0].launch.task_infos[0].task_id is missing"},
		{"null for a required field", `{"value":null}`, &mesos.TaskID{}, "value is missing"},
		{"an unknown name of a required enum", `{"name":"a","type":"X"}`, &mesos.Resource{}, `type is "X": it must be a name of mesos.v1.Value.Type`},
		{"an object for a string", `{"value":{}}`, &mesos.TaskID{}, `value is an object: it must be a string`},
		{"a number for a string", `{"value":5}`, &mesos.TaskID{}, `value is 5: it must be a string`},
		{"a string for an object", `{"revive":"x"}`, &schedulerpb.Call{}, `revive is "x": it must be an object`},
		{"an object for a list", `{"roles":{}}`, &schedulerpb.Call_Revive{}, `roles is an object: it must be an array`},
		{"null in a list", `{"roles":["a",null]}`, &schedulerpb.Call_Revive{}, `roles[1] is null: it must be a string`},
		{"an array for a map", `{"quantities":[]}`, &mesos.OfferFilters_ResourceQuantities{}, `quantities is an array: it must be an object`},
		{"a bad value in a map", `{"quantities":{"cpus":{"value":"x"}}}`, &mesos.OfferFilters_ResourceQuantities{}, `quantities["cpus"].value is "x": it must be a number`},
		{"a number too large", `{"port":4294967296}`, &mesos.CheckInfo_Tcp{}, `port is 4294967296: it must be a whole number of 32 bits that is not negative`},
		{"a negative number", `{"port":-1}`, &mesos.CheckInfo_Tcp{}, `port is -1`},
		{"a number far too large", `{"nanoseconds":1e19}`, &mesos.TimeInfo{}, `nanoseconds is 1e19`},
		{"a word for a number", `{"nanoseconds":"soon"}`, &mesos.TimeInfo{}, `nanoseconds is "soon"`},
		{"a hexadecimal number", `{"nanoseconds":"0x10"}`, &mesos.TimeInfo{}, `nanoseconds is "0x10"`},
		{"a word for a boolean", `{"value":"x","shell":"yes"}`, &mesos.CommandInfo{}, `shell is "yes": it must be true or false`},
		{"bytes that are not base64", `{"value":"*"}`, &mesos.UUID{}, `value is "*": it must be a string in base64`},
		{"a duration without a unit", `{"agent_id":{"value":"S0"},"max_grace_period":"5"}`, &masterpb.Call_DrainAgent{}, `max_grace_period is "5": it must be a number of seconds followed by s`},
		{"a long value is cut", `{"nanoseconds":"` + strings.Repeat("x", 5000) + `"}`, &mesos.TimeInfo{}, `xxx"…: it must be`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := codec.Unmarshal([]byte(test.text), test.message)
			if err == nil {
				t.Fatalf("want an error with %q, got none", test.want)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
				t.Errorf("got %q, want one short line with %q", err, test.want)
			}
		})
	}
}

// CVE-2018-11793: deeply nested JSON overflowed the stack of a master.
func TestCVE_2018_11793_DeepNestingIsRefused(t *testing.T) {
	const size = 10_000_000
	for _, text := range []string{
		strings.Repeat("[", size),
		strings.Repeat(`{"parent":`, size/10),
		strings.Repeat(`{"value":"a","parent":`, codec.MaxDepth) + `{"value":"a"}` + strings.Repeat("}", codec.MaxDepth),
	} {
		err := codec.Unmarshal([]byte(text), &mesos.ContainerID{})
		if err == nil || !strings.Contains(err.Error(), "JSON is nested deeper than 200") {
			t.Errorf("%.30s…: got %v", text, err)
		}
	}
	nested := strings.Repeat(`{"value":"a","parent":`, codec.MaxDepth-1) + `{"value":"[{\"["}` + strings.Repeat("}", codec.MaxDepth-1)
	if err := codec.Unmarshal([]byte(nested), &mesos.ContainerID{}); err != nil {
		t.Errorf("%d levels must be possible, brackets in strings are none: %v", codec.MaxDepth, err)
	}
}

// CVE-2018-1330: malformed JSON ended a master with an exception.
func TestCVE_2018_1330_MalformedJSONIsAnError(t *testing.T) {
	for _, text := range []string{"{", "}", `{"a"}`, `{"a":}`, `{"a":1,}`, "\x00", "\xff\xfe", `{"type":"\ud800"`, `"`, `{"a":1e}`, "{]", "nul"} {
		if err := codec.Unmarshal([]byte(text), &schedulerpb.Call{}); err == nil {
			t.Errorf("%q is read as a call", text)
		}
	}
}

func FuzzWhatIsReadCanBeWrittenAndReadAgain(f *testing.F) {
	f.Add([]byte(`{"type":"ACCEPT","accept":{"offer_ids":[{"value":"O1"}],"operations":[{"type":"LAUNCH","launch":{"task_infos":[{"name":"a","task_id":{"value":"t"},"agent_id":{"value":"s"},"data":"AAE=","limits":{"mem":{"value":"Infinity"}}}]}}],"filters":{"refuse_seconds":0.5}}}`))
	f.Add([]byte(`{"type":5,"reconcile":{"tasks":[{"task_id":{"value":"\ud83c\udfdb\n"}}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		first := &schedulerpb.Call{}
		if codec.Unmarshal(text, first) != nil {
			return
		}
		written, err := codec.Marshal(first)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		for i, c := range written {
			if c < ' ' || c >= 0x7f {
				t.Fatalf("byte %d of %q is not printable ASCII", i, written)
			}
		}
		second := &schedulerpb.Call{}
		if err := codec.Unmarshal(written, second); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		again, err := codec.Marshal(second)
		if err != nil || string(again) != string(written) {
			t.Fatalf("%s becomes %s (%v)", written, again, err)
		}
	})
}

func TestBodiesInBothFormats(t *testing.T) {
	want := parse(t, &agentpb.Call{}, `type: READ_FILE read_file { path: "/a" offset: 3 }`)
	for _, media := range []string{codec.MediaJSON, codec.MediaProtobuf} {
		format, ok := codec.FormatOf(media)
		if !ok || format.MediaType() != media {
			t.Fatalf("%s is not a format", media)
		}
		body, err := format.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got := &agentpb.Call{Type: agentpb.Call_GET_STATE.Enum()}
		if err := format.Unmarshal(body, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", media, diff)
		}
	}
	if _, ok := codec.FormatOf("application/json; charset=utf-8"); ok {
		t.Error("parameters are not part of a format")
	}
	if err := codec.Protobuf.Unmarshal([]byte("{}"), &agentpb.Call{}); err == nil || !strings.Contains(err.Error(), "the body is not a mesos.v1.agent.Call") {
		t.Errorf("JSON is read as protobuf: %v", err)
	}
}
