package resources_test

import (
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestFormerNames holds that a former name of a nested attribute, which Terraform would ignore, is refused with the new
// name, whatever its value, also beside the new name.
func TestFormerNames(t *testing.T) {
	const s3 = `endpoint = "https://s3.example.com", bucket = "b"`
	var steps []tftest.TestStep
	for _, former := range []struct{ config, says string }{
		{`restore = { file = "/none", take_back = true }`, "restore.take_back is called restore.roll_back now: rename it"},
		{`restore = { file = "/none", take_back = false }`, "restore.take_back is called restore.roll_back now"},
		{`restore = { file = "/none", trigger = "again" }`, `restore.trigger is called restore.triggers now: write triggers = { trigger = "..." }`},
		{`restore = { file = "/none", trigger = terraform_data.later.id }`, "restore.trigger is called restore.triggers now"},
		{`restore = { file = "/none", trigger = "again", triggers = { trigger = "again" } }`, "restore.trigger is called restore.triggers now"},
		{`backup = { s3 = { ` + s3 + `, key = "etcd/prod" } }`, "backup.s3.key is called backup.s3.prefix now: rename it"},
		{`backup = { s3 = { ` + s3 + `, key = terraform_data.later.id } }`, "backup.s3.key is called backup.s3.prefix now"},
		{`backup = { s3 = { ` + s3 + `, key = "etcd", prefix = "etcd" } }`, "backup.s3.key is called backup.s3.prefix now"},
		{`backup = { s3 = { ` + s3 + ` } }`, "backup.s3.prefix is required"},
	} {
		steps = append(steps, tftest.TestStep{Config: three(unprotected+former.config+"\n") + "\nresource \"terraform_data\" \"later\" {}\n", ExpectError: says(former.says)})
	}
	newWorld(t).run(t, append(steps, tftest.TestStep{Config: three(unprotected+"backup = { s3 = { "+s3+", prefix = terraform_data.later.id } }\n") + "\nresource \"terraform_data\" \"later\" {}\n", PlanOnly: true, ExpectNonEmptyPlan: true})...)
}
