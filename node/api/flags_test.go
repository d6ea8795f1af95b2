package api

import "testing"

func TestFlagValue(t *testing.T) {
	flags := []string{"--name=a", "--name-of=b", "--listen=x", "--name=c=d", "name=e"}
	for name, want := range map[string]string{"name": "c=d", "listen": "x", "list": "", "data-dir": ""} {
		if got := FlagValue(flags, name); got != want {
			t.Errorf("--%s is %q, want %q", name, got, want)
		}
	}
}
