package resources_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// upgraded returns the state that the provider reads from one of an earlier version.
func upgraded(t *testing.T, kind string, version int64, state string) map[string]any {
	t.Helper()
	server, err := providerserver.NewProtocol6WithError(newWorld(t))()
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.UpgradeResourceState(t.Context(), &tfprotov6.UpgradeResourceStateRequest{
		TypeName: kind, Version: version, RawState: &tfprotov6.RawState{JSON: []byte(state)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, diagnostic := range resp.Diagnostics {
		t.Fatalf("%s: %s", diagnostic.Summary, diagnostic.Detail)
	}
	value, err := resp.UpgradedState.Unmarshal(schemas.ResourceSchemas[kind].ValueType())
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := plainOf(t, value).(map[string]any)
	return plain
}

// plainOf returns a value in the form of encoding/json.
func plainOf(t *testing.T, value tftypes.Value) any {
	t.Helper()
	if value.IsNull() {
		return nil
	}
	switch {
	case value.Type().Is(tftypes.Object{}), value.Type().Is(tftypes.Map{}):
		var fields map[string]tftypes.Value
		if err := value.As(&fields); err != nil {
			t.Fatal(err)
		}
		plain := map[string]any{}
		for name, field := range fields {
			plain[name] = plainOf(t, field)
		}
		return plain
	case value.Type().Is(tftypes.String):
		var text string
		if err := value.As(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	return value.String()
}

// TestUpgradePKI holds that a state of version 0, which has no separate authority for clients, gets one.
func TestUpgradePKI(t *testing.T) {
	const old = `{
		"name": "prod", "algorithm": "ecdsa-p256", "validity": "87600h",
		"authority": {
			"peer": {"certificate": "peer certificate", "private_key": "peer key"},
			"client": {"certificate": "client certificate", "private_key": "client key"}
		},
		"peer_ca_certificate": "peer certificate", "client_ca_certificate": "client certificate"
	}`
	pair := func(role string) map[string]any {
		return map[string]any{"certificate": role + " certificate", "private_key": role + " key"}
	}
	want := map[string]any{
		"name": "prod", "algorithm": "ecdsa-p256", "validity": "87600h", "rotation": nil, "chain": nil,
		"authority":        map[string]any{"peer": pair("peer"), "client": pair("client"), "trusted": nil},
		"client_authority": map[string]any{"client": pair("client"), "trusted": nil},
		"expires_at":       nil,
		"client_crl":       nil, "revoked": nil,
		"peer_ca_certificate": "peer certificate", "client_ca_certificate": "client certificate",
		"peer_ca_fingerprints": nil, "client_ca_fingerprints": nil, "peer_ca_expires_at": nil, "client_ca_expires_at": nil,
	}
	mustUpgrade(t, "etcd_pki", 2, old, want)
}

// TestUpgradeCertificate holds that attributes with _pem in their names, and not_after, of a state of version 0 get
// their present names.
func TestUpgradeCertificate(t *testing.T) {
	const old = `{
		"pki": null, "common_name": "app", "organization": null, "validity": "8760h", "renew_before": "720h", "algorithm": "ecdsa-p256",
		"private_key_file": null, "csr_pem": "request", "certificate_file": "app.crt", "ca_certificate_file": "ca.crt",
		"certificate_pem": "certificate", "ca_certificate_pem": "authority", "not_after": "2031-05-06T07:08:09Z", "serial_number": "2a",
		"renewal_due": null, "planned_change": "none"
	}`
	mustUpgrade(t, "etcd_certificate", 1, old, map[string]any{
		"pki": nil, "common_name": "app", "organization": nil, "validity": "8760h", "renew_before": "720h", "algorithm": "ecdsa-p256",
		"private_key_file": nil, "csr": "request", "certificate_file": "app.crt", "ca_certificate_file": "ca.crt",
		"certificate": "certificate", "ca_certificate": "authority", "expires_at": "2031-05-06T07:08:09Z", "serial_number": "2a",
		"renewal_due": nil, "planned_change": "none", "alternative_names": nil, "usages": nil,
	})
}

// mustUpgrade checks the upgrade of a state of version 0, and that a state of the present version stays as it is.
func mustUpgrade(t *testing.T, kind string, version int64, old string, want map[string]any) {
	t.Helper()
	if got := upgraded(t, kind, 0, old); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("it reads as\n%v, not\n%v", got, want)
	}
	now, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := upgraded(t, kind, version, string(now)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("it reads as\n%v, not\n%v", got, want)
	}
}
