package host

import (
	"slices"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
)

// stages are the stages of a restore, in their order.
var stages = []api.Stage{api.StageFenced, api.StageRestored, api.StageChecked, api.StageOpened}

// Advance records that the host has reached a later stage of a restore, or that the restore is complete.
func (m *Machine) Advance(cluster string, r api.AdvanceRequest) error {
	marker, err := m.records().Owned(cluster, r.Owner)
	if err != nil {
		return err
	}
	under, err := m.records().Restoration(cluster)
	if err != nil {
		return err
	}
	switch {
	case under == nil && r.Stage == "":
		return nil
	case under == nil:
		return refuse("no restore is under way on this host that could come to stage %q", r.Stage)
	case r.Stage == "" && under.Stage != api.StageOpened:
		return refuse("%s, and cannot be over before it is %s", under, api.StageOpened)
	case r.Stage == "":
		return m.endRestoration(cluster, marker.DataDir)
	case r.Stage != api.StageChecked && r.Stage != api.StageOpened:
		return refuse("a restore does not come to stage %q by being told", r.Stage)
	}
	now, next := slices.Index(stages, under.Stage), slices.Index(stages, r.Stage)
	if next != now && next != now+1 {
		return refuse("%s, and cannot come to stage %s from there", under, r.Stage)
	}
	if r.Stage == api.StageOpened && under.Stage != r.Stage {
		under.Opened = m.Now()
	}
	under.Stage = r.Stage
	return m.records().PutRestoration(cluster, under)
}
