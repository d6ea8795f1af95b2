package remote_test

import (
	"os"
	"strings"
	"testing"

	"github.com/cloudflare/cfssl/config"
)

// TestGuideOpensNoSigner holds that each of the guide's configurations of a server requires a key for all that it
// signs. A configuration without a default profile would get cfssl's, which signs any name for anybody.
func TestGuideOpensNoSigner(t *testing.T) {
	guide, err := os.ReadFile("../../templates/docs/guides/remote-signer.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(guide), "```json\n")[1:]
	if len(blocks) != 2 {
		t.Fatalf("the guide has %d configurations of a server, and had 2", len(blocks))
	}
	for _, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		server, err := config.LoadConfig([]byte(text))
		if err != nil {
			t.Errorf("cfssl refuses %s: %v", text, err)
			continue
		}
		if server.Signing.Default.Provider == nil {
			t.Errorf("anybody is given certificates by the default profile of %s", text)
		}
		for name, profile := range server.Signing.Profiles {
			if profile.Provider == nil {
				t.Errorf("anybody is given certificates by profile %s of %s", name, text)
			}
		}
	}
}
