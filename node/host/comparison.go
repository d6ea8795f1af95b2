package host

import "context"

// uncompared is the flag that makes a member start without comparing its data with that of its peers. It comes after
// all other flags, and switches off only this one of the feature gates that they set.
const uncompared = "--feature-gates=InitialCorruptCheck=false"

// Comparison returns the flag to add for a member that has nobody to compare its data with.
//
// Before etcd serves anybody, it asks each peer for its hash, one after another, and skips peers that do not answer
// within 7 s. Meanwhile it answers no such request itself. So members that start together, e.g. after a power cut, wait
// for each other: three members for 14 s and five for 28 s, without having compared anything in the end. While a
// restore is under way, its run compares all members, until they are started again to open the cluster. From then on
// only the members do.
//
// A member that reaches no other host may be one whose network is not up yet: etcd has to wait for that.
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
