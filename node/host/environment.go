package host

import (
	"slices"
	"strings"
)

// MemberEnvironment returns the environment for etcd. The flags file has to be all that configures a member, so it
// leaves out etcd's own variables. It also leaves out variables that name proxies: members connect to each other
// directly, and a proxy for downloads would get the peers' traffic.
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
