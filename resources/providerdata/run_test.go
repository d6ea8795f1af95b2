package providerdata

import "testing"

// TestOneClusterGoesAndComes in both orders in which Terraform may plan that, by addresses or by what is on the hosts.
func TestOneClusterGoesAndComes(t *testing.T) {
	old := Claim{"prod", []string{"192.0.2.11", "192.0.2.12"}, []string{"token"}}
	for name, test := range map[string]struct {
		new  Claim
		same bool
	}{
		"the same hosts":     {Claim{"prod", []string{"192.0.2.12", "192.0.2.13"}, nil}, true},
		"the hosts by names": {Claim{"prod", []string{"a.example.com"}, []string{"token"}}, true},
		"other hosts":        {Claim{"prod", []string{"192.0.2.21"}, nil}, false},
		"another name":       {Claim{"staging", []string{"192.0.2.11"}, nil}, false},
		"another cluster's":  {Claim{"prod", []string{"192.0.2.21"}, []string{"another token"}}, false},
	} {
		var first, second Claims
		if first.Created(test.new) || first.Destroyed(old) != test.same {
			t.Errorf("%s: created first, it is one cluster: %v", name, !test.same)
		}
		if second.Destroyed(old) || second.Created(test.new) != test.same {
			t.Errorf("%s: destroyed first, it is one cluster: %v", name, !test.same)
		}
	}
}
