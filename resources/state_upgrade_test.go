package resources_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/stateupgrade"
)

// TestEarlierStates upgrades states of every earlier schema version, as a release with that version wrote them: renamed
// attributes have their new names, and all else is as it was.
func TestEarlierStates(t *testing.T) {
	const expiry = "2027-11-28T20:39:31Z"
	for name, test := range map[string]struct {
		kind    string
		version int64
		edits   map[string]any // values that differ, by path; nil: the attribute no longer exists
	}{
		"etcd_cluster-0.json": {"etcd_cluster", 0, map[string]any{
			"ca_certificate": nil, "client_ca_certificate": "ca", "status": "no_quorum",
			"backup.s3.key": "null", "backup.s3.prefix": "etcd/prod", "restore.trigger": "null", "restore.triggers": `{"trigger":"once more"}`,
			"restore.take_back": "null", "restore.roll_back": "null",
			"members.a.certificate_expiry": nil, "members.a.certificate_expires_at": expiry,
			"members.b.certificate_expiry": nil, "members.b.certificate_expires_at": expiry,
			"members.c.certificate_expiry": nil, "members.c.certificate_expires_at": expiry,
		}},
		"etcd_cluster-1.json": {"etcd_cluster", 1, map[string]any{
			"restore.take_back": "null", "restore.roll_back": "null",
			"members.a.certificate_expiry": nil, "members.a.certificate_expires_at": expiry,
			"members.b.certificate_expiry": nil, "members.b.certificate_expires_at": expiry,
			"members.c.certificate_expiry": nil, "members.c.certificate_expires_at": expiry,
		}},
		"etcd_cluster-2.json":  {"etcd_cluster", 2, map[string]any{"restore.take_back": "null", "restore.roll_back": "true"}},
		"etcd_cluster-3.json":  {"etcd_cluster", 3, map[string]any{}}, // before it had former names
		"etcd_pki-1.json":      {"etcd_pki", 1, map[string]any{}},
		"etcd_snapshot-0.json": {"etcd_snapshot", 0, map[string]any{"purge": nil, "purge_data": "true"}},
	} {
		t.Run(name, func(t *testing.T) {
			old, err := os.ReadFile(filepath.Join("testdata", "state", name))
			if err != nil {
				t.Fatal(err)
			}
			server := providerserver.NewProtocol6(newWorld(t))()
			schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := server.UpgradeResourceState(t.Context(), &tfprotov6.UpgradeResourceStateRequest{
				TypeName: test.kind, Version: test.version, RawState: &tfprotov6.RawState{JSON: old},
			})
			if err != nil || len(resp.Diagnostics) > 0 {
				t.Fatalf("%v, %v", err, resp.Diagnostics)
			}
			value, err := resp.UpgradedState.Unmarshal(schemas.ResourceSchemas[test.kind].ValueType())
			if err != nil {
				t.Fatal(err)
			}
			was, is := map[string]string{}, map[string]string{}
			var read any
			if err := json.Unmarshal(old, &read); err != nil {
				t.Fatal(err)
			}
			flatten(was, "", read)
			flatten(is, "", asJSON(t, value))
			want := map[string]string{}
			for path := range is { // attributes that the state lacks are null
				want[path] = "null"
			}
			for path, value := range was {
				want[path] = value
			}
			for path, value := range test.edits {
				if delete(want, path); value != nil {
					want[path] = fmt.Sprint(value)
				}
			}
			if diff := cmp.Diff(want, is); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// flatten returns the values of a JSON text by their paths. A map whose keys are no attributes is one value.
func flatten(into map[string]string, path string, value any) {
	object, is := value.(map[string]any)
	if !is || strings.HasSuffix(path, "triggers") {
		text, _ := json.Marshal(value)
		into[path] = strings.Trim(string(text), `"`)
		return
	}
	for name, value := range object {
		flatten(into, strings.TrimPrefix(path+"."+name, "."), value)
	}
}

// asJSON returns a value of Terraform's as JSON.
func asJSON(t *testing.T, value tftypes.Value) any {
	t.Helper()
	var attributes map[string]tftypes.Value
	var elements []tftypes.Value
	var text string
	var truth bool
	switch {
	case value.IsNull():
		return nil
	case value.As(&attributes) == nil:
		object := map[string]any{}
		for name, attribute := range attributes {
			object[name] = asJSON(t, attribute)
		}
		return object
	case value.As(&elements) == nil:
		list := []any{}
		for _, element := range elements {
			list = append(list, asJSON(t, element))
		}
		return list
	case value.As(&text) == nil:
		return text
	case value.As(&truth) == nil:
		return truth
	}
	number := new(big.Float)
	if err := value.As(&number); err != nil {
		t.Fatal(err)
	}
	return json.Number(number.Text('f', -1))
}

// TestUnreadableStates holds that the error for an unreadable state says what to do.
func TestUnreadableStates(t *testing.T) {
	server := providerserver.NewProtocol6(newWorld(t))()
	resp, err := server.UpgradeResourceState(t.Context(), &tfprotov6.UpgradeResourceStateRequest{TypeName: "etcd_cluster", RawState: &tfprotov6.RawState{JSON: []byte(`{"name":`)}})
	if err != nil || len(resp.Diagnostics) != 1 || !strings.Contains(resp.Diagnostics[0].Detail, "The state was not changed: restore the copy") {
		t.Errorf("%v, %+v", err, resp)
	}
}

// TestEarlierStatesPlanNothing upgrades the provider under a cluster that was restored and makes backups, with a
// snapshot and clients. With the configuration brought to the new names, nothing is left to do, and nothing is restored
// again.
func TestEarlierStatesPlanNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.terminal(t)
	file, key := filepath.Join(x.dir, "prod.db"), filepath.Join(x.dir, "app.key")
	_, csr := madeKey(t)
	write(t, filepath.Join(x.dir, "request.pem"), string(csr), 0o600)
	config := func(more string) string {
		return of("a b c", unprotected+backedUp("secret", "")+more) + fmt.Sprintf(`
			resource "etcd_snapshot" "before" {
				cluster    = { name = etcd_cluster.prod.name, owner = etcd_cluster.prod.owner, members = etcd_cluster.prod.members }
				file       = %q
				purge_data = true
			}
			resource "etcd_certificate" "app" {
				pki                 = etcd_pki.prod.client_authority
				common_name         = "app"
				organization        = ["platform"]
				private_key_file    = %q
				certificate_file    = "%[2]s.crt"
				ca_certificate_file = "%[2]s.ca"
			}
			resource "etcd_certificate" "requested" {
				pki         = etcd_pki.prod.authority
				common_name = "requested"
				csr         = file("request.pem")
			}
		`, file, key)
	}
	apply := func(config string) string {
		if err := os.WriteFile(filepath.Join(x.dir, "main.tf"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return x.must("apply", "-auto-approve", "-no-color")
	}
	if err := os.WriteFile(filepath.Join(x.dir, "main.tf"), []byte(config("")), 0o600); err != nil {
		t.Fatal(err)
	}
	x.must("init", "-no-color")
	apply(config(""))
	restored := config(fmt.Sprintf("restore = {\nfile = %q\ntriggers = { trigger = \"once more\" }\noverwrite_cluster_id = %q\n}\n", file, x.attributes("etcd_cluster")["cluster_id"]))
	apply(restored)
	x.must("apply", "-refresh-only", "-auto-approve")
	w.Forget()

	x.rewrite(func(kind string, instance map[string]any) {
		state, _ := instance["attributes"].(map[string]any)
		instance["schema_version"] = 0
		switch o := stateupgrade.Object(state); kind {
		case "etcd_cluster":
			o.Rename("client_ca_certificate", "ca_certificate")
			o.In("backup").In("s3").Rename("prefix", "key")
			delete(o.In("restore"), "triggers")
			o.In("restore")["trigger"] = "once more"
			o.In("restore").Rename("roll_back", "take_back")
			delete(o, "extra_flags")
			delete(o, "hold_restarts")
		case "etcd_snapshot":
			o.Rename("purge_data", "purge")
		case "etcd_pki":
			delete(o, "client_authority")
			delete(o.In("authority"), "trusted")
			for _, later := range []string{"expires_at", "rotation", "peer_ca_fingerprints", "client_ca_fingerprints", "peer_ca_expires_at", "client_ca_expires_at"} {
				delete(o, later)
			}
		case "etcd_certificate":
			o.Rename("certificate", "certificate_pem")
			o.Rename("ca_certificate", "ca_certificate_pem")
			o.Rename("csr", "csr_pem")
			o.Rename("expires_at", "not_after")
		}
	})
	if text, code := x.run("plan", "-no-color", "-detailed-exitcode"); code != 0 {
		t.Errorf("exit code %d\n%s", code, text)
	}
	if changes := w.changes(); len(changes) > 0 {
		t.Errorf("hosts were changed: %v", changes)
	}
}

// attributes returns those of the first instance of a kind in the state.
func (x *terminal) attributes(kind string) map[string]any {
	x.t.Helper()
	for _, r := range x.stored()["resources"].([]any) {
		if r := r.(map[string]any); r["type"] == kind {
			return r["instances"].([]any)[0].(map[string]any)["attributes"].(map[string]any)
		}
	}
	x.t.Fatalf("the state has no %s", kind)
	return nil
}
