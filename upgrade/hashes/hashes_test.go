package hashes_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/upgrade/hashes"
)

// fake is a cluster of members that answer in turn: each question is answered by the first answer of its member, and
// the last one stays.
type fake struct {
	t     *testing.T
	views map[string][]api.Member
	hash  map[string]func(revision int64, nth int) (api.Hash, error)
	slow  map[string]time.Duration // how long a member needs for an answer

	mu      sync.Mutex
	hashing int
	asked   []string // members that were asked for hashes, in order, with the revision
	times   map[string]int
}

func (f *fake) Probe(_ context.Context, m membership.Member, waited time.Duration) (api.Member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if waited < f.slow[m.Name] {
		return api.Member{Error: "context deadline exceeded"}, nil
	}
	views := f.views[m.Name]
	if len(views) > 1 {
		f.views[m.Name] = views[1:]
	}
	if views[0].Error == "old" {
		return api.Member{}, &api.Error{Code: api.CodeUnsupported}
	}
	return views[0], nil
}

func (f *fake) Hash(_ context.Context, m membership.Member, revision int64) (api.Hash, error) {
	f.mu.Lock()
	if f.hashing++; f.hashing > 1 {
		f.t.Errorf("two members are asked for their hash at the same time")
	}
	f.asked = append(f.asked, fmt.Sprintf("%s at %d", m.Name, revision))
	nth := f.times[m.Name]
	f.times[m.Name]++
	f.mu.Unlock()
	time.Sleep(time.Second) // it reads all of its data
	f.mu.Lock()
	f.hashing--
	f.mu.Unlock()
	return f.hash[m.Name](revision, nth)
}

// serves is a member that serves at a revision. The first one leads.
func serves(name string, revision int64) api.Member {
	return api.Member{Responding: true, Healthy: true, MemberID: name, Leader: "a", Revision: revision}
}

// holds answers with a hash, a compaction, and the revision that it is asked for, or its own.
func holds(hash uint32, compacted, own int64) func(int64, int) (api.Hash, error) {
	return func(revision int64, _ int) (api.Hash, error) {
		if revision == 0 {
			revision = own
		}
		if revision < compacted {
			return api.Hash{}, errors.New("mvcc: required revision has been compacted")
		}
		return api.Hash{Hash: hash, CompactRevision: compacted, HashRevision: revision, Revision: own}, nil
	}
}

func TestCompare(t *testing.T) {
	const same, other = 0xabc, 0xdef
	at := func(revision int64, names string) map[string][]api.Member {
		views := map[string][]api.Member{}
		for _, name := range strings.Fields(names) {
			views[name] = []api.Member{serves(name, revision)}
		}
		return views
	}
	with := func(views map[string][]api.Member, name string, answers ...api.Member) map[string][]api.Member {
		views[name] = answers
		return views
	}
	revisions := func(name string, all ...int64) (views []api.Member) {
		for _, revision := range all {
			views = append(views, serves(name, revision))
		}
		return views
	}
	type hash = map[string]func(int64, int) (api.Hash, error)
	for name, test := range map[string]struct {
		views map[string][]api.Member
		hash  hash
		alike bool
		asked string // first
		times int
		data  string // of c; empty: it could not be compared
		older string
		right int // how many are seen to hold the same, as a quorum
	}{
		"at rest":                 {at(9, "a b c"), hash{"a": holds(same, 3, 9), "b": holds(same, 3, 9), "c": holds(same, 3, 9)}, true, "b at 0, c at 0, a at 0", 3, "00000abc from 3 to 9", "", 3},
		"busy":                    {with(at(9, "a b"), "c", serves("c", 8), serves("c", 9)), hash{"a": holds(same, 3, 9), "b": holds(same, 3, 9), "c": holds(same, 3, 9)}, true, "b at 8, c at 8, a at 8", 3, "00000abc from 3 to 8", "", 3},
		"other data":              {at(9, "a b c"), hash{"a": holds(same, 3, 9), "b": holds(same, 3, 9), "c": holds(other, 3, 9)}, false, "b at 0, c at 0, a at 0", 9, "00000def from 3 to 9", "", 2},
		"it lacks the last write": {with(at(9, "a b"), "c", serves("c", 8)), hash{"a": holds(same, 3, 9), "b": holds(same, 3, 9), "c": holds(same, 3, 8)}, false, "b at 0, c at 0, a at 0", 9, "00000abc from 3 to 8, and lacks what others have", "", 2},
		"it lacks what the others have compacted": {with(at(9, "a b"), "c", serves("c", 5)), hash{"a": holds(same, 7, 9), "b": holds(same, 7, 9), "c": holds(same, 3, 5)}, false, "b at 0, c at 0, a at 0", 9,
			"00000abc from 3 to 5, and lacks what others have", "", 2},
		"one has what the others never got": {map[string][]api.Member{"a": revisions("a", 9, 11, 13), "b": revisions("b", 8, 8, 10, 10, 12, 12), "c": revisions("c", 8, 8, 10, 10, 12, 12)},
			hash{"a": holds(other, 3, 13), "b": holds(same, 3, 13), "c": holds(same, 3, 14)}, false, "b at 0, c at 0, b at 10, c at 10, a at 11, b at 0, c at 0, b at 12, c at 12, a at 13", 15, "00000abc from 3 to 12, and lacks what others have", "", 2},
		"cached at the head, and one has what the others never got": {map[string][]api.Member{"a": revisions("a", 9), "b": revisions("b", 8), "c": revisions("c", 8)}, hash{"a": holds(other, 8, 9), "b": func(revision int64, nth int) (api.Hash, error) {
			if revision == 8 {
				return holds(same, 3, 8)(revision, nth)
			}
			return holds(same, 8, 8)(revision, nth)
		}, "c": holds(same, 8, 8)}, false, "b at 0, c at 0, a at 0, b at 8, c at 8, b at 0", 13, "00000abc from 8 to 8, and lacks what others have", "", 2},
		"silent once two differ": {with(at(9, "a b"), "c", serves("c", 9), api.Member{Error: "refused"}), hash{"a": holds(same, 3, 9), "b": holds(other, 3, 9), "c": holds(same, 3, 9)}, false, "b at 0, c at 0, a at 0", 5, "", "", 0},
		"silent for a moment after long readings": {with(at(9, "a b"), "c", serves("c", 9), api.Member{Error: "refused"}, serves("c", 9)), hash{"a": holds(same, 3, 9), "b": holds(same, 3, 9), "c": func(revision int64, nth int) (api.Hash, error) {
			time.Sleep(time.Minute)
			return holds(other-uint32(min(nth, 1))*(other-same), 3, 9)(revision, nth)
		}}, true, "b at 0, c at 0, a at 0", 6, "00000abc from 3 to 9", "", 3},
		"compacted elsewhere": {at(9, "a b c"), hash{"a": holds(same, 7, 9), "b": holds(same, 7, 9), "c": holds(same, 3, 9)}, false, "b at 0, c at 0, b at 9", 21, "", "", 2},
		"done with it later": {at(9, "a b c"), hash{"a": holds(same, 7, 9), "b": holds(same, 7, 9), "c": func(revision int64, nth int) (api.Hash, error) {
			return holds(same, int64(3+4*min(nth, 1)), 9)(revision, nth)
		}}, true, "b at 0, c at 0, b at 9", 5, "00000abc from 7 to 9", "", 3},
		"it differs until it is": {at(9, "a b c"), hash{"a": holds(same, 7, 9), "b": holds(same, 7, 9), "c": func(revision int64, nth int) (api.Hash, error) {
			return holds(other-uint32(min(nth, 1))*(other-same), 7, 9)(revision, nth)
		}}, true, "b at 0, c at 0, a at 0", 6, "00000abc from 7 to 9", "", 3},
		"silent for a moment": {with(at(9, "a b"), "c", api.Member{Error: "refused"}, serves("c", 9)), hash{"a": holds(same, 3, 9), "b": holds(same, 3, 9), "c": holds(same, 3, 9)}, true, "b at 0, c at 0, a at 0", 3, "00000abc from 3 to 9", "", 3},
		"silent":              {with(at(9, "a b"), "c", api.Member{Error: "refused"}), hash{"a": holds(same, 3, 9), "b": holds(same, 3, 9)}, false, "b at 0, a at 0", 2, "", "", 2},
		"no answer":           {at(9, "a b c"), hash{"a": holds(same, 3, 9), "b": holds(same, 3, 9), "c": func(int64, int) (api.Hash, error) { return api.Hash{}, errors.New("no route") }}, false, "b at 0, c at 0, b at 9", 21, "", "", 2},
		"an older store":      {with(at(9, "a b"), "c", api.Member{Error: "old"}), hash{"a": holds(same, 3, 9), "b": holds(same, 3, 9)}, true, "b at 0, a at 0", 2, "", "c", 2},
		"cached at the head": {at(9, "a b c"), hash{"a": func(revision int64, nth int) (api.Hash, error) {
			if revision == 9 {
				return holds(same, 3, 9)(revision, nth)
			}
			return holds(same, 9, 9)(revision, nth)
		}, "b": holds(same, 9, 9), "c": holds(same, 9, 9)}, true, "b at 0, c at 0, a at 0", 3, "00000abc from 9 to 9", "", 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var members []membership.Member
				for _, name := range []string{"a", "b", "c"} {
					members = append(members, membership.Member{Name: name})
				}
				f := &fake{t: t, views: test.views, hash: test.hash, times: map[string]int{}}
				c := hashes.Compare(t.Context(), f, hashes.Question{Members: members, Tries: 10, Patience: 20 * time.Second, Confirm: 2})
				if c.Alike(members) != test.alike {
					t.Errorf("alike: %t: %s", !test.alike, c)
				}
				if asked := strings.Join(f.asked, ", "); !strings.HasPrefix(asked, test.asked) || len(f.asked) != test.times {
					t.Errorf("%d times %s", len(f.asked), asked)
				}
				if data := c.Data[members[2]]; data != test.data || data == "" && test.older == "" && c.Apart[members[2]] == "" {
					t.Errorf("c holds %q: %s", data, c)
				}
				if slices.Contains(c.Older, members[2]) != (test.older != "") {
					t.Errorf("older: %v", c.Older)
				}
				if test.right == 0 && len(c.Data) > 0 {
					t.Errorf("of members that differ, and were not seen to often enough, it is told what they hold: %s", c)
				}
				if right := c.Same(members, 3); len(right) != test.right {
					t.Errorf("the same is held by %v", right)
				}
			})
		})
	}
}

// TestQuorumIsSeenThroughDoubt has one of five hold other data, and another one tell nothing: the three that hold the
// same are seen to, however seldom the other was seen to differ.
func TestQuorumIsSeenThroughDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{t: t, views: map[string][]api.Member{}, hash: map[string]func(int64, int) (api.Hash, error){}, times: map[string]int{}}
		var members []membership.Member
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			members = append(members, membership.Member{Name: name})
			f.views[name], f.hash[name] = []api.Member{serves(name, 9)}, holds(1, 3, 9)
		}
		f.hash["a"] = holds(2, 3, 9)
		f.hash["e"] = func(int64, int) (api.Hash, error) { return api.Hash{}, errors.New("no route") }
		c := hashes.Compare(t.Context(), f, hashes.Question{Members: members, Tries: 10, Patience: 20 * time.Second, Confirm: 2})
		if right := c.Same(members, 5); len(right) != 3 || c.Data[members[0]] != "" || !strings.Contains(c.Apart[members[0]], "not seen often enough") || c.Apart[members[4]] != "no route" {
			t.Errorf("the same is held by %v: %s", right, c)
		}
	})
}

// TestHolders finds who holds what a member does that does not start: where that is at the revision that was compacted
// last, too, for which a member that was not restarted since answers with the compaction before.
func TestHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cached := func(revision int64, nth int) (api.Hash, error) {
			if revision == 9 {
				return holds(1, 3, 9)(revision, nth)
			}
			return holds(1, 9, 9)(revision, nth)
		}
		f := &fake{t: t, times: map[string]int{}, views: map[string][]api.Member{"a": {serves("a", 9)}, "b": {serves("b", 9)}, "c": {serves("c", 12)}, "d": {serves("d", 9)}},
			hash: map[string]func(int64, int) (api.Hash, error){"a": cached, "b": holds(1, 9, 9), "c": holds(1, 9, 12), "d": holds(2, 9, 9)}}
		var members []membership.Member
		for _, name := range []string{"a", "b", "c", "d"} {
			members = append(members, membership.Member{Name: name})
		}
		found := hashes.Holders(t.Context(), f, members, api.Hash{Hash: 1, HashRevision: 9, CompactRevision: 9, Revision: 9})
		var names []string
		for _, m := range found {
			names = append(names, m.Name)
		}
		if got, want := strings.Join(names, " "), "b c a"; got != want {
			t.Errorf("holders are %s, want %s", got, want)
		}
	})
}

// TestAMemberThatIsSlowIsCompared has a member need longer for an answer than the first question gives it.
func TestAMemberThatIsSlowIsCompared(t *testing.T) {
	for needs, compared := range map[time.Duration]bool{0: true, 5 * time.Second: true, time.Minute: false} {
		synctest.Test(t, func(t *testing.T) {
			hash := holds(0xabc, 1, 9)
			f := &fake{t: t, times: map[string]int{}, slow: map[string]time.Duration{"b": needs},
				views: map[string][]api.Member{"a": {serves("a", 9)}, "b": {serves("b", 9)}}, hash: map[string]func(int64, int) (api.Hash, error){"a": hash, "b": hash}}
			members := []membership.Member{{Name: "a"}, {Name: "b"}}
			c := hashes.Compare(t.Context(), f, hashes.Question{Members: members, Tries: 3, Patience: 30 * time.Second})
			if alike := c.Alike(members) && len(c.Data) == 2; alike != compared {
				t.Errorf("it needs %s, and they are alike: %t: %s", needs, alike, c)
			}
		})
	}
}

// TestNobodyIsAskedInVain has a member not serve: where only a comparison of all is of use, nobody reads its data.
func TestNobodyIsAskedInVain(t *testing.T) {
	for _, all := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			hash := holds(0xabc, 1, 9)
			down := serves("c", 9)
			down.Healthy = false
			f := &fake{t: t, times: map[string]int{}, views: map[string][]api.Member{"a": {serves("a", 9)}, "b": {serves("b", 9)}, "c": {down}},
				hash: map[string]func(int64, int) (api.Hash, error){"a": hash, "b": hash, "c": hash}}
			members := []membership.Member{{Name: "a"}, {Name: "b"}, {Name: "c"}}
			c := hashes.Compare(t.Context(), f, hashes.Question{Members: members, Tries: 3, Patience: 30 * time.Second, All: all})
			if (len(f.asked) == 0) != all || !strings.Contains(c.Apart[members[2]], "it serves no linearizable read") {
				t.Errorf("all: %t: %v were asked: %s", all, f.asked, c)
			}
		})
	}
}
