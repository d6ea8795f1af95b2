package bootstrap_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap"
	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// TestLostData holds when a formation starts over. Each member is written as a word:
//
//	serves     it is in the cluster, and lists all as joined
//	serves-X   as serves, but X has never joined
//	waits      it has data and runs, and nobody answers yet
//	stopped    it has data, and does not run
//	new        it was started for the first time, and has written nothing yet
//	crashes    systemd starts it again and again, with nothing written
//	empty      it is configured, and was never started
//	bare       its host is bare
func TestLostData(t *testing.T) {
	for script, over := range map[string]bool{
		"empty empty empty":                    false,
		"waits waits waits":                    false,
		"stopped stopped stopped":              false,
		"serves serves serves":                 false,
		"waits new new":                        false, // started together, a moment ago
		"new new new":                          false,
		"crashes crashes crashes":              false, // nothing is lost that could be set aside
		"serves-c serves-c empty":              false, // c was never started
		"serves-c serves-c crashes":            false, // c fails, and not because it lost anything
		"serves-c serves-c bare":               false,
		"serves serves empty":                  true,
		"serves serves crashes":                true,
		"serves serves bare":                   true,
		"serves serves new":                    false, // c is about to say itself what is the matter
		"waits waits empty":                    false, // they will serve, and say whether c had joined
		"stopped stopped empty":                false,
		"waits empty empty":                    true, // it waits for ever
		"stopped bare bare":                    true,
		"waits crashes crashes":                true,
		"waits new crashes":                    false, // two are enough
		"stopped stopped bare bare bare":       true,
		"stopped stopped stopped bare bare":    false,
		"serves-e serves-e serves-e new empty": false,
		"serves serves serves serves empty":    true,
		"stopped":                              false,
		"empty":                                false,
		"crashes":                              false,
	} {
		words := strings.Fields(script)
		c := cluster([]string{"192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15"}[:len(words)]...)
		reports := map[string]bootstrap.Report{}
		for i, m := range c.Members {
			reports[m.Name] = scripted(t, c, m, words[i])
		}
		stale := 0
		for _, host := range assessed(c, reports, now) {
			if host.Refused != "" {
				t.Fatalf("%s: refused: %s", script, host.Refused)
			}
			if host.Claim == membership.Stale {
				stale++
			}
		}
		bare := 0
		for _, word := range words {
			if word == "bare" {
				bare++
			}
		}
		if want := map[bool]int{true: len(words) - bare}[over]; stale != want {
			t.Errorf("%s: %d hosts start over, want %d", script, stale, want)
		}
	}
}

// scripted is what is learned of a host that one of the words above stands for.
func scripted(t *testing.T, c bootstrap.Cluster, m membership.Member, word string) bootstrap.Report {
	t.Helper()
	if word == "bare" {
		return bare(m)
	}
	report := serving(t, c, m, api.PhaseForming)
	o := report.Observation
	word, without, _ := strings.Cut(word, "-")
	for i := range o.Member.Members {
		if o.Member.Members[i].Name == without {
			o.Member.Members[i].ClientURLs = nil
		}
	}
	if word == "serves" {
		return report
	}
	o.Member = api.Member{Error: "context deadline exceeded"}
	o.Listeners = nil
	switch word {
	case "waits":
		o.Unit.ActiveState = "activating"
	case "stopped":
		o.Unit.ActiveState = "inactive"
	case "new":
		o.Unit.ActiveState, o.Data.HasMember = "activating", false
	case "crashes":
		o.Unit.ActiveState, o.Unit.Restarts, o.Data.HasMember = "activating", 3, false
	case "empty":
		o.Unit.ActiveState, o.Data.HasMember, o.Data.Empty = "inactive", false, true
	default:
		t.Fatalf("what is %q?", word)
	}
	return report
}

// TestAFinishedClusterIsNotStartedOver has a member lose its data when all were handed over.
func TestAFinishedClusterIsNotStartedOver(t *testing.T) {
	c := three()
	reports := map[string]bootstrap.Report{}
	for _, m := range c.Members {
		reports[m.Name] = serving(t, c, m, api.PhaseFormed)
	}
	lost := reports["c"].Observation
	lost.Unit.ActiveState, lost.Member, lost.Data = "failed", api.Member{}, api.Data{Exists: true, Empty: true}
	for name, host := range assessed(c, reports, now) {
		if host.Claim != membership.Formed {
			t.Errorf("%s is %s", name, host.Claim)
		}
	}
}

// TestOtherAttemptsSayNothingOfThisOne has a host of another attempt list a member as joined.
func TestOtherAttemptsSayNothingOfThisOne(t *testing.T) {
	c := three()
	reports := map[string]bootstrap.Report{}
	for i, word := range []string{"serves", "empty", "empty"} {
		reports[c.Members[i].Name] = scripted(t, c, c.Members[i], word)
	}
	reports["a"].Observation.Marker.Token = "prod-0"
	observed := assessed(c, reports, now)
	var claims []membership.Claim
	for _, m := range c.Members {
		claims = append(claims, observed[m.Name].Claim)
	}
	if want := []membership.Claim{membership.Stale, membership.Forming, membership.Forming}; !slices.Equal(claims, want) {
		t.Errorf("claims: %v, want %v", claims, want)
	}
}
