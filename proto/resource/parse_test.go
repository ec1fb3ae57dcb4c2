package resource_test

import (
	"strings"
	"testing"

	"github.com/stoa-project/stoa/proto/resource"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"everything at once", "cpus:2;mem:1024;ports:[31000-32000,33000-33005];cpus(role):4;disks:{a,b};gpus:1", "cpus:2;cpus(role):4;disks:{a,b};gpus:1;mem:1024;ports:[31000-32000,33000-33005]"},
		{"spaces do not matter", " cpus : 2 ; ports : [ 1 - 2 , 4 - 5 ] ; disks ( eng ) : { a , b } ; ", "cpus:2;disks(eng):{a,b};ports:[1-2,4-5]"},
		{"nothing is nothing", "", ""},
		{"only separators are nothing", " ; ;", ""},
		{"the same again adds up", "cpus:1;cpus:1.5", "cpus:2.5"},
		{"ranges need no order", "ports:[5-6,1-2,3-4]", "ports:[1-6]"},
		{"thousandths are kept", "cpus:0.001", "cpus:0.001"},
		{"less than half a thousandth is nothing", "cpus:0.0004", ""},
		{"more decimals are rounded", "cpus:1.23456", "cpus:1.235"},
		{"exponents are numbers", "mem:1e3", "mem:1000"},
		{"the default role is no reservation", "cpus(*):1", "cpus:1"},
		{"a role may be a path", "cpus(eng/web):1", "cpus(eng/web):1"},
		{"no ranges", "ports:[]", ""},
		{"no items", "disks:{}", ""},
		{"JSON", `[{"name":"cpus","type":"SCALAR","scalar":{"value":2},"role":"eng"},{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}]`, "cpus(eng):2;ports:[1-2]"},
		{"empty JSON", ` []`, ""},
		{"JSON of a dynamic reservation", `[{"name":"cpus","type":"SCALAR","scalar":{"value":2},"role":"eng","reservation":{"principal":"p","labels":{"labels":[{"key":"b","value":"2"},{"key":"a","value":"1"}]}}}]`, "cpus(reserved: dynamic eng by p {a=1,b=2}):2"},
		{"JSON of a volume", `[{"name":"disk","type":"SCALAR","scalar":{"value":64},"role":"db","disk":{"persistence":{"id":"v1"},"source":{"type":"PATH","path":{"root":"/d"}}}}]`, "disk(db)(volume: v1)(source: PATH /d):64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := resource.Parse(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestWhatCannotBeParsedIsNamed(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"no colon", "cpus:1;mem", `part 2 "mem" at byte 7: there is no colon`},
		{"no name", ":1", `part 1 ":1" at byte 0: a resource has an empty name`},
		{"a word for a number", "cpus:many", `value "many" is not understood: allowed are a number like 2.5`},
		{"infinity", "cpus:inf", `value "inf" is not understood`},
		{"not a number", "cpus:NaN", `value "NaN" is not understood`},
		{"a hexadecimal number", "cpus:0x10", `value "0x10" is not understood`},
		{"nothing for a number", "cpus:", `value "" is not understood`},
		{"a unit", "mem:1GB", `value "1GB" is not understood`},
		{"a negative number", "cpus:-1", `resource "cpus": its amount is -1`},
		{"too much", "mem:1e30", `its amount is 1e+30`},
		{"an open range", "cpus:1;ports:[1-2", `part 2 "ports:[1-2" at byte 7: value "[1-2" does not end with "]"`},
		{"an open set", "disks:{a", `value "{a" does not end with "}"`},
		{"an open role", "cpus(eng:1", `the parenthesis is not closed`},
		{"a bad role", "cpus(eng/):1", `role "eng/" starts or ends with a slash`},
		{"an empty role", "cpus():1", `role is empty`},
		{"a range of one number", "ports:[5]", `range "5" is not two whole numbers`},
		{"a range that ends before it begins", "ports:[5-4]", `range 5-4 ends before it begins`},
		{"a negative port", "ports:[-1-4]", `range "-1-4" is not two whole numbers`},
		{"a port too large", "ports:[1-65536]", `ends beyond the last port`},
		{"an empty range", "ports:[1-2,,]", `range "" is not two whole numbers`},
		{"the same item twice", "disks:{a,a}", `item "a" is twice in the set`},
		{"an empty item", "disks:{a,}", `item "" of the set is empty`},
		{"ports as a number", "ports:5", `resource "ports": its type is SCALAR: it must be RANGES`},
		{"one name, two kinds", "x:1;x:{a}", `part 2 "x:{a}" at byte 4: "x" was SCALAR before and is SET here`},
		{"half a gpu", "gpus:0.5", `only whole gpus`},
		{"JSON that is none", "[{", `not a JSON array of resources`},
		{"JSON with a bad field", `[{"name":"cpus","type":"SCALAR","scalar":{"value":"x"}}]`, `element 1 of the JSON array: scalar.value is "x": it must be a number`},
		{"JSON without a type", `[{"name":"cpus"}]`, `element 1 of the JSON array: type is missing`},
		{"JSON of a bad resource", `[{"name":"mem","type":"SCALAR","scalar":{"value":1}},{"name":"cpus","type":"SCALAR","scalar":{"value":-1}}]`, `element 2 of the JSON array: resource "cpus": its amount is -1`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := resource.Parse(test.text)
			if err == nil {
				t.Fatalf("got %s, want an error with %q", got, test.want)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line with %q", err, test.want)
			}
		})
	}
}

func FuzzParseNeverPanicsAndReadsWhatItWrote(f *testing.F) {
	f.Add("cpus:2;mem:1024;ports:[31000-32000,33000-33005];cpus(role):4;disks:{a,b};gpus:1")
	f.Add(`[{"name":"cpus","type":"SCALAR","scalar":{"value":2},"role":"eng","reservation":{}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := resource.Parse(text)
		if err != nil || strings.HasPrefix(strings.TrimSpace(text), "[") {
			return
		}
		again, err := resource.Parse(r.String())
		if err != nil || !again.Equal(r) {
			t.Errorf("%q is %q, and that is %q (%v)", text, r, again, err)
		}
	})
}
