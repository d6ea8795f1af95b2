package provider

import (
	"os"
	"strings"
	"testing"
)

func TestDestroys(t *testing.T) {
	for line, want := range map[string]bool{
		"terraform destroy":                            true,
		"/usr/bin/tofu destroy -auto-approve":          true,
		"terraform -chdir=live destroy -var=name=prod": true,
		"terraform plan -destroy -out=destroy":         true,
		"terraform apply -no-color --destroy=true":     true,
		"terraform apply -destroy=false":               false,
		"terraform apply destroy":                      false,
		"terraform plan -var destroy=true":             false,
		"terraform -destroy-none plan":                 false,
		"terraform":                                    false,
		"":                                             false,
	} {
		if got := destroys(strings.Fields(line)); got != want {
			t.Errorf("%q destroys: %v", line, got)
		}
	}
	if line := commandLine(os.Getpid()); len(line) == 0 || !strings.Contains(line[0], "provider.test") {
		t.Errorf("this process was started as %q", line)
	}
	if line := commandLine(-1); line != nil {
		t.Errorf("a process that is not there was started as %q", line)
	}
}
