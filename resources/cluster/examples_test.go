package cluster

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestExamplesDropNoArgument holds that the variables of the examples name all that a member takes: Terraform drops
// without a warning what an object type does not name.
func TestExamplesDropNoArgument(t *testing.T) {
	for _, file := range []string{"own-hosts/main.tf", "module/variables.tf", "clusters/main.tf"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "examples", filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		for name, attribute := range memberAttributes() {
			if attribute.IsComputed() {
				continue
			}
			if !regexp.MustCompile(`(?m)^\s+` + name + `\s+= (string|optional\((string|number)\))$`).Match(text) {
				t.Errorf("examples/%s: the type of its members has no %s", file, name)
			}
		}
	}
}
