package validate

import "testing"

func TestStringChecks(t *testing.T) {
	for _, test := range []struct {
		name  string
		check func(string) error
		good  []string
		bad   []string
	}{
		{"address", CheckAddress,
			[]string{"192.0.2.1", "2001:db8::1", "etcd-1.example.com", "localhost", "a"},
			[]string{"", "192.0.2", "192.0.2.1:2379", "[2001:db8::1]", "2001:DB8::1", "2001:db8:0:0::1", "::ffff:192.0.2.1", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "https://a", "A.example.com", "a.", "-a", "a_b", "a b"}},
		{"path", checkPath,
			[]string{"/data", "/var/lib/etcd/prod"},
			[]string{"", "/", "data", "~/data", "/data/", "/var//lib", "/var/../lib", "/data\n", `/a"b`, "/a%b"}},
		{"duration", CheckDuration, []string{"1h", "5m", "100ms", "1h30m"}, []string{"", "0s", "-1h", "5", "5 m", "1d"}},
		{"lifetime", checkLifetime, []string{"10m", "8760h"}, []string{"9m", "0s", "1y"}},
		{"milliseconds", checkMilliseconds, []string{"100ms", "1.5s"}, []string{"1us", "1.5ms", "0s", "100"}},
		{"public keys", checkPublicKeys,
			[]string{
				"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ8Xf9bCkJ5S1m0lYdVxgxJc3cJ5jJx7n0hL2m2hF0q",
				"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ8Xf9bCkJ5S1m0lYdVxgxJc3cJ5jJx7n0hL2m2hF0q root@a\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ8Xf9bCkJ5S1m0lYdVxgxJc3cJ5jJx7n0hL2m2hF0q\n",
			},
			[]string{"", " \n", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGJ8Xf9bCkJ5S1m0lYdVxgxJc3cJ5jJx7n0hL2m2hF0q",
				"192.0.2.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ8Xf9bCkJ5S1m0lYdVxgxJc3cJ5jJx7n0hL2m2hF0q"}},
	} {
		for _, text := range test.good {
			if err := test.check(text); err != nil {
				t.Errorf("%s %q: %v", test.name, text, err)
			}
		}
		for _, text := range test.bad {
			if test.check(text) == nil {
				t.Errorf("%s %q was taken", test.name, text)
			}
		}
	}
}
