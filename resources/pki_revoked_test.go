package resources_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"

	"github.com/etcd-on-hosts/terraform-provider-etcd/pki"
	"github.com/etcd-on-hosts/terraform-provider-etcd/pki/cert"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
)

// revocations checks the number of etcd_pki's list of revoked certificates, its signer, and its entries; number 0:
// there is no list.
func revocations(number int64, by string, serials ...string) tftest.TestCheckFunc {
	return func(s *terraform.State) error {
		text := s.RootModule().Resources[ownPKI].Primary.Attributes["client_crl"]
		if text == "" && number == 0 {
			return nil
		}
		list, err := cert.ParseRevocationList([]byte(text))
		if err != nil {
			return err
		}
		var has []string
		for _, entry := range list.RevokedCertificateEntries {
			has = append(has, entry.SerialNumber.Text(16))
		}
		if list.Number.Int64() != number || list.Issuer.CommonName != by || strings.Join(has, " ") != strings.Join(serials, " ") {
			return fmt.Errorf("list %s of %q is for %v", list.Number, list.Issuer.CommonName, has)
		}
		return nil
	}
}

// TestRevocationByForeignAuthority holds that an authority from elsewhere that may sign no lists revokes nothing, and
// that the remedy in the refusal works: the authority that succeeds it revokes in the apply from which it signs.
func TestRevocationByForeignAuthority(t *testing.T) {
	w, directory := newWorld(t), t.TempDir()
	foreign(t, filepath.Join(directory, "peer-ca"), "peers of elsewhere", "ecdsa-p256", w.Clock, 1000*time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients of elsewhere"}, NotBefore: w.Clock.Add(-time.Hour), NotAfter: w.Clock.Add(1000 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "clients of elsewhere"}}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(directory, "client-ca.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), 0o644)
	write(t, filepath.Join(directory, "client-ca.key"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})), 0o600)
	revoked := func(rotation string) string {
		return strings.Replace(rotating(rotation), "name = \"prod\"", "name = \"prod\"\nrevoked = [\"07\"]", 1)
	}
	refused := func(rotation string) tftest.TestStep {
		return tftest.TestStep{Config: revoked(rotation), ExpectError: saysInOrder("lacks the key usage cRLSign", "Take them out of revoked, and rotate the authority for clients", `phase = "sign"`)}
	}
	w.run(t,
		tftest.TestStep{Config: rotating(""), ResourceName: ownPKI, ImportState: true, ImportStatePersist: true, ImportStateId: "prod@" + directory},
		tftest.TestStep{Config: rotating(""), Check: revocations(0, "")},
		refused(""),
		tftest.TestStep{Config: rotating(`clients = "1", phase = "retire"`), Check: revocations(0, "")},
		refused(`clients = "2"`),
		tftest.TestStep{Config: rotating(`clients = "2"`), Check: revocations(0, "")},
		tftest.TestStep{Config: revoked(`clients = "2", phase = "sign"`), Check: revocations(1, "etcd prod clients", "7")},
		tftest.TestStep{Config: revoked(`clients = "2", phase = "sign"`), PlanOnly: true},
		tftest.TestStep{Config: revoked(`clients = "2", phase = "retire"`), Check: revocations(1, "etcd prod clients", "7")},
	)
}

// TestRefreshSignsNoList holds that the state of a build without lists gets one by an apply, whose plan shows it.
func TestRefreshSignsNoList(t *testing.T) {
	w := newWorld(t)
	made, err := pki.NewAuthorities("prod", pki.DefaultAlgorithm, time.Hour, w.Clock)
	if err != nil {
		t.Fatal(err)
	}
	held, err := authority.Of(made)
	if err != nil {
		t.Fatal(err)
	}
	pair := func(k authority.KeyPair) map[string]any {
		return map[string]any{"certificate": k.Certificate.ValueString(), "private_key": k.PrivateKey.Reveal()}
	}
	state, err := json.Marshal(map[string]any{
		"name": "prod", "algorithm": "ecdsa-p256", "validity": "1h",
		"authority":           map[string]any{"peer": pair(held.Peer), "client": pair(held.Client)},
		"peer_ca_certificate": held.Peer.Certificate.ValueString(), "client_ca_certificate": held.Client.Certificate.ValueString(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := providerserver.NewProtocol6WithError(w)()
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	nothing, err := tfprotov6.NewDynamicValue(schemas.Provider.ValueType(), objectOf(schemas.Provider.ValueType(), nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.ConfigureProvider(t.Context(), &tfprotov6.ConfigureProviderRequest{Config: &nothing}); err != nil {
		t.Fatal(err)
	}
	upgraded, err := server.UpgradeResourceState(t.Context(), &tfprotov6.UpgradeResourceStateRequest{TypeName: "etcd_pki", RawState: &tfprotov6.RawState{JSON: state}})
	if err != nil {
		t.Fatal(err)
	}
	read, err := server.ReadResource(t.Context(), &tfprotov6.ReadResourceRequest{TypeName: "etcd_pki", CurrentState: upgraded.UpgradedState})
	if err != nil || len(read.Diagnostics) > 0 {
		t.Fatalf("%v, %v", err, read)
	}
	kind := schemas.ResourceSchemas["etcd_pki"].ValueType()
	list := func(of *tfprotov6.DynamicValue) string {
		value, err := of.Unmarshal(kind)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := plainOf(t, value).(map[string]any)["client_crl"].(string)
		return text
	}
	if text := list(read.NewState); text != "" {
		t.Errorf("a refresh has signed %s", text)
	}
	config, err := tfprotov6.NewDynamicValue(kind, objectOf(kind, map[string]string{"name": "prod"}))
	if err != nil {
		t.Fatal(err)
	}
	planned, err := server.PlanResourceChange(t.Context(), &tfprotov6.PlanResourceChangeRequest{
		TypeName: "etcd_pki", PriorState: read.NewState, ProposedNewState: read.NewState, Config: &config, PriorPrivate: read.Private})
	if err != nil || len(planned.Diagnostics) > 0 {
		t.Fatalf("%v, %v", err, planned)
	}
	if _, err := cert.ParseRevocationList([]byte(list(planned.PlannedState))); err != nil {
		t.Errorf("the plan shows no list: %v", err)
	}
}

// objectOf returns an object of a type with these texts, and nothing else.
func objectOf(kind tftypes.Type, texts map[string]string) tftypes.Value {
	values := map[string]tftypes.Value{}
	for name, attribute := range kind.(tftypes.Object).AttributeTypes {
		values[name] = tftypes.NewValue(attribute, nil)
		if text, is := texts[name]; is {
			values[name] = tftypes.NewValue(attribute, text)
		}
	}
	return tftypes.NewValue(kind, values)
}
