package bootstrap_test

import (
	"fmt"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// The notation in which tests write what was observed of hosts, and print it:
//
//	a=bare b=forming,installed,configured,data,running c=formed,ready/1*a d=unreachable
//
// A host is its claim and what is true of it; ready/CLUSTER*LEADER says in which cluster and under
// whom, /1*a where it does not. Words that are no claim stand for refusals.

// refusals are the words that stand for refused hosts.
var refusals = map[string]string{
	"unreachable": "connect: no route to host",
	"unfit":       "its kernel is 3.10.0; 4.15 or newer is needed",
	"occupied":    "data directory /var/lib/etcd/prod is not empty, and nothing says whose data that is",
}

// parseHost reads a host.
func parseHost(text string) (membership.Host, error) {
	words := strings.Split(text, ",")
	if refused, ok := refusals[words[0]]; ok {
		return membership.Host{Refused: refused}, nil
	}
	host := membership.Host{Claim: membership.Claim(words[0])}
	switch host.Claim {
	case membership.Bare, membership.Forming, membership.Stale, membership.Formed:
	default:
		return host, fmt.Errorf("%q is no claim on a host", words[0])
	}
	for _, word := range words[1:] {
		word, at, _ := strings.Cut(word, "/")
		switch word {
		case "installed":
			host.Installed = true
		case "configured":
			host.Configured = true
		case "synced":
			host.Synced = true
		case "data":
			host.Data = true
		case "running":
			host.Running = true
		case "ready":
			host.Ready, host.ClusterID, host.Leader = true, "1", "a"
			if at != "" {
				host.ClusterID, host.Leader, _ = strings.Cut(at, "*")
			}
		default:
			return host, fmt.Errorf("%q is nothing that is known of a host", word)
		}
	}
	return host, nil
}

// parseObserved reads hosts by the names of their members.
func parseObserved(fields []string) (membership.Observed, error) {
	observed := membership.Observed{}
	for _, field := range fields {
		name, text, _ := strings.Cut(field, "=")
		host, err := parseHost(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", field, err)
		}
		observed[name] = host
	}
	return observed, nil
}

// parseMembers reads desired members: NAME, at an address that follows from where it stands, or
// NAME@ADDRESS.
func parseMembers(fields []string) []membership.Member {
	var members []membership.Member
	for i, field := range fields {
		name, address, given := strings.Cut(field, "@")
		if !given {
			address = fmt.Sprintf("192.0.2.%d", 11+i)
		}
		members = append(members, membership.Member{Name: name, Address: address})
	}
	return members
}

// printHost writes a host as parseHost reads it; a refused one as its reason.
func printHost(h membership.Host) string {
	if h.Refused != "" {
		return "refused: " + h.Refused
	}
	words := []string{string(h.Claim)}
	for _, flag := range []struct {
		is   bool
		word string
	}{
		{h.Installed, "installed"},
		{h.Configured, "configured"},
		{h.Synced, "synced"},
		{h.Data, "data"},
		{h.Running, "running"},
		{h.Ready, "ready/" + h.ClusterID + "*" + h.Leader},
	} {
		if flag.is {
			words = append(words, flag.word)
		}
	}
	return strings.Join(words, ",")
}
