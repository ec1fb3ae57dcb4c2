package slave

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/stoa-project/stoa/proto/mesos"
	"github.com/stoa-project/stoa/proto/resource"
)

func TestResourcesThatAreNotGivenAreDetected(t *testing.T) {
	large := machine{cpus: 8, memory: 64 * gibibyte, disk: 100 * gibibyte}
	small := machine{cpus: 1, memory: 1 * gibibyte, disk: 8 * gibibyte}
	tests := []struct {
		name  string
		given string
		m     machine
		want  string
	}{
		{"a large machine keeps 1 GB of memory and 5 GB of disk", "", large, "cpus:8;disk:97280;mem:64512;ports:[31000-32000]"},
		{"a small machine keeps half", "", small, "cpus:1;disk:4096;mem:512;ports:[31000-32000]"},
		{"what is given counts", "cpus:4;mem:4096", large, "cpus:4;disk:97280;mem:4096;ports:[31000-32000]"},
		{"a reservation counts as given", "cpus(web):2", large, "cpus(web):2;disk:97280;mem:64512;ports:[31000-32000]"},
		{"other resources are added", "gpus:2", large, "cpus:8;disk:97280;gpus:2;mem:64512;ports:[31000-32000]"},
		{"ports can be given", "ports:[80-81]", small, "cpus:1;disk:4096;mem:512;ports:[80-81]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			given, err := resource.Parse(test.given)
			if err != nil {
				t.Fatal(err)
			}
			if got := fillIn(given, test.m); !got.Equal(resource.MustParse(test.want)) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestResourcesOfThisMachine(t *testing.T) {
	got, err := DetectResources("cpus:3", filepath.Join(t.TempDir(), "not", "there", "yet"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := resource.FromProto(got)
	if err != nil {
		t.Fatal(err)
	}
	if all.Get("cpus") != 3*resource.Unit || all.Get("mem") <= 0 || all.Get("disk") <= 0 || all.Count("ports") != 1001 {
		t.Errorf("got %s", all)
	}
	if _, err := DetectResources("cpus:many", t.TempDir()); err == nil || !strings.Contains(err.Error(), "cpus:many") {
		t.Errorf("got %v, want an error that names cpus:many", err)
	}
}

func TestAttributes(t *testing.T) {
	number := func(n float64) *mesos.Value_Scalar { return &mesos.Value_Scalar{Value: &n} }
	text := func(s string) *mesos.Value_Text { return &mesos.Value_Text{Value: &s} }
	name := func(s string) *string { return &s }
	begin, end, end2 := uint64(1), uint64(5), uint64(9)
	got, err := ParseAttributes(" rack:a ; zone:eu-1;cores:8;url:http://x:1;vlans:[1-5, 5-9];")
	if err != nil {
		t.Fatal(err)
	}
	want := []*mesos.Attribute{
		{Name: name("rack"), Type: mesos.Value_TEXT.Enum(), Text: text("a")},
		{Name: name("zone"), Type: mesos.Value_TEXT.Enum(), Text: text("eu-1")},
		{Name: name("cores"), Type: mesos.Value_SCALAR.Enum(), Scalar: number(8)},
		{Name: name("url"), Type: mesos.Value_TEXT.Enum(), Text: text("http://x:1")},
		{Name: name("vlans"), Type: mesos.Value_RANGES.Enum(), Ranges: &mesos.Value_Ranges{
			Range: []*mesos.Value_Range{{Begin: &begin, End: &end}, {Begin: &end, End: &end2}},
		}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, bad := range []string{"rack", "rack:", ":a", "a:[1-", "a:[x-2]", "a:[5-1]", "a:[]", "ok:1;bad"} {
		if got, err := ParseAttributes(bad); err == nil {
			t.Errorf("%q gave %v", bad, got)
		} else if !strings.Contains(err.Error(), strings.TrimPrefix(bad, "ok:1;")) {
			t.Errorf("%q: the error does not name it: %v", bad, err)
		}
	}
}

func TestADiskIsFullWhenItsBytesOrItsFilesAre(t *testing.T) {
	for name, test := range map[string]struct {
		stat unix.Statfs_t
		want float64
	}{
		"half of the bytes":               {unix.Statfs_t{Blocks: 100, Bfree: 50, Bavail: 50, Files: 100, Ffree: 90}, 0.5},
		"what is for root is not free":    {unix.Statfs_t{Blocks: 100, Bfree: 50, Bavail: 0, Files: 100, Ffree: 90}, 1},
		"all of the files":                {unix.Statfs_t{Blocks: 100, Bfree: 90, Bavail: 90, Files: 100}, 1},
		"no bound of the files, as btrfs": {unix.Statfs_t{Blocks: 100, Bfree: 75, Bavail: 75}, 0.25},
		"no bound of anything, as sysfs":  {unix.Statfs_t{}, 0},
	} {
		if got := useOf(&test.stat); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
