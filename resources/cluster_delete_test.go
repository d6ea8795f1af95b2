package resources_test

import (
	"fmt"
	"strings"
	"testing"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/node/api"
	"github.com/etcd-on-hosts/terraform-provider-etcd/node/nodetest"
)

func TestDeletionProtection(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three("")},
		tftest.TestStep{PreConfig: w.Forget, Config: three(""), Destroy: true, ExpectError: says("deletion_protection is on. To destroy the cluster, set it to false, apply, and destroy then: that takes the members off their hosts, and moves their data aside")},
		tftest.TestStep{Config: three(unprotected), Check: w.untouched})
}

func TestReplacementIsRefused(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: w.Forget,
			Config:    three(unprotected), Taint: []string{cluster},
			ExpectError: says("Its destruction is one half of a replacement"),
		},
		tftest.TestStep{
			PreConfig: func() {
				if calls := w.changes(); len(calls) > 0 {
					t.Errorf("hosts were changed: %v", calls)
				}
			},
			Config: three(unprotected), Destroy: true, // The refusal must not stick: a destroy is one.
		})
}

// TestDestroyThatFailedIsNoLicence holds that the record of a planned destroy does not outlive that destroy.
func TestDestroyThatFailedIsNoLicence(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() { w.Host("192.0.2.13").LoseStores() },
			Config:    three(unprotected), Destroy: true, ExpectError: says("no store that could remove it"),
		},
		tftest.TestStep{
			PreConfig: func() {
				if err := w.Host("192.0.2.13").Install(t.Context(), "prod", w.Stores["amd64"], api.Target{}); err != nil {
					t.Fatal(err)
				}
			},
			Config: three(unprotected), Taint: []string{cluster}, ExpectError: says("one half of a replacement"),
		},
		tftest.TestStep{Config: three(unprotected), Destroy: true})
}

// TestDestroyLeavesTheLost has one host gone for good: the plan of the destroy refuses and gives the remedy. Once the
// configuration abandons the member by name, the other hosts are left clean. A host that answers cannot be abandoned.
func TestDestroyLeavesTheLost(t *testing.T) {
	w := newWorld(t)
	abandons := func(names string) string { return three(unprotected + " abandon_on_destroy = [" + names + "]") }
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{Config: abandons(`"d"`), ExpectError: says(`"d" is the name of no member`)},
		tftest.TestStep{Config: abandons(`"b"`), Check: func(*terraform.State) error {
			if text := w.warned(); !strings.Contains(text, "Member b is not lost") {
				return fmt.Errorf("it was warned: %s", text)
			}
			return nil
		}},
		tftest.TestStep{Config: abandons(`"b"`), Destroy: true, ExpectError: says("it is in abandon_on_destroy, but its host answers")},
		tftest.TestStep{
			PreConfig: func() {
				w.Host("192.0.2.13").PowerCut()
				w.Forget()
			},
			Config: three(unprotected), Destroy: true, ExpectError: says(`set abandon_on_destroy = ["c"], apply, and destroy`),
		},
		tftest.TestStep{
			PreConfig: func() {
				if changes := w.changes(); len(changes) > 0 {
					t.Errorf("hosts were changed by a destroy that was refused: %v", changes)
				}
			},
			Config: abandons(`"c"`), ExpectNonEmptyPlan: true, // c is unreachable
		},
		tftest.TestStep{Config: abandons(`"c"`), Destroy: true})
	for last, left := range map[int]bool{11: false, 12: false, 13: true} {
		if found := w.host(last).Leftovers("prod", dir); len(found) > 0 != left {
			t.Errorf("%d carries %v", last, found)
		}
	}
}

// TestDestroyWithoutADisk has the disk with a member's data be away: the plan of the destroy refuses, and the destroy
// leaves that host behind once the configuration abandons it by name.
func TestDestroyWithoutADisk(t *testing.T) {
	w := newWorld(t)
	abandons := three(unprotected + ` abandon_on_destroy = ["c"]`)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() {
				w.host(13).Unmount("prod")
				w.Forget()
			},
			Config: three(unprotected), Destroy: true, ExpectError: says(`add "c" to abandon_on_destroy, apply, and destroy`),
		},
		tftest.TestStep{
			PreConfig: func() {
				if changes := w.changes(); len(changes) > 0 {
					t.Errorf("hosts were changed by a destroy that was refused: %v", changes)
				}
			},
			Config: abandons, ExpectNonEmptyPlan: true, // c is unhealthy
			Check: func(*terraform.State) error {
				if text := w.warned(); strings.Contains(text, "Member c is not lost") {
					return fmt.Errorf("it was warned: %s", text)
				}
				return nil
			},
		},
		tftest.TestStep{Config: abandons, Destroy: true})
	for last, left := range map[int]bool{11: false, 12: false, 13: true} {
		if found := w.host(last).Leftovers("prod", dir); len(found) > 0 != left {
			t.Errorf("%d carries %v", last, found)
		}
	}
}

// TestDestroyOfAMemberWithTwoHosts has a member whose move was cut short and whose old host is then gone for good:
// abandoning its name means that host alone, as plans say, and the cluster is removed from the other.
func TestDestroyOfAMemberWithTwoHosts(t *testing.T) {
	w := newWorld(t)
	abandons := three(unprotected + ` abandon_on_destroy = ["b"]`)
	w.run(t, w.begun(t, three(unprotected)),
		tftest.TestStep{
			PreConfig: func() {
				w.Inject(nodetest.Fault{Operation: api.OpRemoveMember, Err: &api.Error{Code: api.CodeFailed, Message: "it is too late"}})
			},
			Config: of("a b@21 c", unprotected), ExpectError: says("it is too late"),
		},
		tftest.TestStep{
			PreConfig: func() {
				w.Heal()
				w.host(12).PowerCut()
			},
			Config: three(unprotected), Destroy: true, ExpectError: says("could not be asked: b (192.0.2.12)."),
		},
		tftest.TestStep{Config: abandons, ExpectNonEmptyPlan: true, Check: func(*terraform.State) error {
			if text := w.warned(); !strings.Contains(text, "A destroy leaves b (192.0.2.12) behind, which could not be asked at the last refresh, and takes the cluster off b (192.0.2.21)") || strings.Contains(text, "is not lost") {
				return fmt.Errorf("it was warned: %s", text)
			}
			return nil
		}},
		tftest.TestStep{Config: abandons, Destroy: true})
	if text := w.warned(); !strings.Contains(text, "This destroy does not touch the hosts of b (192.0.2.12), which") {
		t.Errorf("it was warned: %s", text)
	}
	for last, left := range map[int]bool{11: false, 12: true, 13: false, 21: false} {
		if found := w.host(last).Leftovers("prod", dir); len(found) > 0 != left {
			t.Errorf("%d carries %v", last, found)
		}
	}
}

// TestOwnerIsNotAdopted holds that hosts which another state has taken over are neither believed nor changed.
func TestOwnerIsNotAdopted(t *testing.T) {
	w := newWorld(t)
	w.run(t, tftest.TestStep{Config: three(unprotected)},
		tftest.TestStep{
			PreConfig: func() {
				for _, address := range []string{"192.0.2.11", "192.0.2.12", "192.0.2.13"} {
					w.Host(address).EditMarker("prod", func(m *api.Marker) { m.Owner = "another" })
				}
				w.Forget()
			},
			Config: three(unprotected), ExpectError: says("find out what manages those hosts now"),
		})
	if calls := w.changes(); len(calls) > 0 {
		t.Errorf("another state's hosts were changed: %v", calls)
	}
}

// TestReplacementBeforehandIsRefused has create_before_destroy: Terraform would create the new cluster on the hosts of
// the old one, and then destroy the old cluster.
func TestReplacementBeforehandIsRefused(t *testing.T) {
	w := newWorld(t)
	config := three(unprotected + "lifecycle { create_before_destroy = true }")
	w.run(t, tftest.TestStep{Config: config},
		tftest.TestStep{
			PreConfig: w.Forget, Config: config, Taint: []string{cluster},
			ExpectError: saysApply("it runs member a of a finished cluster prod already", "c (192.0.2.13)", "import {", "to = etcd_pki.prod", `id = "prod@./authorities"`, "to = etcd_cluster.prod", `id = "prod@192.0.2.11,192.0.2.12,192.0.2.13"`, "terraform state rm etcd_pki.prod", "In a module the address is module.NAME.etcd_cluster.NAME", "state-lost.md"),
		},
		// Terraform keeps the old cluster as a deposed object, which the next apply would destroy beside a new create.
		tftest.TestStep{PreConfig: func() {
			if changes := w.changes(); len(changes) > 0 {
				t.Errorf("hosts were changed: %v", changes)
			}
		}, Config: config, ExpectError: says("Cluster prod would be destroyed and created in one apply")})
}
