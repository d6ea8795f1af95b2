package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/plan"
)

// A script says what was observed and what is desired, and its answer is the plan:
//
//	observed  a*=3.7.3 b c/unreachable d~/unstarted e-/missing ?x@192.0.2.99 3.7 full
//	desired   a b c@192.0.2.23 3.7.3
//	----
//	...
//
// A member is NAME[@ADDRESS][*][~][-][=VERSION][/WORD,...]: * leads, ~ is a learner, - is not in the list; a voter
// otherwise. A member called a has 192.0.2.11 where no address is given, b 192.0.2.12, and so on. Words are a state,
// trusts:, files: and of: for the authorities (old where these do not say), serves-other for one that serves another
// certificate than its file has, and settings, unit, invalid, oldlist and nolist (of revoked certificates), active,
// rebuild, full, storeless, disabled, unsynced, behind, unstarted, traces, differs, from:13 for one that its cluster
// knows at 192.0.2.13, moved, unheard, gone (the machine lacks that address), unlisted:a for one that the list of a may
// lack, had:812 for an entry that it is known to have had, and 4.812 for a log that ends with entry 812 of term 4. ?
// begins an unmanaged member (?~ a learner, ?~! one of ours). Words of the cluster are its version, full (by a member
// that is gone), corrupt, agreed, saved, and down:3.6 or lowered:3.6 for a downgrade under way. What is desired is a
// list of members and a version, and hold where restarts are held back, zone:r1:a,b for the members of a zone, and
// trusts:old+new for the authorities that are to be trusted and signs:new+old for those that can sign (new/old where
// those of peers and of clients differ), ended:old for those that have expired, and recover:a,b,c for a recovery from a
// that gives up b and c, with loses:c where c may have more, and peers:NAME for the common name of peer certificates
// (a/named:NAME has one with it, and a/demands:NAME demands it); carried is 3.7.3 and 3.6.16.
func parse(t testing.TB, script string) (membership.ClusterStatus, membership.Spec) {
	t.Helper()
	want := membership.Spec{Name: "prod", Version: "3.7.3", Carried: []string{"3.7.3", "3.6.16"}}
	p := membership.ClusterStatus{ClusterVersion: "3.7"}
	var observed []string
	for line := range strings.Lines(script) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] == "#":
		case fields[0] == "observed":
			observed = fields[1:]
		case fields[0] == "desired":
			for _, field := range fields[1:] {
				if names, recovers := strings.CutPrefix(field, "recover:"); recovers {
					survivors := strings.Split(names, ",")
					want.Recover.Member, want.Recover.Abandons = survivors[0], survivors[1:]
					continue
				}
				if names, are := strings.CutPrefix(field, "trusts:"); are {
					p.Trusts = authorities(names)
					continue
				}
				if names, are := strings.CutPrefix(field, "signs:"); are {
					p.Signers.Peers, p.Signers.Clients = ofEach(names)
					continue
				}
				if names, are := strings.CutPrefix(field, "ended:"); are {
					p.Ended = authorities(names)
					continue
				}
				if name, is := strings.CutPrefix(field, "peers:"); is {
					p.PeerName = name
					continue
				}
				if field == "hold" {
					want.HoldRestarts = true
					continue
				}
				if zone, is := strings.CutPrefix(field, "zone:"); is {
					zone, names, _ := strings.Cut(zone, ":")
					if want.Zones == nil {
						want.Zones = map[string]string{}
					}
					for name := range strings.SplitSeq(names, ",") {
						want.Zones[name] = zone
					}
					continue
				}
				if names, loses := strings.CutPrefix(field, "loses:"); loses {
					want.Recover.Loses = strings.Split(names, ",")
					continue
				}
				if field[0] >= '0' && field[0] <= '9' {
					want.Version = field
					continue
				}
				want.Members = append(want.Members, member(field))
			}
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	want.Members = membership.Sort(want.Members)

	for _, field := range observed {
		switch name, value, _ := strings.Cut(field, ":"); {
		case field == "full":
			p.Full = append(p.Full, "id-gone")
		case field == "corrupt":
			p.Corrupt = true
		case field == "agreed":
			p.Agreed = true
		case field == "saved":
			p.Saved = true
		case name == "down" || name == "lowered":
			p.Downgrade, p.Lowered = value, name == "lowered"
		case field[0] >= '0' && field[0] <= '9':
			p.ClusterVersion = field
		case field[0] == '?':
			p.Unmanaged = append(p.Unmanaged, unmanaged(field))
		default:
			p.Members = append(p.Members, memberStatus(t, &p, field, want))
		}
	}
	for _, m := range want.Members {
		if p.Member(m) == nil {
			p.Members = append(p.Members, membership.MemberStatus{Member: m, Desired: true, State: membership.Missing})
		}
	}
	membership.SortStatuses(p.Members)
	return p, want
}

func member(text string) membership.Member {
	name, address, given := strings.Cut(text, "@")
	if !given {
		address = fmt.Sprintf("192.0.2.%d", 11+int(name[0]-'a'))
	}
	return membership.Member{Name: name, Address: address}
}

func unmanaged(text string) membership.UnmanagedMember {
	rest := strings.TrimLeft(text, "?~!")
	m := member(rest)
	s := membership.UnmanagedMember{ID: "id-" + rest, Name: m.Name, PeerURL: "https://" + m.Address + ":2380", Role: membership.Voter}
	if strings.Contains(text, "~") {
		s.Role = membership.Learner
	}
	s.Ours = strings.Contains(text, "!")
	return s
}

// authorities are those of peers and of clients: by the same names, or as in new/old.
func authorities(names string) membership.Authorities {
	peers, clients := ofEach(names)
	return membership.Authorities{Peers: membership.NamesOf(peers...), Clients: membership.NamesOf(clients...)}
}

func ofEach(names string) (peers, clients []string) {
	forPeers, forClients, differ := strings.Cut(names, "/")
	if !differ {
		forClients = forPeers
	}
	return strings.Split(forPeers, "+"), strings.Split(forClients, "+")
}

var states = []membership.State{membership.Healthy, membership.Unhealthy, membership.Stopped, membership.Missing, membership.Lost, membership.Blocked, membership.Foreign, membership.Unreachable}

// reasons are what is behind a state.
var reasons = map[membership.State]string{
	membership.Missing: "its host carries nothing of it", membership.Lost: "its data is lost", membership.Unreachable: "its host cannot be reached",
	membership.Stopped: "its unit is inactive", membership.Unhealthy: "it runs, and serves no linearizable read",
	membership.Blocked: "its data directory is not mounted", membership.Foreign: "its host carries another cluster",
}

func memberStatus(t testing.TB, p *membership.ClusterStatus, text string, want membership.Spec) membership.MemberStatus {
	t.Helper()
	text, words, _ := strings.Cut(text, "/")
	text, version, _ := strings.Cut(text, "=")
	signs := ""
	for strings.ContainsAny(text[len(text)-1:], "*~-") {
		signs += text[len(text)-1:]
		text = text[:len(text)-1]
	}
	m := member(text)
	s := membership.MemberStatus{Member: m, Desired: slices.Contains(want.Members, m), ID: "id-" + m.Address, Role: membership.Voter, Started: true, State: membership.Healthy, Version: version, Traces: true}
	if version == "" {
		s.Version = want.Version
	}
	switch {
	case strings.Contains(signs, "*"):
		p.Leader = s.ID
	case strings.Contains(signs, "~"):
		s.Role = membership.Learner
	case strings.Contains(signs, "-"):
		s.Role, s.ID, s.Started = membership.Absent, "", false
	}
	if p.Trusts != (membership.Authorities{}) && s.Role != membership.Absent {
		s.Issued = membership.Issued{By: authorities("old"), Trusts: authorities("old"), Files: authorities("old")}
	}
	s.Peering = membership.Peering{Known: true, Named: s.Name}
	for word := range strings.SplitSeq(words, ",") {
		switch {
		case word == "":
		case strings.HasPrefix(word, "named:"):
			s.Peering.Named = word[len("named:"):]
		case strings.HasPrefix(word, "demands:"):
			s.Peering.Demands, s.Peering.Written = word[len("demands:"):], word[len("demands:"):]
		case strings.HasPrefix(word, "written:"):
			s.Peering.Written = word[len("written:"):]
		case strings.HasPrefix(word, "trusts:"):
			s.Issued.Trusts, s.Issued.Files = authorities(word[len("trusts:"):]), authorities(word[len("trusts:"):])
		case strings.HasPrefix(word, "files:"):
			s.Issued.Files = authorities(word[len("files:"):])
		case strings.HasPrefix(word, "of:"):
			s.Issued.By = authorities(word[len("of:"):])
		case slices.Contains(states, membership.State(word)):
			s.State = membership.State(word)
			s.Why = reasons[s.State]
			if s.State == membership.Missing {
				s.Traces = false
			}
			if s.State == membership.Missing || s.State == membership.Unreachable {
				s.Issued, s.Peering = membership.Issued{}, membership.Peering{}
			}
		case word == "settings" || word == "unit":
			s.Outdated = append(s.Outdated, word)
		case word == "serves-other":
			s.Serves = membership.Served{Peers: "it serves another certificate"}
		case word == "unasked":
			s.Outdated, s.Unasked = append(s.Outdated, "its unit"), true
		case word == "due":
			s.Due = "its peer certificate expires at 2027-03-01T00:00:00Z"
		case word == "invalid":
			s.Invalid = "its certificates have expired"
		case word == "oldlist":
			s.Invalid = membership.OldRevocations + "its list of revoked certificates (number 1, 0) is not the desired one (number 2, 1)"
		case word == "nolist":
			s.Invalid, s.NoClients = membership.OldRevocations+"its list of revoked certificates is missing, or cannot be read, so that it lets no client in", true
		case word == "rebuild":
			s.Rebuild = "again"
		case word == "active":
			s.Active = true
		case strings.HasPrefix(word, "data-"):
			s.Data = word[len("data-"):]
		case word == "diverged":
			s.State, s.Diverged, s.Why, s.Data = membership.Lost, true, "its data differs from that of a quorum", "Z"
		case word == "closed":
			s.Closed = "client_port is 443, which its host does not let it bind"
		case word == "differs":
			s.Differs = true
		case word == "cramped":
			s.Cramped = true
		case word == "full":
			p.Full = append(p.Full, s.ID)
		case word == "failed":
			s.Failed = "renew its certificates"
		case word == "barred":
			s.State, s.Why, s.Barred = membership.Unreachable, "its host answers, and refuses the login", "set ssh.user"
		case word == "storeless":
			s.Storeless = true
		case word == "disabled":
			s.Disabled = true
		case word == "looping":
			s.State, s.Looping, s.Why = membership.Unhealthy, true, "its process ends each time that it is started"
		case word == "alone":
			s.State, s.Alone, s.Why = membership.Blocked, true, "a recovery of it was cut short"
		case word == "unread":
			s.Unread = "its log cannot be read: a record does not have the checksum that it says"
		case word == "alarmed":
			s.Corrupt = true
		case word == "damaged":
			s.Damaged = "its database cannot be read: it is damaged"
		case word == "unsynced":
			s.Unsynced = true
		case word == "behind":
			s.Behind = true
		case word == "moved":
			s.Moved = true
		case word == "there":
			s.There = true
		case word == "gone":
			s.Gone = true
		case strings.HasPrefix(word, "unlisted:"):
			s.Unlisted = word[len("unlisted:"):]
		case strings.HasPrefix(word, "had:"):
			if _, err := fmt.Sscanf(word, "had:%d", &s.Had); err != nil {
				t.Fatalf("%s: what is %q?", text, word)
			}
		case word == "unheard":
			s.Unheard = true
		case strings.HasPrefix(word, "from:"):
			if s.From = "https://192.0.2." + word[len("from:"):] + ":2380"; strings.Contains(word, ".") {
				s.From = "https://" + word[len("from:"):] + ":2380"
			}
		case word == "unstarted":
			s.Started = false
		case word == "traces":
			s.Traces = true
		case word[0] >= '0' && word[0] <= '9':
			if _, err := fmt.Sscanf(word, "%d.%d", &s.Term, &s.Index); err != nil {
				t.Fatalf("%s: what is %q?", text, word)
			}
		default:
			t.Fatalf("%s: what is %q?", text, word)
		}
	}
	if s.Desired && s.Version != want.Version && s.State != membership.Missing && s.State != membership.Lost {
		s.Outdated = append(s.Outdated, fmt.Sprintf("etcd %s -> %s", s.Version, want.Version))
	}
	return s
}

// answer is the plan of a script, as its golden file has it.
func answer(t testing.TB, script string) string {
	t.Helper()
	p, want := parse(t, script)
	return text(plan.ChangeSigning(p, want, plan.Signing{Refuse: func([]membership.Step) error { return nil }}))
}

// text is a plan, or why there is none, as golden files have it.
func text(planned plan.Plan, err error) string {
	if err != nil {
		return "refused: " + err.Error()
	}
	var lines []string
	for _, step := range planned.Steps {
		lines = append(lines, step.String())
	}
	for _, deferred := range planned.Deferred {
		lines = append(lines, "deferred: "+deferred.Error())
	}
	if len(lines) == 0 {
		return "nothing to do"
	}
	return strings.Join(lines, "\n")
}
