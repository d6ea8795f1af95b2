package resources_test

import (
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestExtraFlags rolls flags that have no attribute, and shows their old and new values in the plan. It refuses flags
// that a configuration must not set, or that the version does not have, before any host is touched.
func TestExtraFlags(t *testing.T) {
	w := newWorld(t)
	with := func(flags string, more ...string) string {
		return three(unprotected + "extra_flags = { " + flags + " }\n" + strings.Join(more, "\n"))
	}
	refused := func(config string, texts ...string) tftest.TestStep {
		return tftest.TestStep{PreConfig: w.Forget, Config: config, ExpectError: saysInOrder(texts...)}
	}
	const older, gate = `version = "3.6"`, `feature-gates = "PriorityRequest=true"`
	w.run(t,
		refused(with(`data-dir = "/srv"`), "This flag cannot be set", "--data-dir is not to be set by extra_flags: set data_dir."),
		refused(with(gate, older), "etcd 3.6 has no feature gate PriorityRequest, which came with etcd 3.7"),
		w.begun(t, with(`max-wals = "7", warning-apply-duration = "200ms"`)),
		w.asPlanned(t, with(`max-wals = "8"`), []string{"roll b (192.0.2.12): flags --max-wals 7 -> 8, --warning-apply-duration 200ms -> (not set)"}),
		w.asPlanned(t, with(gate), []string{"--feature-gates CompactHashCheck=true,InitialCorruptCheck=true,SetMemberLocalAddr=true -> CompactHashCheck=true,InitialCorruptCheck=true,SetMemberLocalAddr=true,PriorityRequest=true"}),
		refused(with(gate, older), "etcd 3.6 has no feature gate PriorityRequest"),
		refused(with(`quota-backend-bytes = "1"`), "set settings.quota_backend_bytes"),
		refused(with(`maximum-wals = "1"`), "etcd has no flag --maximum-wals"),
		// A flag that is known only after apply is refused before the apply begins.
		tftest.TestStep{
			PreConfig: w.Forget, Check: w.untouched,
			Config: with(`max-wals = terraform_data.later.output`) + "\nresource \"terraform_data\" \"later\" { input = \"many\" }\n", ExpectError: says(`"many" is no number`),
		},
		w.asPlanned(t, three(unprotected), []string{"roll b (192.0.2.12): flags --feature-gates"}),
	)
}
