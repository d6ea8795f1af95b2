package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/etcdclient"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/files"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/host/records"
)

// forced is the flag by which etcd starts a member of a larger cluster as the only member.
const forced = "--force-new-cluster=true"

// Recover makes the local member the whole of its cluster. It copies the member's data, and then starts the member once
// by force. An interrupted call is made again: it continues with the copy that is there, and forces nothing on a member
// that is already alone. If a running member turns out not to be recoverable, it is started again.
func (m *Machine) Recover(ctx context.Context, cluster string, r api.RecoverRequest) (_ api.Recovered, err error) {
	marker, err := m.mayRecover(cluster, r)
	if err != nil {
		return api.Recovered{}, err
	}
	view := m.local(*marker).Look(ctx)
	if view.Healthy && !isAlone(view) {
		return api.Recovered{}, refuse("cluster %s has its quorum: there is nothing to recover", r.ClusterID)
	}
	under, err := m.records().Recovery(cluster)
	if err != nil {
		return api.Recovered{}, err
	}
	if under == nil && isAlone(view) {
		return api.Recovered{Path: m.lastRecovered(marker)}, nil
	}
	// This comes before anything stops the member: reading a member may already need it.
	before, err := m.Units.State(ctx, api.Unit(cluster))
	if err != nil {
		return api.Recovered{}, err
	}
	forcing := false
	defer func() {
		// The log of a member that is to be forced may already count as agreed on: it must not meet the others again.
		if err != nil && !forcing {
			err = errors.Join(err, m.runAgain(context.WithoutCancel(ctx), cluster, before))
		}
	}()
	if under == nil || !m.goesOn(ctx, *marker, *under) {
		if under, err = m.beginRecovery(ctx, *marker, r, before); err != nil {
			return api.Recovered{}, err
		}
	}
	forcing = true
	done := api.Recovered{Path: under.Copy}
	waiting, stop := m.paces().WhileItGains(ctx, *marker, r.Timeout)
	defer stop()
	if err := m.standAlone(waiting, *marker, *under); err != nil {
		return done, fmt.Errorf("recover member %s of cluster %s: %w; its data as it was lies in %s; apply again to go on", marker.Member, cluster, err, under.Copy)
	}
	return done, m.records().EndRecovery(cluster)
}

// runAgain starts a member that ran before and no longer runs.
func (m *Machine) runAgain(ctx context.Context, cluster string, before api.UnitState) error {
	now, err := m.Units.State(ctx, api.Unit(cluster))
	if !running(before) || err == nil && running(now) && now.ActiveState != "deactivating" {
		return nil // one more start would have systemd forget how often it has started it in vain
	}
	return m.Units.Start(ctx, api.Unit(cluster))
}

// mustBeAlone refuses to start, among other members, a member whose whole log counts as agreed on although only it has
// agreed on it. The others may agree on something else, and a member that has applied another entry in its place is no
// longer like them. It may start by force, or if its data says that it is the only member of its cluster.
//
// An interrupted recovery leaves such a member behind: after a power cut, or if it ended before it had recorded that
// the member is alone, and systemd starts the member again.
func (m *Machine) mustBeAlone(marker api.Marker, flags []string) error {
	under, err := m.records().Recovery(marker.Cluster)
	if errors.Is(err, fs.ErrPermission) {
		return nil // of a store that has not written down any of this
	}
	if err != nil || under == nil || !under.Agreed || under.ClusterID != marker.ClusterID || slices.Contains(flags, forced) {
		return err
	}
	// If there is no data, nothing has to be kept from meeting others: the data was moved aside, and the record stayed
	// behind.
	if m.isAloneByData(marker) || !m.etcd(marker.DataDir).HasMember() {
		return nil
	}
	return fmt.Errorf("a recovery has taken all of its log for agreed on, and was cut short before it was alone: it must not meet the other voters. Apply again with recover_from to make it the cluster; if the others serve without it, build it anew with rebuild; its data as it was lies in %s", under.Copy)
}

// mayStart refuses a member that a restore has fenced, or that an interrupted recovery has left, before anything is
// stopped for the start.
func (m *Machine) mayStart(ctx context.Context, marker api.Marker) error {
	if err := m.mustNotBeFenced(marker.Cluster); err != nil {
		return err
	}
	if err := m.mustBeAlone(marker, nil); err != nil && !isAlone(m.local(marker).Look(ctx)) {
		return refuse("member %s of cluster %s: %s", marker.Member, marker.Cluster, err)
	}
	return nil
}

// goesOn tells whether a recorded recovery is the requested one: its copy is there, and the member has not run with
// others since the copy was made. Then the data is what was copied, or names nobody but the member itself. Any other
// record is a leftover, and vouches neither for a copy nor for a check. A member whose whole log counts as agreed on
// has met nobody since, which its guard ensures: its data is what its own forced start has made of it.
func (m *Machine) goesOn(ctx context.Context, marker api.Marker, under records.Recovery) bool {
	if under.ClusterID != marker.ClusterID || !m.etcd(under.Copy).HasMember() {
		return false
	}
	if under.Agreed {
		return true
	}
	if isAlone(m.local(marker).Look(ctx)) {
		return true
	}
	if l := m.etcd(marker.DataDir).ReadLog(); l.Error == "" && l.Index > 0 && l.Term == under.Term && l.Index == under.Index {
		return true
	}
	if m.stop(ctx, marker.Cluster) != nil {
		return false
	}
	return m.isAloneByData(marker)
}

// isAloneByData tells whether the data of a stopped member names nobody but the member itself.
func (m *Machine) isAloneByData(marker api.Marker) bool {
	members, err := m.etcd(marker.DataDir).Members()
	return err == nil && len(members) == 1 && members[0] == marker.MemberID
}

// endRecoveryIfAlone ends the record of a recovery whose member serves alone by now, whoever started it. With the
// record, the member could not start any more once others have joined it.
func (m *Machine) endRecoveryIfAlone(ctx context.Context, marker api.Marker) error {
	under, err := m.records().Recovery(marker.Cluster)
	if err != nil || under == nil || !under.Agreed || under.ClusterID != marker.ClusterID {
		return err
	}
	if !isAlone(m.local(marker).Look(ctx)) {
		return nil
	}
	return m.records().EndRecovery(marker.Cluster)
}

// mayRecover refuses a member that the request does not name, or that has not joined.
func (m *Machine) mayRecover(cluster string, r api.RecoverRequest) (*api.Marker, error) {
	if err := api.CheckTimeout(r.Timeout); err != nil {
		return nil, err
	}
	marker, err := m.records().Owned(cluster, r.Owner)
	if err != nil {
		return nil, err
	}
	if marker.ClusterID == "" || marker.ClusterID != r.ClusterID {
		return nil, refuse("cluster %q is to be recovered, and this host is a member of cluster %q", r.ClusterID, marker.ClusterID)
	}
	flags, err := m.flags(cluster)
	if err != nil {
		return nil, err
	}
	if marker.Phase != api.PhaseFormed {
		return nil, refuse("member %s of cluster %s has not joined it: recover one that has", marker.Member, cluster)
	}
	if check, err := m.guard(*marker, flags); err != nil {
		return nil, refuse("its guard lets the member not start (%s): %s", check, err)
	}
	return marker, nil
}

// beginRecovery checks the member's data, stops the member, checks and copies its data, and records that this copy is
// the good one.
func (m *Machine) beginRecovery(ctx context.Context, marker api.Marker, r api.RecoverRequest, before api.UnitState) (*records.Recovery, error) {
	if _, err := m.mayRecoverFrom(marker, r, before.MainPID != 0); err != nil {
		return nil, err
	}
	if err := m.stop(ctx, marker.Cluster); err != nil {
		return nil, err
	}
	// The member may have written since, and only it could read its database.
	l, err := m.mayRecoverFrom(marker, r, false)
	if err != nil {
		return nil, err
	}
	to, err := m.dataDir(marker.DataDir).CopyAside(recovered)
	if err != nil {
		return nil, err
	}
	under := records.Recovery{ClusterID: marker.ClusterID, Copy: to, Term: l.Term, Index: l.Index}
	return &under, m.records().PutRecovery(marker.Cluster, under)
}

// recovered is why a member's data is copied before the member is started by force.
const recovered = "recovered"

// mayRecoverFrom refuses a member whose log ends before the entry by which it was chosen, whose data etcd cannot start
// by force, or whose data there is no room to copy. Of a running member it sees everything but the database.
func (m *Machine) mayRecoverFrom(marker api.Marker, r api.RecoverRequest, runs bool) (*api.Log, error) {
	// etcd cannot start a member by force if its database is ahead of its log: it looks for entries that are not there,
	// and crashes (etcd issue 22686).
	l := m.etcd(marker.DataDir).Log(runs)
	if l.Error != "" || l.DatabaseError != "" || l.Applied > l.Index {
		return nil, refuse("member %s cannot be recovered from: its log ends with entry %d of term %d, and its database has applied entry %d; %s%s: recover another survivor, or restore a snapshot", marker.Member, l.Index, l.Term, l.Applied, l.Error, l.DatabaseError)
	}
	if cmp.Or(cmp.Compare(l.Term, r.Term), cmp.Compare(l.Index, r.Index)) < 0 {
		return nil, refuse("member %s is not recovered from: its log ends with entry %d of term %d, and it ended with entry %d of term %d when it was chosen: somebody has put older data there; plan again", marker.Member, l.Index, l.Term, r.Index, r.Term)
	}
	return l, m.dataDir(marker.DataDir).MustHoldCopy(recovered)
}

// lastRecovered returns the copy that the last recovery has made, or "" if there is none.
func (m *Machine) lastRecovered(marker *api.Marker) string {
	found, err := m.dataDir(marker.DataDir).Aside()
	if err != nil {
		return ""
	}
	for _, path := range slices.Backward(found) {
		if strings.Contains(filepath.Base(path), api.AsidePrefix+recovered+"-") && !slices.Contains(marker.Former, path) {
			return path
		}
	}
	return ""
}

// standAlone has the member serve alone, with flags that force nothing.
func (m *Machine) standAlone(ctx context.Context, marker api.Marker, under records.Recovery) error {
	if !isAlone(m.local(marker).Look(ctx)) {
		if err := m.force(ctx, marker, under); err != nil {
			return err
		}
		if err := m.untilAlone(ctx, marker); err != nil {
			return err
		}
	}
	if err := m.putForced(marker, false); err != nil {
		return err
	}
	state, err := m.Units.State(ctx, api.Unit(marker.Cluster))
	if err != nil {
		return err
	}
	if p := m.process(state.MainPID); p != nil && !slices.Contains(p.Flags, forced) {
		return nil
	}
	if err := m.stop(ctx, marker.Cluster); err != nil {
		return err
	}
	if err := m.Units.Start(ctx, api.Unit(marker.Cluster)); err != nil {
		return err
	}
	return m.untilAlone(ctx, marker)
}

// force starts the member once by force. Its flags force it only until it runs: a member that is forced a second time,
// e.g. after a power cut, drops the last entries of its log.
func (m *Machine) force(ctx context.Context, marker api.Marker, under records.Recovery) error {
	if err := m.stop(ctx, marker.Cluster); err != nil {
		return err
	}
	under.Agreed = true // from here on it starts alone, or not at all
	if err := m.records().PutRecovery(marker.Cluster, under); err != nil {
		return err
	}
	if err := m.agree().Log(marker.DataDir); err != nil {
		return err
	}
	if err := m.putForced(marker, true); err != nil {
		return err
	}
	err := m.Units.Start(ctx, api.Unit(marker.Cluster))
	if err == nil {
		var hopeless error
		err = etcdclient.Repeat(ctx, "that it was started by force", func() (bool, error) {
			state, err := m.Units.State(ctx, api.Unit(marker.Cluster))
			if hopeless = m.hopeless(ctx, marker.Cluster, state); hopeless != nil {
				return true, nil
			}
			p := m.process(state.MainPID)
			return p != nil && slices.Contains(p.Flags, forced), err
		})
		err = errors.Join(m.withJournal(ctx, marker.Cluster, err), hopeless)
	}
	return errors.Join(err, m.putForced(marker, false))
}

// hopeless returns why a started member will not come up, i.e. that it has ended repeatedly, or nil if it may come up.
func (m *Machine) hopeless(ctx context.Context, cluster string, state api.UnitState) error {
	if state.ActiveState != "failed" && state.Restarts < lostRestarts {
		return nil
	}
	return m.withJournal(ctx, cluster, fmt.Errorf("it ends each time that it is started (unit %s, result %s)", state.ActiveState, state.Result))
}

// putForced writes the flags, with or without the one that forces.
func (m *Machine) putForced(marker api.Marker, force bool) error {
	flags, err := m.flags(marker.Cluster)
	if err != nil {
		return err
	}
	flags = slices.DeleteFunc(flags, func(f string) bool { return f == forced })
	if force {
		flags = append(flags, forced)
	}
	etcd, err := m.systemUser()
	if err != nil {
		return err
	}
	_, err = m.files().Put(files.File{Path: api.FlagsFile(marker.Cluster), Text: []byte(strings.Join(flags, "\n") + "\n"), Owner: files.RootFor(etcd), Mode: files.ConfigFile})
	return err
}

// untilAlone waits until the member serves alone, or has ended repeatedly.
func (m *Machine) untilAlone(ctx context.Context, marker api.Marker) error {
	var hopeless error
	err := etcdclient.Repeat(ctx, "that it serves alone", func() (bool, error) {
		view := m.local(marker).Look(ctx)
		if isAlone(view) {
			return true, nil
		}
		state, err := m.Units.State(ctx, api.Unit(marker.Cluster))
		if hopeless = m.hopeless(ctx, marker.Cluster, state); hopeless != nil {
			return true, nil
		}
		return false, errors.Join(err, fmt.Errorf("its unit is %s, %d members are in its list, and it says: %s%s", state.ActiveState, len(view.Members), view.Error, view.HealthError))
	})
	return errors.Join(m.withJournal(ctx, marker.Cluster, err), hopeless)
}

// isAlone tells whether a member serves and is the only one of its cluster.
func isAlone(v api.Member) bool {
	return v.Responding && v.Healthy && len(v.Members) == 1 && v.Members[0].ID == v.MemberID
}
