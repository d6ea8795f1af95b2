package resources_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	tftest "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
)

// answer is the answer of a refresh or an apply for a resource.
type answer struct {
	state    *tfprotov6.DynamicValue
	identity *tfprotov6.ResourceIdentityData
	private  []byte
}

// answered keeps the last answer for a kind of resource.
func (w *world) answered(kind string, is answer) {
	w.progress.Lock()
	defer w.progress.Unlock()
	if w.progress.answers == nil {
		w.progress.answers = map[string]answer{}
	}
	w.progress.answers[kind] = is
}

// lastAnswer returns the last answer for a kind of resource.
func (w *world) lastAnswer(kind string) answer {
	w.progress.Lock()
	defer w.progress.Unlock()
	return w.progress.answers[kind]
}

// protocol makes the calls of Terraform 1.12 and later, which the tests' Terraform may not know.
type protocol struct {
	*testing.T
	server     tfprotov6.ProviderServer
	schemas    map[string]*tfprotov6.Schema
	identities map[string]*tfprotov6.ResourceIdentitySchema
}

func newProtocol(t *testing.T, w *world) (protocol, error) {
	server, err := providerserver.NewProtocol6WithError(w)()
	if err != nil {
		return protocol{}, err
	}
	schemas, err := server.GetProviderSchema(context.WithoutCancel(t.Context()), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		return protocol{}, err
	}
	identities, err := server.GetResourceIdentitySchemas(context.WithoutCancel(t.Context()), &tfprotov6.GetResourceIdentitySchemasRequest{})
	if err != nil {
		return protocol{}, err
	}
	nothing := tftypes.Object{}
	config, err := tfprotov6.NewDynamicValue(nothing, tftypes.NewValue(nothing, map[string]tftypes.Value{}))
	if err == nil {
		_, err = server.ConfigureProvider(context.WithoutCancel(t.Context()), &tfprotov6.ConfigureProviderRequest{Config: &config})
	}
	return protocol{t, server, schemas.ResourceSchemas, identities.IdentitySchemas}, err
}

// imports imports a resource by its identity, and refreshes it as Terraform does then.
func (p protocol) imports(kind string, by map[string]tftypes.Value) (answer, error) {
	is := p.identities[kind].ValueType()
	value, err := tfprotov6.NewDynamicValue(is, tftypes.NewValue(is, by))
	if err != nil {
		return answer{}, err
	}
	resp, err := p.server.ImportResourceState(context.WithoutCancel(p.Context()), &tfprotov6.ImportResourceStateRequest{TypeName: kind, Identity: &tfprotov6.ResourceIdentityData{IdentityData: &value}})
	if err == nil {
		err = problems(resp.Diagnostics)
	}
	if err != nil {
		return answer{}, err
	}
	one := resp.ImportedResources[0]
	return p.reads(kind, answer{one.State, one.Identity, one.Private})
}

// reads refreshes a resource.
func (p protocol) reads(kind string, was answer) (answer, error) {
	resp, err := p.server.ReadResource(context.WithoutCancel(p.Context()), &tfprotov6.ReadResourceRequest{TypeName: kind, CurrentState: was.state, CurrentIdentity: was.identity, Private: was.private})
	if err == nil {
		err = problems(resp.Diagnostics)
	}
	if err != nil {
		return answer{}, err
	}
	return answer{resp.NewState, resp.NewIdentity, resp.Private}, nil
}

func problems(diags []*tfprotov6.Diagnostic) error {
	var all []error
	for _, d := range diags {
		if d.Severity == tfprotov6.DiagnosticSeverityError {
			all = append(all, fmt.Errorf("%s: %s", d.Summary, d.Detail))
		}
	}
	return errors.Join(all...)
}

// identity checks the identity of an answer, as JSON.
func (p protocol) identity(kind string, is answer, want string) error {
	value, err := is.identity.IdentityData.Unmarshal(p.identities[kind].ValueType())
	if err != nil {
		return err
	}
	if got, err := json.Marshal(asJSON(p.T, value)); err != nil || string(got) != want {
		return fmt.Errorf("the identity of %s is %s, want %s (%w)", kind, got, want, err)
	}
	return nil
}

// attribute returns an attribute of an answer's state.
func (p protocol) attribute(kind, name string, is answer) (text string, err error) {
	value, err := is.state.Unmarshal(p.schemas[kind].ValueType())
	if err != nil {
		return "", err
	}
	attributes := map[string]tftypes.Value{}
	return text, errors.Join(value.As(&attributes), attributes[name].As(&text))
}

// TestIdentity holds that clusters and authorities have an identity, and are imported by it. The identity of a cluster
// follows its members.
func TestIdentity(t *testing.T) {
	w, directory := newWorld(t), t.TempDir()
	const first, second = `{"hosts":["192.0.2.11","192.0.2.12","192.0.2.13"],"name":"prod"}`, `{"hosts":["192.0.2.11","192.0.2.12","192.0.2.21"],"name":"prod"}`
	text := func(text string) tftypes.Value { return tftypes.NewValue(tftypes.String, text) }
	hosts := func(addresses ...string) tftypes.Value {
		var all []tftypes.Value
		for _, address := range addresses {
			all = append(all, text(address))
		}
		return tftypes.NewValue(tftypes.List{ElementType: tftypes.String}, all)
	}
	var before answer
	w.run(t,
		tftest.TestStep{Config: three(unprotected), Check: func(s *terraform.State) error {
			kept(t, directory, s.RootModule().Resources[ownPKI].Primary.Attributes)
			p, err := newProtocol(t, w)
			if err != nil {
				return err
			}
			before = w.lastAnswer("etcd_cluster")
			failures := []error{p.identity("etcd_cluster", before, first), p.identity("etcd_pki", w.lastAnswer("etcd_pki"), `{"directory":null,"name":"prod"}`)}

			w.Forget()
			cluster, err := p.imports("etcd_cluster", map[string]tftypes.Value{"name": text("prod"), "hosts": hosts("192.0.2.12")})
			if err != nil {
				return err
			}
			id, err := p.attribute("etcd_cluster", "cluster_id", cluster)
			if want := s.RootModule().Resources["etcd_cluster.prod"].Primary.Attributes["cluster_id"]; id != want {
				err = fmt.Errorf("imported is cluster %q, want %q (%w)", id, want, err)
			}
			failures = append(failures, err, p.identity("etcd_cluster", cluster, first), w.untouched(nil))

			pki, err := p.imports("etcd_pki", map[string]tftypes.Value{"name": text("prod"), "directory": text(directory)})
			if err != nil {
				return err
			}
			ca, err := p.attribute("etcd_pki", "peer_ca_certificate", pki)
			if want := s.RootModule().Resources[ownPKI].Primary.Attributes["peer_ca_certificate"]; ca != want {
				err = fmt.Errorf("imported is authority %q, want %q (%w)", ca, want, err)
			}
			failures = append(failures, err, p.identity("etcd_pki", pki, fmt.Sprintf(`{"directory":%q,"name":"prod"}`, directory)))

			for _, refused := range []struct {
				kind, says string
				by         map[string]tftypes.Value
			}{
				{"etcd_cluster", "names no cluster", map[string]tftypes.Value{"name": text("prod"), "hosts": hosts()}},
				{"etcd_cluster", `"192.0.2.11:22" in "prod@192.0.2.11:22" is no host`, map[string]tftypes.Value{"name": text("prod"), "hosts": hosts("192.0.2.11:22")}},
				{"etcd_pki", "or an identity with both", map[string]tftypes.Value{"name": text("prod"), "directory": tftypes.NewValue(tftypes.String, nil)}},
			} {
				if _, err := p.imports(refused.kind, refused.by); err == nil || !strings.Contains(err.Error(), refused.says) {
					failures = append(failures, fmt.Errorf("%s: %w, want %q", refused.kind, err, refused.says))
				}
			}
			return errors.Join(failures...)
		}},
		tftest.TestStep{Config: of("a b c@21", unprotected), Check: func(*terraform.State) error {
			p, err := newProtocol(t, w)
			if err != nil {
				return err
			}
			now := w.lastAnswer("etcd_cluster")
			failures := []error{p.identity("etcd_cluster", now, second)}
			now.identity = before.identity // Terraform has this until the apply has answered
			read, err := p.reads("etcd_cluster", now)
			if err != nil {
				return err
			}
			return errors.Join(append(failures, p.identity("etcd_cluster", read, second))...)
		}},
	)
}

// identityBlock matches an import block that imports by identity, and inBlock the attributes in it.
var (
	identityBlock = regexp.MustCompile(`(?s)import \{\n  to = (\w+)\.prod\n  identity = \{\n(.*?)\n  \}`)
	inBlock       = regexp.MustCompile(`(?m)^    (\w+) += `)
)

// TestIdentitiesAreDocumented holds that the pages of resources describe the identity as the schema does, and that
// their import block gives what an import needs. The pages' templates say this, since only Terraform 1.12 prints such
// schemas.
func TestIdentitiesAreDocumented(t *testing.T) {
	p, err := newProtocol(t, newWorld(t))
	if err != nil || len(p.identities) == 0 {
		t.Fatalf("%d identities: %v", len(p.identities), err)
	}
	for kind, schema := range p.identities {
		page := filepath.Join("..", "docs", "resources", strings.TrimPrefix(kind, "etcd_")+".md")
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		_, described, _ := strings.Cut(string(content), "### Identity Schema\n")
		required, optional, _ := strings.Cut(described, "#### Optional\n")
		var importable, shown []string
		for _, attribute := range schema.IdentityAttributes {
			section, kind := optional, "String"
			if attribute.RequiredForImport {
				section = required
			}
			if attribute.Type.Is(tftypes.List{}) {
				kind = "List of String"
			}
			if line := fmt.Sprintf("- `%s` (%s) %s\n", attribute.Name, kind, attribute.Description); !strings.Contains(section, line) {
				t.Errorf("%s does not have %q where it belongs", page, line)
			}
			importable = append(importable, attribute.Name)
		}
		block := identityBlock.FindStringSubmatch(string(content))
		if block == nil || block[1] != kind {
			t.Errorf("%s has no import block with an identity of %s", page, kind)
			continue
		}
		for _, attribute := range inBlock.FindAllStringSubmatch(block[2], -1) {
			shown = append(shown, attribute[1])
		}
		slices.Sort(importable)
		slices.Sort(shown)
		if !slices.Equal(shown, importable) {
			t.Errorf("the import block of %s gives %q, and an identity has %q", page, shown, importable)
		}
	}
}
