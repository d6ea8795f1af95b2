package membership

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestFloor holds the patches that etcd's upgrade guides name.
func TestFloor(t *testing.T) {
	for version, want := range map[string]string{"3.5.9": "3.5.32", "3.6.5": "3.6.11", "3.6": "3.6.11", "3.7.3": "", "": ""} {
		if got := Floor(version); got != want {
			t.Errorf("Floor(%q) = %q, want %q", version, got, want)
		}
	}
}

func TestNewestOf(t *testing.T) {
	carried := []string{"3.7.3", "3.6.9", "3.6.16", "3.7.10"}
	for minor, want := range map[string]string{"3.6": "3.6.16", "3.7": "3.7.10", "3.5": "", "": ""} {
		if got := NewestOf(minor, carried); got != want {
			t.Errorf("NewestOf(%q) = %q, want %q", minor, got, want)
		}
	}
}

// TestStatusCounts holds that what is counted is what is listed, and that unmanaged members count against a quorum.
func TestStatusCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p ClusterStatus
		roles, states := rapid.SampledFrom([]Role{Absent, Learner, Voter}), rapid.SampledFrom([]State{Healthy, Unhealthy, Unreachable, Lost})
		voters, healthy := 0, 0
		for i := range rapid.IntRange(0, 9).Draw(t, "members") {
			s := MemberStatus{Member: Member{Name: string(rune('i' - i))}, Role: roles.Draw(t, "role"), State: states.Draw(t, "state"), Outdated: []string{"settings"}}
			p.Members = append(p.Members, s)
			if s.Role == Voter {
				voters++
				if s.State == Healthy {
					healthy++
				}
			}
		}
		if len(p.Voters()) != voters || len(p.Healthy()) != healthy || p.Size() != voters {
			t.Fatalf("%d voters, %d healthy, size %d; want %d, %d", len(p.Voters()), len(p.Healthy()), p.Size(), voters, healthy)
		}
		if got, want := p.HasQuorum(), healthy >= Quorum(voters); got != want {
			t.Errorf("%d of %d: quorum %t", healthy, voters, got)
		}
		p.Unmanaged = []UnmanagedMember{{Role: Voter}, {Role: Learner}}
		if got, want := p.HasQuorum(), healthy >= Quorum(voters+1); p.Size() != voters+1 || got != want {
			t.Errorf("%d of %d and an unmanaged member: size %d, quorum %t", healthy, voters, p.Size(), got)
		}
	})
}

// TestStatusClone holds that a clone shares nothing.
func TestStatusClone(t *testing.T) {
	p := ClusterStatus{Members: []MemberStatus{{Member: Member{Name: "b"}, Outdated: []string{"settings"}}, {Member: Member{Name: "a"}}}, Unmanaged: []UnmanagedMember{{ID: "1"}}}
	c := p.Clone()
	SortStatuses(c.Members)
	c.Members[1].Outdated[0], c.Unmanaged[0].ID = "unit", "2"
	if p.Members[0].Name != "b" || p.Members[0].Outdated[0] != "settings" || p.Unmanaged[0].ID != "1" {
		t.Errorf("changed through its clone: %+v", p)
	}
	if names := []string{c.Members[0].Name, c.Members[1].Name}; !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("sorted: %v", names)
	}
	if got := p.Member(Member{Name: "c"}); got != nil {
		t.Errorf("there is no c: %v", got)
	}
}
