package membership_test

import (
	"errors"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// TestJoinRefusals holds that what is true of several members is said once, with all of them, and that nothing else is
// lost.
func TestJoinRefusals(t *testing.T) {
	of := func(name, at, rule string) error {
		return &membership.Refusal{Member: name, At: at, Rule: rule, Remedy: "fix it"}
	}
	for name, test := range map[string]struct {
		refusals []error
		want     string
	}{
		"one":              {[]error{of("a", "192.0.2.11", "no room")}, "a (192.0.2.11): no room; fix it"},
		"three alike":      {[]error{of("a", "192.0.2.11", "no room"), of("b", "192.0.2.12", "no room"), of("c", "", "no room")}, "a (192.0.2.11), b (192.0.2.12), c: no room; fix it"},
		"another between":  {[]error{of("a", "192.0.2.11", "no room"), of("b", "192.0.2.12", "no port"), of("c", "192.0.2.13", "no room")}, "a (192.0.2.11), c (192.0.2.13): no room; fix it\nb (192.0.2.12): no port; fix it"},
		"of the cluster":   {[]error{of("", "", "no quorum"), of("", "", "no quorum"), nil}, "no quorum; fix it\nno quorum; fix it"},
		"beside any other": {[]error{of("a", "192.0.2.11", "no room"), errors.New("import it"), of("b", "192.0.2.12", "no room")}, "a (192.0.2.11), b (192.0.2.12): no room; fix it\nimport it"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := membership.JoinRefusals(test.refusals...); got == nil || got.Error() != test.want {
				t.Errorf("%v\nwant %s", got, test.want)
			}
			if first := test.refusals[0].(*membership.Refusal); first.Also != "" {
				t.Errorf("a refusal was changed: %+v", first)
			}
		})
	}
	if err := membership.JoinRefusals(nil, nil); err != nil {
		t.Errorf("of none: %v", err)
	}
}
