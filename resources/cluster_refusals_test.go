package resources_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// forbidden is a plan that is refused: the condition of the hosts, what is desired, and the text of the refusal.
type forbidden struct {
	hosts  func(*world)
	config string
	says   []string
	at     string // the attribute that the refusal points at; empty: any
}

// refusal is the error of a plan: its summary, and the attribute that it points at.
type refusal struct{ summary, at string }

// keepRefusals keeps the errors of a plan.
func (w *world) keepRefusals(diags []*tfprotov6.Diagnostic) {
	w.progress.Lock()
	defer w.progress.Unlock()
	for _, d := range diags {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			w.progress.refusals = append(w.progress.refusals, refusal{d.Summary, attributeOf(d.Attribute)})
		}
	}
}

// attributeOf returns an attribute's path as people write it; empty: there is none.
func attributeOf(path *tftypes.AttributePath) string {
	var names []string
	for _, step := range path.Steps() {
		switch s := step.(type) {
		case tftypes.AttributeName:
			names = append(names, string(s))
		case tftypes.ElementKeyString:
			names = append(names, string(s))
		}
	}
	return strings.Join(names, ".")
}

// textsOf returns the diagnostics of one severity as texts.
func textsOf(diags []*tfprotov6.Diagnostic, severity tfprotov6.DiagnosticSeverity) (texts []string) {
	for _, d := range diags {
		if d.Severity == severity {
			texts = append(texts, d.Summary+": "+d.Detail)
		}
	}
	return texts
}

// unreachableHosts makes hosts unreachable.
func unreachableHosts(last ...int) func(*world) {
	return func(w *world) {
		for _, l := range last {
			w.host(l).Unreachable = errGone
		}
	}
}

// answers changes what hosts report of their members.
func answers(edit func(*api.Observation)) func(*world) {
	return func(w *world) { w.observed = edit }
}

// unknown makes addresses of a configuration known only after apply.
func unknown(config string, last ...int) string {
	for _, l := range last {
		config = strings.Replace(config, fmt.Sprintf(`"192.0.2.%d"`, l), fmt.Sprintf("terraform_data.host%d.output", l), 1) +
			fmt.Sprintf("\nresource \"terraform_data\" \"host%d\" { input = \"192.0.2.%d\" }\n", l, l)
	}
	return config
}

// saysInOrder matches the refusal of a plan that contains these texts in this order. A refused apply would be too late.
func saysInOrder(texts ...string) *regexp.Regexp {
	patterns := make([]string, len(texts))
	for i, text := range texts {
		patterns[i] = says(text).String()
	}
	return regexp.MustCompile("(?s)^Error running (pre-apply plan|validate): .*" + strings.Join(patterns, ".*"))
}

// ofMembers changes what a host reports if its member is one of these. The others have no connections with them.
func ofMembers(edit func(*api.Observation), names ...string) func(*world) {
	return answers(func(o *api.Observation) {
		if o.Marker != nil && slices.Contains(names, o.Marker.Member) {
			edit(o)
			return
		}
		o.Member.Connected = slices.DeleteFunc(slices.Clone(o.Member.Connected), func(id string) bool {
			return slices.ContainsFunc(o.Member.Members, func(l api.ListedMember) bool { return l.ID == id && slices.Contains(names, l.Name) })
		})
	})
}

func otherOwner(names ...string) func(*world) {
	return ofMembers(func(o *api.Observation) { o.Marker.Owner = "another" }, names...)
}

func unmounted(names ...string) func(*world) {
	return ofMembers(func(o *api.Observation) {
		o.Member, o.Unit.ActiveState = api.Member{}, "failed"
		o.GuardCheck, o.Guard = api.GuardMount, "data directory "+dir+" was on a file system that is not mounted"
	}, names...)
}

func dataLost(names ...string) func(*world) {
	return answers(func(o *api.Observation) {
		if slices.Contains(names, o.Marker.Member) {
			o.Member, o.Unit.ActiveState, o.Data = api.Member{}, "failed", api.Data{Path: dir}
		} else { // the others have no quorum then
			o.Member.Healthy, o.Member.Leader, o.Member.Connected = false, "", nil
		}
	})
}

// joined adds a member beside Terraform.
func joined(learner bool) func(*world) {
	return answers(func(o *api.Observation) {
		o.Member.Members = append(o.Member.Members, api.ListedMember{ID: "66", Name: "x", PeerURLs: []string{"https://192.0.2.66:2380"}, Learner: learner})
	})
}

const (
	line     = unprotected + "version = \"3.7\"\n"
	settled  = line + "settings = { snapshot_count = 5000 }\n"
	otherPKI = "\nresource \"etcd_pki\" \"other\" { name = \"other\" }\n"
	twoPorts = line + "client_port = 2381\n"
)

func TestForbiddenPlans(t *testing.T) {
	for name, group := range map[string]struct {
		carried []string
		from    string
		plans   map[string]forbidden
	}{
		"members of three": {from: of("a b c", line), plans: map[string]forbidden{
			"four":                                 {config: of("a b c d", line), says: []string{"4 members: 4 tolerate the loss of 1, as 3 do", "add or remove members until the number is one of these"}},
			"two":                                  {config: of("a b", line), says: []string{"2 tolerate the loss of 0, as 1 do"}},
			"eight":                                {config: of("a b c d e f g h", line), says: []string{"a cluster has 1, 3, 5 or 7"}},
			"none":                                 {config: of("", line), says: []string{"0 members: a cluster has 1, 3, 5 or 7"}},
			"two of three move":                    {config: of("a b@22 c@23", line), says: []string{"b moves from 192.0.2.12 to 192.0.2.22; c moves from 192.0.2.13 to 192.0.2.23", "Of 3 members, 1 stay where they are and are healthy, and 2 have to", "Move at most 1 at a time"}},
			"all move":                             {config: of("a@21 b@22 c@23", line), says: []string{"Of 3 members, 0 stay where they are and are healthy"}},
			"two of three may move":                {config: unknown(of("a b c", line), 12, 13), says: []string{"the address of b is not known before apply, so that its host (192.0.2.12) may be about to be replaced", "Move at most 1"}},
			"one moves, another may":               {config: unknown(of("a@21 b c", line), 12), says: []string{"a moves from 192.0.2.11 to 192.0.2.21; the address of b is not known before apply"}},
			"two of three by other names":          {config: of("a d e", line), says: []string{"b (192.0.2.12) leaves; c (192.0.2.13) leaves", "Of 3 members, 1 stay"}},
			"one moves while another is down":      {hosts: unreachableHosts(13), config: of("a b@22 c", line), says: []string{"b moves from 192.0.2.12 to 192.0.2.22", "Of 3 members, 1 stay where they are and are healthy"}},
			"one moves while another does not run": {hosts: ofMembers(func(o *api.Observation) { o.Member, o.Unit.ActiveState = api.Member{}, "inactive" }, "c"), config: of("a b@22 c", line), says: []string{"Of 3 members, 1 stay where they are and are healthy"}},
			"one may move while another is down":   {hosts: unreachableHosts(13), config: unknown(of("a b c", line), 12), says: []string{"Of 3 members, 1 stay"}},
			"one address twice":                    {config: of("a b c@12", line), says: []string{"c (192.0.2.12): member b has the same address", "give every member a host of its own"}},
			"renamed on its host":                  {config: of("a b d@13", line), says: []string{"d (192.0.2.13): this is the host of member c", "leave the name c with this one", "once c has left it"}},
			"growth while one is down":             {hosts: unreachableHosts(13), config: of("a b c d e", line), says: []string{"it cannot be added: 2 of 3 voters are healthy, and all have to be", "bring back what is down: c (192.0.2.13)"}, at: "members.d"},
			"shrunk to the one that is down":       {hosts: unreachableHosts(13), config: of("c", line), says: []string{"it cannot be removed: 2 of 3 voters are healthy"}, at: "members.b"},
			"nobody knows which there are":         {config: strings.Replace(of("a b c", line), "members = {", "members = terraform_data.members.output != \"\" ? {} : {", 1) + "\nresource \"terraform_data\" \"members\" { input = timestamp() }\n", says: []string{"Which members there are is not known before apply"}},
			"an address that is none":              {config: strings.Replace(of("a b c", line), "192.0.2.12", "192.0.2.12:22", 1), says: []string{`"192.0.2.12:22": this is neither`}},
			"a member called like no member is":    {config: strings.Replace(of("a b c", line), "b = {", `"b_" = {`, 1), says: []string{"no hyphen at either end"}},
			"the quorum gone, and one moves":       {hosts: unreachableHosts(12, 13), config: of("a b@22 c", line), says: []string{"Of 3 members, 1 stay where they are and are healthy"}},
			"two hosts that are another's by now":  {hosts: otherOwner("b", "c"), config: of("a b c", line), says: []string{"find out what manages those hosts now"}},
		}},
		"settings and versions of three": {carried: []string{"3.9.0", newest, older, "3.5.35"}, from: three(line) + otherPKI, plans: map[string]forbidden{
			"a minor skipped":                                    {config: three(unprotected + `version = "3.9"`), says: []string{"The cluster cannot change to this version yet", `version = "3.9"`, "it runs etcd 3.7.3, and version asks for etcd 3.9.0: etcd changes by one minor version at a time", "set version to the minor version in between"}, at: "version"},
			"down by two":                                        {config: three(unprotected + `version = "3.5"`), says: []string{"it runs etcd 3.7.3, and version asks for etcd 3.5.35: etcd changes by one minor version at a time"}},
			"a minor version that is not carried":                {config: three(unprotected + `version = "3.8"`), says: []string{"this build carries no store of etcd 3.8"}},
			"a patch that is not carried":                        {config: three(unprotected + `version = "3.7.9"`), says: []string{"this build carries no store of etcd 3.7.9"}},
			"no version":                                         {config: three(unprotected + `version = "latest"`), says: []string{`"latest"`}},
			"settings while one is down":                         {hosts: unreachableHosts(13), config: three(settled), says: []string{"it cannot be restarted (flags --snapshot-count (not set) -> 5000): 2 of 3 voters are healthy, and all have to be", "bring back what is down: c (192.0.2.13)"}, at: "settings"},
			"settings while a disk is not there":                 {hosts: unmounted("c"), config: three(settled), says: []string{"it cannot be restarted (flags --snapshot-count (not set) -> 5000): 2 of 3 voters are healthy"}, at: "settings"},
			"a downgrade while one is down":                      {hosts: unreachableHosts(13), config: three(unprotected + `version = "3.6"`), says: []string{"etcd cannot be downgraded to 3.6: 2 of 3 voters are healthy, and all have to be"}, at: "version"},
			"another port while one is down":                     {hosts: unreachableHosts(13), config: three(line + "client_port = 12379"), says: []string{"it cannot be restarted"}, at: "client_port"},
			"settings while a stranger votes":                    {hosts: joined(false), config: three(settled), says: []string{"The member list has an unmanaged member", "member x (ID 66, peer URL https://192.0.2.66:2380), and neither this configuration nor its state knows it", "etcdctl member remove 66"}},
			"settings while a stranger learns":                   {hosts: joined(true), config: three(settled), says: []string{"member x (ID 66, peer URL https://192.0.2.66:2380)"}},
			"settings with the quorum lost":                      {hosts: dataLost("b", "c"), config: three(settled), says: []string{"The quorum is lost", "the quorum is lost: 1 of 3 voters serve or can be started, and 2 are needed", "restore a snapshot"}},
			"settings with no quorum to be seen":                 {hosts: unreachableHosts(12, 13), config: three(settled), says: []string{"no quorum can be seen: 1 of 3 voters serve or can be started, and 2 are needed", "fix those hosts, or the network to them"}},
			"settings while one host is another's":               {hosts: otherOwner("c"), config: three(settled), says: []string{"its host carries member c of a cluster prod that another state manages", "give the member another address"}},
			"another name":                                       {config: strings.Replace(three(line), `name    = "prod"`, `name = "other"`, 1), says: []string{"name cannot be changed", `Put back "prod"`}, at: "name"},
			"a flag while one is down":                           {hosts: unreachableHosts(13), config: three(line + `extra_flags = { "max-wals" = "7" }`), says: []string{"A member cannot be restarted now", "2 of 3 voters are healthy"}, at: "extra_flags"},
			"another peer port while one is down":                {hosts: unreachableHosts(13), config: three(line + "peer_port = 9999"), says: []string{"it cannot be given another address than https://192.0.2.12:2380, which takes a restart: 2 of 3 voters are healthy, and all have to be"}, at: "peer_port"},
			"another directory":                                  {config: three(line + `data_dir = "/data"`), says: []string{`Put back "/var/lib/etcd/prod"`, "mount that at this directory of a spare host"}},
			"two ports that are one":                             {config: three(twoPorts), says: []string{"client_port and metrics_port are both 2381"}},
			"settings that do not fit together":                  {config: three(line + `settings = { heartbeat_interval = "300ms" }`), says: []string{"etcd wants 5 heartbeats at least, which is 1.5s"}},
			"an upgrade with a move while one is down":           {hosts: unreachableHosts(13), config: of("a b@22 c", unprotected+`version = "3.6"`), says: []string{"Move at most 1 at a time, with all others healthy"}},
			"settings with a move of another's by now":           {hosts: otherOwner("c"), config: of("a b@22 c", settled), says: []string{"Of 3 members, 1 stay"}},
			"all hosts are another's":                            {hosts: otherOwner("a", "b", "c"), config: three(settled), says: []string{"find out what manages those hosts now"}},
			"an unmanaged member, and the hosts not looked into": {hosts: joined(false), config: of("a b", line), says: []string{"2 members"}},
		}},
		"five": {from: of("a b c d e", line), plans: map[string]forbidden{
			"three of five move":                  {config: of("a b c@21 d@22 e@23", line), says: []string{"Of 5 members, 2 stay where they are and are healthy, and 3 have to: the quorum of 5", "Move at most 2"}},
			"three of five may move":              {config: unknown(of("a b c d e", line), 11, 12, 13), says: []string{"Of 5 members, 2 stay"}},
			"two move while another is down":      {hosts: unreachableHosts(15), config: of("a b c@21 d@22 e", line), says: []string{"Of 5 members, 2 stay"}},
			"two change places":                   {config: of("a@12 b@11 c d e", line), says: []string{"a (192.0.2.12): this is the host of member b", "Give each of these machines an address that none of them has had", "b (192.0.2.11): this is the host of member a"}},
			"shrunk while one that stays is down": {hosts: unreachableHosts(11), config: of("a b c", line), says: []string{"it cannot be removed: 4 of 5 voters are healthy"}},
			"one moves while another is down":     {hosts: unreachableHosts(15), config: of("a b c@21 d e", line), says: []string{"c (192.0.2.21): it cannot be added: 4 of 5 voters are healthy", "bring back what is down: e (192.0.2.15)"}},
		}},
		"one": {from: of("a", line), plans: map[string]forbidden{
			"it moves":               {config: of("a@21", line), says: []string{"a moves from 192.0.2.11 to 192.0.2.21", "the only copy of the data", "Grow it to three members first"}},
			"it may move":            {config: unknown(of("a", line), 11), says: []string{"the address of a is not known before apply", "Grow it to three members first"}},
			"another comes":          {config: of("b", line), says: []string{"a (192.0.2.11) leaves", "Grow it to three members first"}},
			"it is down":             {hosts: unreachableHosts(11), config: of("a", settled), says: []string{"0 of 1 voters serve or can be started, and 1 are needed"}},
			"grown while it is down": {hosts: unreachableHosts(11), config: of("a b c", line), says: []string{"0 of 1 voters serve or can be started"}},
		}},
		"below the floor": {carried: []string{newest, "3.6.5"}, from: three(unprotected + `version = "3.6"`), plans: map[string]forbidden{
			"a patch that cannot go on": {config: three(line), says: []string{"it runs etcd 3.6.5, and an upgrade to etcd 3.7 needs 3.6.11 or newer", `set version to "3.6", and apply that first`}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if group.carried != nil {
				w.carry(group.carried...)
			}
			was := ""
			mend := func() {
				w.progress.Lock()
				for _, is := range w.progress.refusals {
					if is.summary == "This plan is refused" || is.at == "" {
						t.Errorf("%s: the refusal %q points at %q", was, is.summary, is.at)
					}
				}
				at := group.plans[was].at
				if at != "" && !slices.ContainsFunc(w.progress.refusals, func(is refusal) bool { return is.at == at }) {
					t.Errorf("%s: none of the refusals %q points at %s", was, w.progress.refusals, at)
				}
				w.progress.refusals = nil
				w.progress.Unlock()
				if changes := w.changes(); len(changes) > 0 {
					t.Errorf("%s: hosts were changed: %v", was, changes)
				}
				w.observed = nil
				for last := 11; last <= 15; last++ {
					w.host(last).Unreachable = nil
				}
			}
			steps := []tftest.TestStep{w.begun(t, group.from)}
			for name, plan := range group.plans {
				steps = append(steps, tftest.TestStep{
					PreConfig: func() {
						mend()
						was = name
						if plan.hosts != nil {
							plan.hosts(w)
						}
					},
					Config: plan.config, ExpectError: saysInOrder(plan.says...),
				})
			}
			steps = append(steps, tftest.TestStep{PreConfig: mend, Config: group.from, Check: w.untouched})
			w.run(t, steps...)
		})
	}
}
