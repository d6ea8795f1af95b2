package refreshed

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/clocks"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/providerdata"
)

// beside is private state.
type beside map[string][]byte

func (b beside) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) { return b[key], nil }

func (b beside) SetKey(_ context.Context, key string, value []byte) diag.Diagnostics {
	b[key] = value
	return nil
}

func TestReportsIsKept(t *testing.T) {
	a, b, c := membership.Member{Name: "a", Address: "192.0.2.11"}, membership.Member{Name: "b", Address: "192.0.2.12"}, membership.Member{Name: "b", Address: "192.0.2.22"}
	at := time.Date(2026, 3, 1, 12, 34, 56, 0, time.UTC)
	way := providerdata.SSHTarget{Address: "192.0.2.22", Port: 2222, User: "ops", HostKey: "ssh-ed25519 AAAA"}
	s := New(bootstrap.Reports{
		a:                                  {Observation: &api.Observation{Flags: []string{"--name=a"}, Member: api.Member{Healthy: true, RaftIndex: 7}}},
		b:                                  {Err: errors.New("read tcp 198.51.100.7:51234->192.0.2.12:22: connection reset by peer")},
		c:                                  {Contact: api.Contact{Machine: "x86_64", FreeBytes: 5 << 30}},
		{Name: "d", Address: "192.0.2.14"}: {},
	}, []membership.Member{a, b}, providerdata.Routes{c: way}, at)
	private := beside{}
	if diags := s.Keep(t.Context(), private); diags.HasError() {
		t.Fatal(diags)
	}
	back, found, diags := Last(t.Context(), private)
	if !found || diags.HasError() {
		t.Fatalf("found %v, %v", found, diags)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Errorf("read back (-kept +read):\n%s", diff)
	}
	reports := back.Reports()
	if len(reports) != 3 || reports[b].Err == nil || reports[a].Observation.Member.RaftIndex != 0 || reports[c].Contact.FreeBytes != 1<<30 {
		t.Errorf("reports are %+v", reports)
	}
	if diff := cmp.Diff(providerdata.Routes{c: way}, back.Others()); diff != "" {
		t.Errorf("the ways to others (-want +got):\n%s", diff)
	}
	if !back.At.Equal(at) {
		t.Errorf("at %s", back.At)
	}
}

// TestConnectionsAreKept holds that a member which tells its connections late changes nothing that is kept,
// and that a plan still knows of a member which runs on another machine than its address leads to.
func TestConnectionsAreKept(t *testing.T) {
	members := []membership.Member{{Name: "a", Address: "192.0.2.11"}, {Name: "b", Address: "192.0.2.12"}, {Name: "c", Address: "192.0.2.13"}}
	ids := []string{"1a", "2b", "3c"}
	observed := func(i int, connected ...string) bootstrap.Report {
		return bootstrap.Report{Observation: &api.Observation{Marker: &api.Marker{MemberID: ids[i]}, Member: api.Member{Healthy: true, MemberID: ids[i], Connected: connected}}}
	}
	kept := func(reports bootstrap.Reports) Reports { return New(reports, members, nil, time.Time{}) }
	all := bootstrap.Reports{members[0]: observed(0, "2b", "3c"), members[1]: observed(1, "1a", "3c"), members[2]: observed(2, "1a", "2b")}
	late := bootstrap.Reports{members[0]: observed(0), members[1]: all[members[1]], members[2]: observed(2)}
	if diff := cmp.Diff(kept(all), kept(late)); diff != "" {
		t.Errorf("two members tell their connections late (-in time +late):\n%s", diff)
	}
	if got := kept(late).Members[0].Observation.Member.Connected; !slices.Equal(got, []string{"2b", "3c"}) {
		t.Errorf("the connections of a are kept as %v", got)
	}
	stopped := observed(2)
	stopped.Observation.Unit.ActiveState, stopped.Observation.Member = "inactive", api.Member{}
	for name, report := range map[string]bootstrap.Report{"stopped": stopped, "bare": {Contact: api.Contact{Machine: "x86_64"}}, "unreachable": {Err: errors.New("no route to host")}} {
		all[members[2]] = report
		for _, m := range kept(all).Members[:2] {
			if got := m.Observation.Member.Connected; !slices.Contains(got, "3c") {
				t.Errorf("c is %s: the connections of %s are kept as %v", name, m.Name, got)
			}
		}
	}
}

// TestSkewIsKept: if the skew of a clock is too large, it stays too large in what is kept, so that plan and apply
// agree.
func TestSkewIsKept(t *testing.T) {
	a := membership.Member{Name: "a", Address: "192.0.2.11"}
	for _, skew := range []time.Duration{5*time.Minute + time.Second, -5*time.Minute - time.Second, 5*time.Minute + 10*time.Second, -time.Hour} {
		reports := bootstrap.Reports{a: {Clock: clocks.Clock{From: skew, To: skew, Known: true}}}
		kept := New(reports, []membership.Member{a}, nil, time.Now()).Reports()
		if seen := reports.Clocks().MaySign([]membership.Member{a}); seen == nil || kept.Clocks().MaySign([]membership.Member{a}) == nil {
			t.Errorf("%s: %v; kept: %s", skew, seen, kept[a].Clock.Skew())
		}
		if by := (kept[a].Clock.Skew() - skew).Abs(); by >= skewUnit || kept[a].Clock.Skew()%skewUnit != 0 {
			t.Errorf("%s is kept as %s", skew, kept[a].Clock.Skew())
		}
	}
}

func TestReportsIsDamaged(t *testing.T) {
	private := beside{}
	if s := (Reports{}); s.Keep(t.Context(), private).HasError() {
		t.Fatal("an empty look was not kept")
	}
	whole := private[reportsKey]
	for name, text := range map[string][]byte{
		"no JSON": []byte("x"), "no gzip": []byte(`"AAAA"`), "cut short": append(slices.Clone(whole[:len(whole)/2]), '"'), "another's": []byte(`{"seats":[]}`),
	} {
		_, found, diags := Last(t.Context(), beside{reportsKey: text})
		if found || !diags.HasError() || !strings.Contains(diags[0].Detail(), "terraform apply -refresh-only") {
			t.Errorf("%s: found %v, %v", name, found, diags)
		}
	}
	if _, found, diags := Last(t.Context(), beside{}); found || diags.HasError() {
		t.Errorf("nothing: found %v, %v", found, diags)
	}
}

// TestAcknowledgedIsForgottenByTheClusterAlone holds that what members had on disk is kept until a member that serves
// has a list without them. After a power cut nobody serves, and it decides who may be started.
func TestAcknowledgedIsForgottenByTheClusterAlone(t *testing.T) {
	list := []api.ListedMember{{ID: "1"}, {ID: "2"}}
	for name, test := range map[string]struct {
		member *api.Member
		want   map[string]uint64
	}{
		"it serves":          {&api.Member{Healthy: true, Members: list}, map[string]uint64{"1": 90, "2": 200}},
		"it is cut off":      {&api.Member{Responding: true, Members: list}, map[string]uint64{"1": 90, "2": 200, "3": 300}},
		"it is down":         {&api.Member{}, map[string]uint64{"1": 90, "2": 200, "3": 300}},
		"it cannot be asked": {nil, map[string]uint64{"1": 90, "2": 200, "3": 300}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Reports
			if test.member != nil {
				s.Members = []Report{{Name: "a", Observation: &api.Observation{Member: *test.member}}}
			}
			s = s.Acknowledging(map[string]uint64{"1": 100, "2": 200, "3": 300}, map[string]uint64{"1": 90})
			if diff := cmp.Diff(test.want, s.Acknowledged); diff != "" {
				t.Errorf("known (-want +got):\n%s", diff)
			}
		})
	}
}
