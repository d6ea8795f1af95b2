package renewal

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// TestWarn warns of certificates from their renewal window on, and louder in the last week.
func TestWarn(t *testing.T) {
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	const day = 24 * time.Hour
	short := types.ObjectValueMust(Type().AttrTypes, map[string]attr.Value{validity: types.StringValue("72h"), renewBefore: types.StringNull()})
	said := types.ObjectValueMust(Type().AttrTypes, map[string]attr.Value{validity: types.StringNull(), renewBefore: types.StringValue("720h")})
	for name, c := range map[string]struct {
		says    types.Object
		remains time.Duration
		due     bool
		ends    time.Duration // of the authority
		want    string
		lives   time.Duration // the certificate, where that is known
	}{
		"before the last third":           {types.ObjectNull(Type().AttrTypes), 122 * day, false, 4000 * day, "", 0},
		"in the last third":               {types.ObjectNull(Type().AttrTypes), 121 * day, false, 4000 * day, "Certificates are due, and this plan does not renew them", 0},
		"due by its length":               {types.ObjectNull(Type().AttrTypes), 300 * day, true, 4000 * day, "Certificates are due, and this plan does not renew them", 0},
		"with their authority":            {types.ObjectNull(Type().AttrTypes), 121 * day, false, 121 * day, "", 0},
		"eight days before":               {said, 8 * day, false, 4000 * day, "Certificates are due, and this plan does not renew them", 0},
		"renewed later":                   {said, 31 * day, false, 4000 * day, "", 0},
		"in the last week":                {said, 7 * day, true, 4000 * day, "Certificates expire within a week, or have expired", 0},
		"in the last week of all":         {said, 6 * day, false, 6 * day, "Certificates expire within a week, or have expired", 0},
		"expired":                         {said, -day, false, 4000 * day, "Certificates expire within a week, or have expired", 0},
		"short ones, new":                 {short, 2 * day, false, 4000 * day, "", 0},
		"short ones, due":                 {short, day, false, 4000 * day, "Certificates expire within a week, or have expired", 0},
		"of a signer's own lifetime, new": {types.ObjectNull(Type().AttrTypes), 89 * day, false, 4000 * day, "", 90 * day},
		"of a signer's own lifetime, due": {types.ObjectNull(Type().AttrTypes), 29 * day, false, 4000 * day, "Certificates are due, and this plan does not renew them", 90 * day},
		"of a day, new":                   {types.ObjectNull(Type().AttrTypes), 20 * time.Hour, false, 4000 * day, "", day},
		"of a day, due":                   {types.ObjectNull(Type().AttrTypes), 7 * time.Hour, false, 4000 * day, "Certificates expire within a week, or have expired", day},
		"from before validity was raised": {types.ObjectNull(Type().AttrTypes), 25 * day, false, 4000 * day, "", 30 * day},
		"shorter than renew_before":       {said, 25 * day, false, 4000 * day, "", 29 * day},
	} {
		diags := Warn(c.says, []Left{{Name: "b", Lifetime: c.lives, Expires: now.Add(c.remains), Why: "it could not be asked", Due: c.due}}, "", now.Add(c.ends), now)
		if (len(diags) > 0) != (c.want != "") || len(diags) > 0 && (diags[0].Summary() != c.want || !strings.Contains(diags[0].Detail(), "it could not be asked")) {
			t.Errorf("%s: warns %v, want %q", name, diags, c.want)
		}
	}
}
