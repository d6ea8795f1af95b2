package certificates

import (
	"testing"

	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/authority"
	"github.com/etcd-on-hosts/terraform-provider-etcd/resources/modeltest"
)

// TestModelsPrintNoSecrets of authorities and certificates.
func TestModelsPrintNoSecrets(t *testing.T) {
	modeltest.PrintsNoSecrets(t, NewPKI(), &pkiModel{}, 5, map[string]any{"authority": &authority.Model{}})
	modeltest.PrintsNoSecrets(t, NewCertificate(), &certificateModel{}, 1, nil)
	modeltest.EphemeralPrintsNoSecrets(t, NewEphemeralCertificate(), &ephemeralModel{}, 2)
}
