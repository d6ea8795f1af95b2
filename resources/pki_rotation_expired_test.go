package resources_test

import (
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
)

// TestRotationOfExpiredAuthorities has both authorities of a cluster expire before they are rotated. The rotation
// begins as ever; nobody can be given certificates of the next ones while members may serve with those of the old
// ones, so the plan says to stop them. Once they are stopped, the same apply gives all of them new ones, and the
// rotation goes on: clients get theirs once the next ones sign.
func TestRotationOfExpiredAuthorities(t *testing.T) {
	r := rotated{newWorld(t), t.TempDir()}
	config := func(rotation string) string { return r.config("validity = \"720h\"\n" + rotation) }
	trust := config(`rotation = { peers = "2", clients = "2" }`)
	r.run(t,
		r.begun(t, config("")),
		tftest.TestStep{
			PreConfig: func() { r.Clock = r.Clock.Add(1000 * time.Hour) },
			Config:    trust, ExpectError: says("stop all members (systemctl stop etcd@prod on their hosts) and apply"),
		},
		tftest.TestStep{
			PreConfig: func() {
				for last := 11; last <= 13; last++ {
					r.host(last).StopUnit("prod")
				}
			},
			Config: trust, Check: r.allWell,
		},
		tftest.TestStep{Config: config(`rotation = { peers = "2", clients = "2", phase = "sign" }`), Check: r.follow(" 2", " 2", "")},
		tftest.TestStep{Config: config(`rotation = { peers = "2", clients = "2", phase = "retire" }`), Check: r.follow(" 2", " 2")},
	)
}
