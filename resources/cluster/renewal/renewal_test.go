package renewal

import (
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
)

// TestValidityNextToAuthorities: what is reported if an authority of the bundle, present or next, does not allow a
// validity.
func TestValidityNextToAuthorities(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	made := func(name string, ago, lifetime time.Duration) string {
		authority, err := pki.NewAuthority(name, pki.DefaultAlgorithm, lifetime, now.Add(-ago))
		if err != nil {
			t.Fatal(err)
		}
		return string(authority.CertificatePEM())
	}
	old, ending := made("old", 1000*time.Hour, 100000*time.Hour), made("ending", 1000*time.Hour, 1010*time.Hour)
	lasting, short := made("new", time.Hour, 100000*time.Hour), made("new", time.Hour, 48*time.Hour)
	for name, test := range map[string]struct {
		bundle, says string
		refused      bool
	}{
		"it allows that":                       {old, "", false},
		"it has never allowed that":            {short, "No certificate outlives its authority", true},
		"it no longer allows that":             {ending, "Certificates end with their authority", false},
		"the next one allows that":             {old + lasting, "", false},
		"the next one never does":              {old + short, "No certificate outlives the next authority", false},
		"the next one signs":                   {short + old, "No certificate outlives its authority", true},
		"the one before ends":                  {lasting + ending, "", false},
		"the next one is not known, like both": {"", "", false},
	} {
		bundle := types.StringValue(test.bundle)
		if test.bundle == "" {
			bundle = types.StringUnknown()
		}
		object := types.ObjectValueMust(Type().AttrTypes, map[string]attr.Value{validity: types.StringValue("720h"), renewBefore: types.StringNull()})
		for _, pair := range [][2]types.String{{bundle, types.StringValue(old)}, {types.StringValue(old), bundle}} {
			diags, says := CheckAuthorities(object, pair[0], pair[1], nil, now), ""
			if len(diags) > 0 {
				says = diags[0].Summary()
			}
			if says != test.says || diags.HasError() != test.refused || len(diags) > 1 {
				t.Errorf("%s: %v", name, diags)
			}
		}
	}
}
