package membership

import "github.com/etcd-on-hosts/terraform-provider-etcd/node/api"

// Minor returns the minor version of a version: 3.7 for 3.7.3, and 3.7 for 3.7.
func Minor(version string) string { return api.Minor(version) }

// CompareVersions orders versions and minor versions numerically: 3.6.16 comes before 3.7.0, and 3.6 before 3.6.1.
func CompareVersions(a, b string) int { return api.CompareVersions(a, b) }

// MinorsApart returns how many minor versions lie between two versions of one major version: 1 for 3.6.16 and 3.7.3.
// Across major versions it is more than any number of minors.
func MinorsApart(a, b string) int { return api.MinorsApart(a, b) }

// floors are the lowest patch versions from which a minor version may be upgraded to the next. Members of older patch
// versions can bring removed members back (3.5), or fail in the upgrade (3.6). etcd's upgrade guides name them.
var floors = map[string]string{"3.5": "3.5.32", "3.6": "3.6.11"}

// Floor returns the lowest patch version from which etcd may be upgraded to the next minor version, or "" for any.
func Floor(version string) string { return floors[Minor(version)] }

// NewestOf returns the newest of versions with this minor version, or "".
func NewestOf(minor string, versions []string) string {
	newest := ""
	for _, v := range versions {
		if Minor(v) == minor && CompareVersions(v, newest) > 0 {
			newest = v
		}
	}
	return newest
}
