package host

import "context"

// uncompared is the flag by which a member starts without comparing its data with that of its peers. It comes behind
// all others, and takes nothing but this from the gates that those open.
const uncompared = "--feature-gates=InitialCorruptCheck=false"

// Comparison is what to add to a member's flags where there is nobody to compare its data with.
//
// Before it serves anybody, etcd asks each peer for its hash, one after another, and passes over those that do not
// answer: after 7 s each. It answers no such question itself meanwhile. So members that start together, after a power
// cut say, wait for one another, three of them for 14 s and five for 28 s, and have compared nothing in the end. While
// a restore is under way its run compares them all, until they are started again to open it: from then on nobody does
// but the members.
//
// A member that reaches no other host may be one whose network is not up yet: etcd is to wait for that.
func (m *Machine) Comparison(ctx context.Context, cluster string, flags []string) ([]string, error) {
	marker, err := m.records().Marker(cluster)
	if err != nil || marker == nil || !m.etcd(marker.DataDir).HasMember() {
		return nil, err // one without data compares nothing
	}
	under, err := m.records().Restoration(cluster)
	if err != nil {
		return nil, err
	}
	if (under == nil || !under.Compares(m.Now())) && !m.local(*marker).PeersAreDown(ctx, flags) {
		return nil, nil
	}
	return []string{uncompared}, nil
}
