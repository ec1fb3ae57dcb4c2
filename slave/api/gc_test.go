package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stoa-project/stoa/slave/core"
)

func TestThePlanOfWhatIsRemovedIsShown(t *testing.T) {
	ended := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	view := &core.View{GC: core.Collection{
		Delay: 10 * time.Hour, Headroom: 0.25, Measured: true, Use: 0.25, Sandboxes: []core.Garbage{{Directory: "/w/slaves/S/x", Since: ended}},
	}}
	server := httptest.NewServer(New(Options{View: func() *core.View { return view }, WorkDir: t.TempDir()}))
	defer server.Close()
	answer, err := http.Get(server.URL + "/slave(1)/gc")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got plan
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	use := 0.25
	want := plan{
		DelaySeconds: 36000, DiskHeadroom: 0.25, DiskUse: &use, MaxAgeSeconds: 18000,
		Sandboxes: []planSandbox{{Directory: "/w/slaves/S/x", Ended: ended, Removed: ended.Add(5 * time.Hour)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	view = nil
	early, err := http.Get(server.URL + "/gc")
	if err != nil {
		t.Fatal(err)
	}
	early.Body.Close()
	if early.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("before it has begun: %v", early.Status)
	}
}
