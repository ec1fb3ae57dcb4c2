package resource_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

func message(t *testing.T, text string) *mesos.Resource {
	t.Helper()
	m := &mesos.Resource{}
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("bad test: %v", err)
	}
	return m
}

func TestBothFormsOfReservationsAreOneInside(t *testing.T) {
	const cpus = `name: "cpus" type: SCALAR scalar { value: 2 } `
	for _, test := range []struct{ name, older, newer string }{
		{"unreserved", cpus + `role: "*"`, cpus},
		{"static", cpus + `role: "eng"`, cpus + `reservations { type: STATIC role: "eng" }`},
		{"dynamic", cpus + `role: "eng" reservation {}`, cpus + `reservations { type: DYNAMIC role: "eng" }`},
		{
			"dynamic, with everything", cpus + `role: "eng" reservation { principal: "p" labels { labels { key: "a" value: "1" } } }`,
			cpus + `reservations { type: DYNAMIC role: "eng" principal: "p" labels { labels { key: "a" value: "1" } } }`,
		},
		{"allocated", cpus + `role: "*" allocation_info { role: "web" }`, cpus + `allocation_info { role: "web" }`},
	} {
		t.Run(test.name, func(t *testing.T) {
			older, newer := message(t, test.older), message(t, test.newer)
			a, err := resource.FromProto([]*mesos.Resource{older})
			if err != nil {
				t.Fatal(err)
			}
			b, err := resource.FromProto([]*mesos.Resource{newer})
			if err != nil {
				t.Fatal(err)
			}
			if !a.Equal(b) {
				t.Errorf("%s and %s are not equal", a, b)
			}
			if diff := cmp.Diff([]*mesos.Resource{newer}, a.ToProto(), protocmp.Transform()); diff != "" {
				t.Errorf("the newer form (-want +got):\n%s", diff)
			}
			written, err := b.ToProtoPreRefinement()
			if diff := cmp.Diff([]*mesos.Resource{older}, written, protocmp.Transform()); diff != "" || err != nil {
				t.Errorf("the older form, %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestRefinedReservationsHaveNoOlderForm(t *testing.T) {
	r, err := resource.FromProto([]*mesos.Resource{message(t, `name: "cpus" type: SCALAR scalar { value: 2 } reservations { type: STATIC role: "eng" } reservations { type: DYNAMIC role: "eng/web" }`)})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.ReservedFor("eng/web"); !got.Equal(r) {
		t.Errorf("reserved for the last role: %s, want %s", got, r)
	}
	_, err = r.ToProtoPreRefinement()
	if want := "cpus(reserved: static eng, dynamic eng/web):2 has 2 reservations"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestDisksKeepWhatIsSaidAboutThem(t *testing.T) {
	m := message(t, `name: "disk" type: SCALAR scalar { value: 64 } reservations { type: DYNAMIC role: "db" }
		disk { persistence { id: "v1" principal: "p" } volume { mode: RW container_path: "data" } source { type: MOUNT mount { root: "/m" } metadata { labels { key: "k" } } } }`)
	r, err := resource.FromProto([]*mesos.Resource{m})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*mesos.Resource{m}, r.ToProto(), protocmp.Transform()); diff != "" {
		t.Errorf("the disk (-want +got):\n%s", diff)
	}
}

func TestCopiesAreWrittenOneByOne(t *testing.T) {
	m := message(t, `name: "disk" type: SCALAR scalar { value: 64 } reservations { type: DYNAMIC role: "db" } disk { persistence { id: "v1" } } shared {}`)
	r, err := resource.FromProto([]*mesos.Resource{m, m})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*mesos.Resource{m, m}, r.ToProto(), protocmp.Transform()); diff != "" {
		t.Errorf("two users of a volume (-want +got):\n%s", diff)
	}
}

func TestBadMessagesAreRefused(t *testing.T) {
	_, err := resource.FromProto([]*mesos.Resource{message(t, `name: "cpus" type: SCALAR scalar { value: -1 }`)})
	if want := `resource "cpus": its amount is -1`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if _, err := resource.FromProto([]*mesos.Resource{nil}); err == nil {
		t.Error("a message that is not there is accepted")
	}
}
