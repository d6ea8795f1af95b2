package api

import "testing"

// TestTarget holds which hosts a call is refused by: the fake and the real ones ask the same.
func TestTarget(t *testing.T) {
	carrying := func(member, id string) Marker { return Marker{Member: member, MemberID: id} }
	for name, test := range map[string]struct {
		target  Target
		carried Marker
		refused bool
	}{
		"as it was seen":                   {Target{Seen: true, For: "a", Member: "a", MemberID: "a1"}, carrying("a", "a1"), false},
		"bare, as it was seen":             {Target{Seen: true, For: "a"}, Marker{}, false},
		"another member":                   {Target{Seen: true, For: "a", Member: "a", MemberID: "a1"}, carrying("b", "b1"), true},
		"another life of the member":       {Target{Seen: true, For: "a", Member: "a", MemberID: "a1"}, carrying("a", "a2"), true},
		"it carries a member by now":       {Target{Seen: true, For: "a"}, carrying("a", "a1"), true},
		"it was cleared since":             {Target{Seen: true, For: "a", Member: "a", MemberID: "a1"}, Marker{}, true},
		"what a member that left has left": {Target{Seen: true, For: "f", Member: "e", MemberID: "e1"}, carrying("e", "e1"), false},
		"written by this run":              {Target{For: "a"}, carrying("a", ""), false},
		"written by this run, over e":      {Target{For: "f", Member: "e"}, carrying("f", ""), false},
		"another's, in this run":           {Target{For: "a", Member: "a"}, carrying("b", "b1"), true},
		"ID not known yet":                 {Target{Seen: true, For: "a", Member: "a"}, carrying("a", "a1"), false},
	} {
		if err := test.target.Differs(test.carried); (err != nil) != test.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}
