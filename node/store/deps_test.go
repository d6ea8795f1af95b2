package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestStoreLinksNoTerraform holds that what runs on hosts links neither Terraform's framework, nor authorities, nor
// SSH.
func TestStoreLinksNoTerraform(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/etcd-on-hosts/terraform-provider-etcd/"
	for dep := range strings.Lines(string(deps)) {
		dep = strings.TrimSpace(dep)
		for _, foreign := range []string{"github.com/hashicorp/terraform", "github.com/hashicorp/go-plugin", "github.com/hashicorp/hcl", "github.com/cloudflare/cfssl", "golang.org/x/crypto/ssh"} {
			if strings.HasPrefix(dep, foreign) {
				t.Errorf("the store links %s", dep)
			}
		}
		own, ours := strings.CutPrefix(dep, module)
		switch {
		case !ours, own == "node/store", own == "node/host", strings.HasPrefix(own, "node/host/"), own == "node/api", own == "node/backup", own == "node/durable", own == "node/secret", own == "pki/cert", own == "pki/order", own == "pki/remote", own == "templates/systemd":
		default:
			t.Errorf("the store links %s, which is the provider's", own)
		}
	}
}
