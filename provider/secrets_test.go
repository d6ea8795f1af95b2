package provider

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/sensitive"
)

// TestModelPrintsNoSecrets: the model of ssh prints no key, passphrase or password, and no attribute that is marked as
// sensitive is a plain string.
func TestModelPrintsNoSecrets(t *testing.T) {
	const secret = "hunter2-and-no-other"
	login := loginModel{User: types.StringValue("ops"), PrivateKey: sensitive.Of(secret), Passphrase: sensitive.Of(secret)}
	model := sshModel{loginModel: login, SudoPassword: sensitive.Of(secret), Bastion: &bastionModel{loginModel: login}}
	for _, value := range []any{model, &model, model.bastion(), model.auth()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if said := fmt.Sprintf(verb, value); strings.Contains(said, secret) || strings.Contains(said, fmt.Sprintf("%x", secret)) {
				t.Errorf("a %T prints by %s as %s", value, verb, said)
			}
		}
	}
	count := 0
	var walk func(attributes map[string]schema.Attribute)
	walk = func(attributes map[string]schema.Attribute) {
		for name, attribute := range attributes {
			if nested, ok := attribute.(schema.SingleNestedAttribute); ok {
				walk(nested.Attributes)
			} else if attribute.IsSensitive() {
				if count++; !attribute.GetType().Equal(sensitive.StringType{}) {
					t.Errorf("%s is sensitive, and a %s", name, attribute.GetType())
				}
			}
		}
	}
	walk(map[string]schema.Attribute{"ssh": sshAttribute()})
	if count != 5 {
		t.Errorf("%d sensitive attributes were found", count)
	}
}
