package lab

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSources(t *testing.T) {
	apt := t.TempDir()
	must(t, os.Mkdir(filepath.Join(apt, "sources.list.d"), 0o755))
	var want []string
	for _, file := range []struct {
		name, text string
		is         bool
	}{
		{"sources.list", "# See /etc/apt/sources.list.d/debian.sources\n", false},
		{"sources.list.d/older.list", "# the mirror\ndeb\t[trusted=yes] http://mirror.example/debian bookworm main\n", true},
		{"sources.list.d/sources.list", "deb-src http://mirror.example/debian bookworm main\n# deb http://mirror.example/debian bookworm main\n", false},
		{"sources.list.d/debian.sources", "# the mirror\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n", true},
		{"sources.list.d/off.sources.disabled", "Types: deb\n", false},
		{"sources.list.d/off.list.save", "deb http://mirror.example/debian bookworm main\n", false},
	} {
		path := filepath.Join(apt, file.name)
		must(t, os.WriteFile(path, []byte(file.text), 0o644))
		if file.is {
			want = append(want, path)
		}
	}
	if got := sources(apt); !slices.Equal(got, want) {
		t.Errorf("%q are taken, and not %q", got, want)
	}
}

func TestProxies(t *testing.T) {
	if _, err := os.Stat("/usr/bin/apt-config"); err != nil {
		t.Skip(err)
	}
	config := filepath.Join(t.TempDir(), "apt.conf")
	text := "Acquire::http::Proxy \"http://user:word@proxy.example:3128/\";\nAcquire::https::Proxy::mirror.example \"DIRECT\";\nAcquire::Retries \"7\";\n"
	must(t, os.WriteFile(config, []byte(text), 0o600))
	t.Setenv("APT_CONFIG", config)
	file, err := proxies()
	must(t, err)
	defer os.Remove(file)
	got, err := os.ReadFile(file)
	must(t, err)
	for _, line := range []string{`Acquire::http::Proxy "http://user:word@proxy.example:3128/";`, `Acquire::https::Proxy::mirror.example "DIRECT";`} {
		if !slices.Contains(strings.Split(string(got), "\n"), line) {
			t.Errorf("%s is missing in:\n%s", line, got)
		}
	}
	if strings.Contains(string(got), "Retries") {
		t.Errorf("there is more than proxies in:\n%s", got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}
