package plan

import (
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/bootstrap/membership"
)

// TestPurpose holds what automation goes by: only a plan that asks for nothing new, and has steps, is a repair.
func TestPurpose(t *testing.T) {
	steps := func(kinds ...membership.Kind) (steps []membership.Step) {
		for _, kind := range kinds {
			steps = append(steps, membership.Step{Kind: kind, Member: "a", At: "192.0.2.11"})
		}
		return steps
	}
	replaced := steps(membership.Snapshot, membership.Remove, membership.AddLearner, membership.Join, membership.Promote)
	for name, test := range map[string]struct {
		asked Asked
		steps []membership.Step
		want  Purpose
	}{
		"nothing":                        {Asked{}, nil, PurposeNone},
		"drift":                          {Asked{}, steps(membership.Roll), PurposeRepair},
		"a repair that has to wait":      {Asked{Waits: true}, nil, PurposeRepair},
		"a setting, while one waits":     {Asked{Change: true, Waits: true}, nil, PurposeChange},
		"a dead member":                  {Asked{}, replaced, PurposeRepair},
		"a downgrade is given up":        {Asked{}, steps(membership.Cancel, membership.Roll), PurposeRepair},
		"backups are set up again":       {Asked{}, steps(membership.BackUp), PurposeRepair},
		"what concerns no host":          {Asked{Change: true}, nil, PurposeChange},
		"a setting":                      {Asked{Change: true}, steps(membership.Roll), PurposeChange},
		"a repair and a setting":         {Asked{Change: true}, append(replaced, steps(membership.Roll)...), PurposeChange},
		"hosts that are a version ahead": {Asked{}, steps(membership.Snapshot, membership.Downgrade), PurposeChange},
		"another chain":                  {Asked{Chains: true}, steps(membership.RenewCertificates), PurposeChange},
		"another chain, which is there":  {Asked{Chains: true}, nil, PurposeNone},
		"a recovery":                     {Asked{Change: true}, append(steps(membership.Recover), replaced...), PurposeRecovery},
		"a restore":                      {Asked{Change: true, Restore: true}, steps(membership.Install, membership.Fetch, membership.Fence), PurposeRestore},
		"the rest of a restore":          {Asked{Change: true, Restore: true}, steps(membership.SyncConfiguration, membership.Retire), PurposeRestore},
		"a restore undone":               {Asked{}, append(steps(membership.RollBack), replaced...), PurposeRestore},
		"a new cluster":                  {Asked{Create: true, Change: true}, steps(membership.Install, membership.Start), PurposeCreate},
		"a new cluster of a snapshot":    {Asked{Create: true, Restore: true}, steps(membership.Install, membership.Fetch), PurposeRestore},
	} {
		if got := test.asked.For(test.steps); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
