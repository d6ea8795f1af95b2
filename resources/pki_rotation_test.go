package resources_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
)

// rotating is a configuration of authorities with a rotation.
func rotating(rotation string) string {
	return fmt.Sprintf("resource \"etcd_pki\" \"prod\" {\n name = \"prod\"\n rotation = { %s }\n}\n", rotation)
}

// authorities checks which authorities of a kind etcd_pki has, the signing one first, and that all attributes agree.
func authorities(kind string, numbers ...string) tftest.TestCheckFunc {
	return func(s *terraform.State) error {
		attributes := s.RootModule().Resources[ownPKI].Primary.Attributes
		bundle, err := cert.Parse([]byte(attributes[kind+"_ca_certificate"]))
		if err != nil {
			return err
		}
		var names, keyIDs []string
		for i, authority := range bundle {
			info := cert.InfoOf(authority)
			names, keyIDs = append(names, strings.TrimPrefix(info.CommonName, "etcd prod "+kind+"s")), append(keyIDs, info.SubjectKeyID)
			if got := attributes[fmt.Sprintf("%s_ca_fingerprints.%d", kind, i)]; got != info.SHA256 {
				return fmt.Errorf("fingerprint %d is %s, want %s", i, got, info.SHA256)
			}
			if got := attributes[fmt.Sprintf("%s_ca_expires_at.%d", kind, i)]; got != info.NotAfter.UTC().Format("2006-01-02T15:04:05Z07:00") {
				return fmt.Errorf("expiry %d is %s, want %s", i, got, info.NotAfter)
			}
			pair := "authority." + kind
			if i > 0 {
				pair = "authority.trusted." + kind
			}
			if held, err := cert.ParseOne([]byte(attributes[pair+".certificate"])); err != nil || !held.Equal(authority) || attributes[pair+".private_key"] == "" {
				return fmt.Errorf("%s is not %s with its key", pair, info.CommonName)
			}
		}
		if !slices.Equal(names, numbers) {
			return fmt.Errorf("the authorities of %ss are %q, want %q", kind, names, numbers)
		}
		if slices.Sort(keyIDs); len(slices.Compact(keyIDs)) != len(names) || keyIDs[0] == "" {
			return fmt.Errorf("the key IDs are %q", keyIDs)
		}
		if counts := [2]string{attributes[kind+"_ca_fingerprints.#"], attributes[kind+"_ca_expires_at.#"]}; counts != [2]string{fmt.Sprint(len(names)), fmt.Sprint(len(names))} {
			return fmt.Errorf("there are %v fingerprints and expiries", counts)
		}
		if _, key := attributes["authority.trusted."+kind+".private_key"]; key != (len(names) > 1) {
			return fmt.Errorf("a key that is trusted: %t", key)
		}
		return nil
	}
}

// TestRotation takes authorities through every phase and back, apart and together, and holds what a plan knows of each.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	to := func(rotation string, peers, clients []string) tftest.TestStep {
		return tftest.TestStep{Config: rotating(rotation), Check: tftest.ComposeAggregateTestCheckFunc(authorities("peer", peers...), authorities("client", clients...)),
			ConfigPlanChecks: tftest.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}}
	}
	refused := func(rotation, why string) tftest.TestStep {
		return tftest.TestStep{Config: rotating(rotation), ExpectError: says(why)}
	}
	is := func(names ...string) []string { return names }
	w.run(t,
		to(`peers = "1", clients = "1"`, is(""), is("")), // the authorities were made for this rotation
		refused(`peers = "2", clients = "1", phase = "sign"`, `Set phase = "trust", and apply`),
		to(`peers = "2", clients = "1"`, is("", " 2"), is("")),
		refused(`peers = "3", clients = "1"`, `would be the second at once`),
		refused(`peers = "2", clients = "2"`, `in the middle of it`),
		refused(`peers = "2", clients = "1", phase = "retire"`, `Set phase = "sign", and apply`),
		to(`peers = "1", clients = "1"`, is(""), is("")), // cancelled
		to(`peers = "2", clients = "1"`, is("", " 2"), is("")),
		to(`peers = "2", clients = "1", phase = "sign"`, is(" 2", ""), is("")),
		refused(`peers = "1", clients = "1"`, `cannot be cancelled any more`),
		to(`peers = "2", clients = "1", phase = "trust"`, is("", " 2"), is("")),
		refused(`peers = "1", clients = "1"`, `cannot be cancelled any more`),
		to(`peers = "2", clients = "1", phase = "sign"`, is(" 2", ""), is("")),
		to(`peers = "2", clients = "1", phase = "retire"`, is(" 2"), is("")),
		// A complete rotation may be removed from the configuration, and added again.
		to(`clients = "1"`, is(" 2"), is("")),
		to(`peers = "2", clients = "1"`, is(" 2"), is("")),
		to(`peers = "3", clients = "now"`, is(" 2", " 3"), is("", " 2")),
		to(`peers = "3", clients = "now", phase = "sign"`, is(" 3", " 2"), is(" 2", "")),
		to(`peers = "3", clients = "now", phase = "retire"`, is(" 3"), is(" 2")),
	)
}

// TestRotationToAnotherAlgorithm holds that another algorithm needs a rotation of both authorities, and another
// validity a rotation of any. A cancelled rotation leaves the values of the authorities that stay.
func TestRotationToAnotherAlgorithm(t *testing.T) {
	w := newWorld(t)
	config := func(rotation, more string) string {
		return strings.Replace(rotating(rotation), "name = \"prod\"", "name = \"prod\"\n"+more, 1)
	}
	made := func(algorithm, validity string) tftest.TestCheckFunc {
		return tftest.ComposeAggregateTestCheckFunc(tftest.TestCheckResourceAttr(ownPKI, "algorithm", algorithm), tftest.TestCheckResourceAttr(ownPKI, "validity", validity))
	}
	const other = "algorithm = \"ecdsa-p384\"\n validity = \"48h\""
	w.run(t,
		tftest.TestStep{Config: config("", "")},
		tftest.TestStep{Config: config("", other), ExpectError: says("another one can come with a rotation of both authorities, in the apply that begins it")},
		tftest.TestStep{Config: config(`peers = "2"`, other), ExpectError: says("another one can come with a rotation of both authorities")},
		tftest.TestStep{Config: config(`peers = "2", clients = "2"`, other), Check: made("ecdsa-p384", "48h")},
		tftest.TestStep{Config: config("", other), ExpectError: says(`The authorities that are there have "ecdsa-p256"`)},
		tftest.TestStep{Config: config(`peers = "2"`, ""), ExpectError: says("The rotation cannot be cancelled by halves")},
		tftest.TestStep{Config: config("", ""), Check: made("ecdsa-p256", "87600h")}, // cancelled
		tftest.TestStep{Config: config(`peers = "2", clients = "2"`, other)},
		tftest.TestStep{Config: config(`peers = "2", clients = "2", phase = "sign"`, other)},
		tftest.TestStep{Config: config(`peers = "2", clients = "2", phase = "retire"`, other), Check: tftest.ComposeAggregateTestCheckFunc(made("ecdsa-p384", "48h"), func(s *terraform.State) error {
			for _, kind := range []string{"peer", "client"} {
				info, err := cert.Inspect([]byte(s.RootModule().Resources[ownPKI].Primary.Attributes[kind+"_ca_certificate"]))
				if err != nil || info.NotAfter.Sub(info.NotBefore) != 48*time.Hour+cert.Backdate {
					return fmt.Errorf("the authority of the %ss is valid from %s until %s (%v)", kind, info.NotBefore, info.NotAfter, err)
				}
			}
			return nil
		})},
		tftest.TestStep{Config: config(`peers = "2", clients = "3"`, "validity = \"72h\""), Check: made("ecdsa-p384", "72h")},
		// Cancelled.
		tftest.TestStep{Config: config(`peers = "2", clients = "2"`, ""), Check: made("ecdsa-p384", "48h")},
		// The algorithm is known after apply.
		tftest.TestStep{Config: config(`peers = "4", clients = "4"`, "algorithm = terraform_data.algorithm.output") +
			"resource \"terraform_data\" \"algorithm\" {\n input = \"ecdsa-p256\"\n}\n", Check: made("ecdsa-p256", "48h")},
	)
}

// TestValidityOfRotations holds that a cancelled rotation removes no validity that a remaining authority has, and that
// a validity which is unknown when a rotation begins is left to the apply.
func TestValidityOfRotations(t *testing.T) {
	w := newWorld(t)
	config := func(rotation, validity string) string {
		return strings.Replace(rotating(rotation), "name = \"prod\"", "name = \"prod\"\n"+validity, 1)
	}
	valid := func(validity string) tftest.TestCheckFunc {
		return tftest.TestCheckResourceAttr(ownPKI, "validity", validity)
	}
	const short, long = `validity = "48h"`, `validity = "100000h"`
	later := func(what string) string {
		return "validity = terraform_data.validity.output\n}\nresource \"terraform_data\" \"validity\" {\n input = \"" + what + "\"\n triggers_replace = \"" + what + "\"\n"
	}
	unknown := func(rotation, what string) string {
		return fmt.Sprintf("resource \"etcd_pki\" \"prod\" {\n name = \"prod\"\n rotation = { %s }\n %s}\n", rotation, later(what))
	}
	w.run(t,
		tftest.TestStep{Config: config("", "")},
		tftest.TestStep{Config: config(`peers = "2", clients = "2"`, short), Check: valid("48h")},
		// One of the two rotations is cancelled.
		tftest.TestStep{Config: config(`clients = "2"`, short), Check: valid("48h")},
		tftest.TestStep{Config: config("", short), ExpectError: says(`The authorities that are there have "87600h"`)},
		tftest.TestStep{Config: config("", ""), Check: valid("87600h")},
		tftest.TestStep{Config: config(`peers = "2"`, long), Check: valid("100000h")},
		tftest.TestStep{Config: config(`peers = "2", phase = "sign"`, long)},
		tftest.TestStep{Config: config(`peers = "2", phase = "retire"`, long)},
		tftest.TestStep{Config: config(`peers = "2", clients = "2"`, long)},
		// Cancelled: the authority for peers has this validity.
		tftest.TestStep{Config: config(`peers = "2"`, long), Check: valid("100000h")},
		tftest.TestStep{Config: config(`peers = "2", clients = "2"`, long)},
		tftest.TestStep{Config: config(`peers = "2"`, ""), Check: valid("100000h")},
		tftest.TestStep{Config: unknown(`peers = "3"`, "72h"), Check: valid("72h")},
		tftest.TestStep{Config: unknown(`peers = "3"`, "96h"), ExpectError: says("another one can come with a rotation, in the apply that begins it")},
		// Cancelled by a value that is not known yet.
		tftest.TestStep{Config: unknown(`peers = "2"`, "100000h"), Check: valid("100000h")},
	)
}

// TestRotationIsPlanned holds that a plan knows everything except the authority that is yet to be made. If the rotation
// itself is unknown, the apply may begin it.
func TestRotationIsPlanned(t *testing.T) {
	w := newWorld(t)
	known := func(config string, unknown ...string) tftest.TestStep {
		return tftest.TestStep{Config: config, ConfigPlanChecks: tftest.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{unknownOf{ownPKI, unknown}}}}
	}
	label := func(label string) string {
		return fmt.Sprintf("resource \"terraform_data\" \"label\" {\n input = %q\n triggers_replace = %[1]q\n}", label)
	}
	w.run(t,
		tftest.TestStep{Config: rotating("")},
		known(rotating(`peers = "2"`), "authority.trusted.peer.certificate", "authority.trusted.peer.private_key", "peer_ca_certificate", "peer_ca_expires_at", "peer_ca_fingerprints"),
		known(rotating(`peers = "2", phase = "sign"`)),
		known(rotating(`peers = "2", phase = "retire"`)),
		// The label turns out to be the same as before.
		known(rotating(`peers = terraform_data.label.output, phase = "trust"`)+label("2"), "authority.trusted", "client_authority.trusted", "client_ca_certificate", "client_ca_expires_at", "client_ca_fingerprints",
			"peer_ca_certificate", "peer_ca_expires_at", "peer_ca_fingerprints", "rotation.peers"),
		tftest.TestStep{Config: rotating(`peers = terraform_data.label.output, phase = "trust"`) + label("2"), Check: authorities("peer", " 2")},
		tftest.TestStep{Config: rotating(`peers = terraform_data.label.output, phase = "trust"`) + label("3"), Check: authorities("peer", " 2", " 3")},
		tftest.TestStep{Config: rotating(`peers = terraform_data.label.id, phase = "sign"`) + label("4"), ExpectError: says("A rotation that is under way has to be known at plan time")},
	)
}

// unknownOf checks which values a plan leaves to the apply.
type unknownOf struct {
	address string
	unknown []string
}

func (u unknownOf) CheckPlan(_ context.Context, req plancheck.CheckPlanRequest, resp *plancheck.CheckPlanResponse) {
	names := []string{}
	for _, change := range req.Plan.ResourceChanges {
		if change.Address == u.address {
			unknown := map[string]string{}
			flatten(unknown, "", change.Change.AfterUnknown)
			for name, value := range unknown {
				if value == "true" {
					names = append(names, name)
				}
			}
		}
	}
	if slices.Sort(names); !slices.Equal(names, u.unknown) {
		resp.Error = fmt.Errorf("unknown of %s are %q, want %q", u.address, names, u.unknown)
	}
}

// TestRotationOfImported holds that an import rotates nothing, whatever the configuration says, and that what it says
// is known from then on.
func TestRotationOfImported(t *testing.T) {
	w, directory := newWorld(t), t.TempDir()
	for file, kind := range map[string]string{"peer-ca": "peers", "client-ca": "clients"} {
		foreign(t, filepath.Join(directory, file), "etcd prod "+kind, "ecdsa-p256", w.Clock, 1000*time.Hour)
	}
	as := func(rotation string, peers, clients []string) tftest.TestStep {
		return tftest.TestStep{Config: rotating(rotation), Check: tftest.ComposeAggregateTestCheckFunc(authorities("peer", peers...), authorities("client", clients...))}
	}
	one, two := []string{""}, []string{"", " 2"}
	w.run(t,
		tftest.TestStep{Config: rotating(`peers = "7"`), ResourceName: ownPKI, ImportState: true, ImportStatePersist: true, ImportStateId: "prod@" + directory},
		tftest.TestStep{Config: rotating(`peers = "7"`), ExpectError: says(`set phase = "retire", and apply`)},
		tftest.TestStep{Config: rotating(`clients = "7", phase = "sign"`), ExpectError: says(`set phase = "retire", and apply`)},
		as("", one, one),
		tftest.TestStep{Config: rotating(`peers = "7"`), ExpectError: says(`set phase = "retire", and apply`)},
		as(`peers = "7", phase = "retire"`, one, one),
		as(`peers = "7"`, one, one),
		as(`peers = "8"`, two, one),
	)
}
