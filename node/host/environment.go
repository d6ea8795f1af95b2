package host

import (
	"slices"
	"strings"
)

// MemberEnvironment is an environment as etcd is to have it. The flags file is all that a member runs by, so etcd's own
// variables are taken out; and so are those that name proxies: members speak to each other directly, and a proxy that
// is meant for downloads would be given the peers' traffic.
func MemberEnvironment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY":
			return true
		}
		return strings.HasPrefix(name, "ETCD_")
	})
}
