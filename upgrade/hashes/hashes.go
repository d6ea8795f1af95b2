// Package hashes compares the data of members by etcd's hashes of it. It is the one place that asks for them: a member
// answers nobody else while it reads all of its data, so one member after another is asked, and the leader last.
package hashes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// Asker asks members.
type Asker interface {
	// Probe returns a member's status, as it is after a linearizable read if that succeeds. The member may take as long
	// as it was waited for already.
	Probe(ctx context.Context, m membership.Member, waited time.Duration) (api.Member, error)

	// Hash returns the hash of what a member holds up to a revision; 0: of all that it holds.
	Hash(ctx context.Context, m membership.Member, revision int64) (api.Hash, error)
}

// Question says whom to compare.
type Question struct {
	Members []membership.Member
	Tries   int // how often hashes are asked for, at most, until all members have the same compaction
	// Patience is how long members that do not serve are asked again, from the last hash that was asked for on. No hash
	// is asked for meanwhile.
	Patience time.Duration
	// Confirm is how often a difference has to be seen again: a member may not be done with a compaction. Where it is
	// not, the members that differ count as not compared.
	Confirm int
	// All means that nobody is asked for a hash, which keeps members from their clients, unless all can be compared.
	All   bool
	Waits func(membership.Member) bool // tells for whom the comparison waits; nil: for all
	// Alarmed tells whether a member has applied the alarm CORRUPT; nil: the alarm is not raised.
	Alarmed func(api.Member) bool
}

// between is how long Compare waits before it asks again. Members compact at different times, so two of them may not
// be comparable for a moment while they do.
const between = 500 * time.Millisecond

// Comparison is what members hold.
type Comparison struct {
	Views map[membership.Member]api.Member // the status of those that told it
	Data  map[membership.Member]string     // what they hold: the same text means the same data
	Apart map[membership.Member]string     // why a member could not be compared with the others
	Older []membership.Member              // members whose stores do not know the call, and which were left out

	at map[membership.Member]int64 // the revision at which each can be compared at this moment; 0: all that it holds
	// short are members that have applied all that the others had, and are at a lower revision: they lack a write, and
	// the hashes up to there may be the same.
	short map[membership.Member]bool
}

// Compare compares members. It asks again as long as one for which it waits cannot be compared, as often as q says.
func Compare(ctx context.Context, ask Asker, q Question) Comparison {
	began, differed := time.Now(), 0
	for tries := 0; ; {
		last := tries+1 >= q.Tries
		c, ready := q.observe(ctx, ask, tries, time.Since(began))
		over := last || time.Since(began) >= q.Patience
		if over && !ready && q.All {
			return c
		}
		if ready || over {
			tries++
			last = last || !ready
			q.ask(ctx, ask, &c, last)
			alike, complete := c.Alike(q.Members), !slices.ContainsFunc(q.Members, func(m membership.Member) bool { return q.lacks(c, m) })
			if complete && !alike {
				differed++
			}
			if complete && (alike || differed > q.Confirm) {
				return c
			}
			if last {
				if q.Confirm > 0 {
					c.doubt(q.Members)
				}
				return c
			}
			began = time.Now()
		}
		select {
		case <-ctx.Done():
			return c
		case <-time.After(between):
		}
	}
}

// doubt takes a difference that was not seen often enough for none: of the members that told their hashes, those count
// as compared that hold the same and are more than half of all. To be alike once is enough.
func (c *Comparison) doubt(members []membership.Member) {
	told := slices.DeleteFunc(slices.Clone(members), func(m membership.Member) bool { return c.Data[m] == "" })
	if c.Alike(told) {
		return
	}
	most := c.Same(told, len(members))
	for _, m := range told {
		if slices.Contains(most, m) {
			continue
		}
		c.Apart[m] = fmt.Sprintf("it had %s, which was not seen often enough to be sure", c.Data[m])
		delete(c.Data, m)
	}
}

// lacks tells whether the comparison waits for a member that could not be compared.
func (q Question) lacks(c Comparison, m membership.Member) bool {
	return c.Apart[m] != "" && q.waits(m)
}

func (q Question) waits(m membership.Member) bool { return q.Waits == nil || q.Waits(m) }

// observe finds out at which revision members can be compared, and whether all for which the comparison waits can be.
func (q Question) observe(ctx context.Context, ask Asker, try int, waited time.Duration) (c Comparison, ready bool) {
	c = Comparison{Views: map[membership.Member]api.Member{}, Data: map[membership.Member]string{}, Apart: map[membership.Member]string{},
		at: map[membership.Member]int64{}, short: map[membership.Member]bool{}}
	c.probe(ctx, ask, q.Members, waited)
	q.chooseRevisions(ctx, ask, &c, try, waited)
	return c, !slices.ContainsFunc(q.Members, func(m membership.Member) bool { return q.lacks(c, m) })
}

// ask asks one member after another for its hash. Unless this is the last time, it ends at the first that is not
// comparable, though the comparison waits for it.
func (q Question) ask(ctx context.Context, ask Asker, c *Comparison, last bool) {
	answers := map[membership.Member]api.Hash{}
	for _, m := range leaderLast(q.Members, c.Views) {
		revision, compared := c.at[m]
		if !compared {
			continue
		}
		h, err := ask.Hash(ctx, m, revision)
		switch {
		case unknown(err):
			c.Older = append(c.Older, m)
			delete(c.Apart, m)
		case err != nil:
			c.Apart[m] = err.Error()
		default:
			answers[m] = h
			delete(c.Apart, m)
		}
		if q.Alarmed == nil {
			c.setApart(answers, false)
			c.setApart(answers, true)
		}
		if !last && slices.ContainsFunc(q.Members, func(m membership.Member) bool { return q.lacks(*c, m) }) {
			return
		}
	}
	for m, h := range answers {
		if c.Apart[m] == "" {
			c.Data[m] = fmt.Sprintf("%08x from %d to %d", h.Hash, h.CompactRevision, h.HashRevision)
			if c.short[m] {
				c.Data[m] += ", and lacks what others have"
			}
		}
	}
}

// probe asks members for their status, all at once.
func (c *Comparison) probe(ctx context.Context, ask Asker, members []membership.Member, waited time.Duration) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, m := range members {
		group.Go(func() {
			view, err := ask.Probe(ctx, m, waited)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case unknown(err):
				c.Older = append(c.Older, m)
			case err != nil:
				c.Apart[m] = err.Error()
			case view.Revision == 0 || view.Error != "":
				c.Apart[m] = "it does not answer: " + view.Error
			default:
				c.Views[m] = view
				if !view.Healthy && !view.Learner {
					c.Apart[m] = "it serves no linearizable read: " + view.HealthError
				}
			}
		})
	}
	group.Wait()
}

// chooseRevisions chooses the revision at which to compare each member: the lowest of those that serve or learn, or all
// that they hold where they stand at the same.
//
// A member that has compacted up to its latest revision answers for that revision with the compaction before, and does
// so no more once it was restarted. So members that stand at one revision, as in a cluster at rest, are asked for all
// that they hold, unless writes came between the questions of the last try.
//
// A member that has applied the alarm CORRUPT refuses every write and compaction that still arrives in the log, so its
// revision stays what it was at that entry. All members that show the alarm stand at that entry, however many clients
// write, and are compared by all that they hold: a different revision means different data. One that does not show the
// alarm lags behind.
func (q Question) chooseRevisions(ctx context.Context, ask Asker, c *Comparison, try int, waited time.Duration) {
	if q.Alarmed != nil {
		for m, view := range c.Views {
			if q.Alarmed(view) {
				c.at[m] = 0
				delete(c.Apart, m)
			} else {
				c.Apart[m] = "it does not show the alarm yet"
			}
		}
		return
	}
	latest := int64(0)
	for m, view := range c.Views {
		if c.Apart[m] == "" {
			latest = max(latest, view.Revision)
		}
	}
	if latest == 0 { // nobody serves
		return
	}
	var lower []membership.Member
	for m, view := range c.Views {
		if view.Healthy && view.Revision < latest {
			lower = append(lower, m)
		}
	}
	again := Comparison{Views: map[membership.Member]api.Member{}, Apart: map[membership.Member]string{}}
	again.probe(ctx, ask, lower, waited)
	lowest, lowestShort, latestShort := int64(0), latest, int64(0)
	for _, m := range lower {
		switch view, told := again.Views[m]; {
		case !told || !view.Healthy:
			c.Apart[m] = again.Apart[m]
		case view.Revision < latest: // its read came after the others had told theirs
			c.short[m], lowestShort, latestShort = true, min(lowestShort, view.Revision), max(latestShort, view.Revision)
		}
	}
	for m, view := range c.Views {
		if c.Apart[m] == "" && !c.short[m] && (lowest == 0 || view.Revision < lowest) {
			lowest = view.Revision
		}
	}
	if try%2 == 0 && lowest == latest {
		lowest = 0
	}
	if try%2 == 0 && lowestShort == latestShort {
		lowestShort = 0
	}
	for m := range c.Views {
		switch {
		case c.Apart[m] != "" && q.waits(m):
		case c.short[m]:
			c.at[m] = lowestShort
		default:
			c.at[m] = lowest
		}
	}
}

// setApart sets those apart that answered for another revision, or have compacted another one, than most did: of those
// that lack a write, or of the others.
func (c *Comparison) setApart(answers map[membership.Member]api.Hash, short bool) {
	type span struct{ from, to int64 }
	count, common := map[span]int{}, span{}
	for m, h := range answers {
		if c.short[m] == short {
			count[span{h.CompactRevision, h.HashRevision}]++
		}
	}
	for s, n := range count {
		if n > count[common] || n == count[common] && (s.from > common.from || s.from == common.from && s.to > common.to) {
			common = s
		}
	}
	for m, h := range answers {
		if c.short[m] != short {
			continue
		}
		if delete(c.Apart, m); common != (span{h.CompactRevision, h.HashRevision}) {
			c.Apart[m] = fmt.Sprintf("it told its hash from %d to %d, and others from %d to %d", h.CompactRevision, h.HashRevision, common.from, common.to)
		}
	}
}

// leaderLast returns members in the order in which they are asked.
func leaderLast(members []membership.Member, views map[membership.Member]api.Member) []membership.Member {
	var followers, leader []membership.Member
	for _, m := range members {
		if view := views[m]; view.Leader != "" && view.Leader == view.MemberID {
			leader = append(leader, m)
		} else {
			followers = append(followers, m)
		}
	}
	return append(followers, leader...)
}

// unknown tells whether a store has answered that it does not know the call.
func unknown(err error) bool {
	var answer *api.Error
	return errors.As(err, &answer) && answer.Code == api.CodeUnsupported
}

// Alike tells whether these members were compared, and hold the same. Members whose stores do not know the call are
// left out.
func (c Comparison) Alike(members []membership.Member) bool {
	held := map[string]bool{}
	for _, m := range members {
		if !slices.Contains(c.Older, m) {
			held[c.Data[m]] = true
		}
	}
	return len(held) <= 1 && !held[""]
}

// Same returns the voters that hold the same, if they are a quorum of so many voters.
func (c Comparison) Same(voters []membership.Member, size int) []membership.Member {
	holders := map[string][]membership.Member{}
	for _, m := range voters {
		if data := c.Data[m]; data != "" {
			holders[data] = append(holders[data], m)
		}
	}
	for _, members := range holders {
		if len(members) >= membership.Quorum(size) {
			return members
		}
	}
	return nil
}

// String says what each member holds, or why that is not known.
func (c Comparison) String() string {
	var texts []string
	for m, data := range c.Data {
		texts = append(texts, fmt.Sprintf("%s has %s", m, data))
	}
	for m, why := range c.Apart {
		texts = append(texts, fmt.Sprintf("%s (%s)", m, why))
	}
	for _, m := range c.Older {
		texts = append(texts, fmt.Sprintf("%s (its store, of an earlier release, cannot tell)", m))
	}
	slices.Sort(texts)
	return strings.Join(texts, "; ")
}

// Holders returns the members that hold what own is the hash of. One that stands at that very revision is asked for all
// that it holds first, as Compare asks members at rest.
func Holders(ctx context.Context, ask Asker, members []membership.Member, own api.Hash) (holders []membership.Member) {
	c := Comparison{Views: map[membership.Member]api.Member{}, Apart: map[membership.Member]string{}}
	c.probe(ctx, ask, members, 0)
	for _, m := range leaderLast(members, c.Views) {
		revisions := []int64{own.HashRevision}
		if c.Views[m].Revision == own.HashRevision {
			revisions = []int64{0, own.HashRevision}
		}
		if slices.ContainsFunc(revisions, func(revision int64) bool {
			h, err := ask.Hash(ctx, m, revision)
			return err == nil && h.Hash == own.Hash && h.HashRevision == own.HashRevision && h.CompactRevision == own.CompactRevision
		}) {
			holders = append(holders, m)
		}
	}
	return holders
}
