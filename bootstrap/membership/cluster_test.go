package membership

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// members are members a, b, c and so on at these addresses.
func members(addresses ...string) []Member {
	var list []Member
	for i, address := range addresses {
		list = append(list, Member{Name: string(rune('a' + i)), Address: address})
	}
	return list
}

func TestSpecCheck(t *testing.T) {
	for name, test := range map[string]struct {
		members []Member
		want    string // empty: no refusal
	}{
		"one":                 {members("192.0.2.11"), ""},
		"three":               {members("192.0.2.11", "192.0.2.12", "192.0.2.13"), ""},
		"mixed":               {members("192.0.2.11", "2001:db8::12", "c.example.com"), ""},
		"none":                {nil, "0 members: a cluster has 1, 3, 5 or 7; add or remove members until the number is one of these"},
		"two":                 {members("192.0.2.11", "192.0.2.12"), "2 members: 2 tolerate the loss of 0, as 1 do, and one more can fail; a cluster has 1, 3, 5 or 7; add or remove members until the number is one of these"},
		"same address":        {members("192.0.2.11", "192.0.2.12", "192.0.2.11"), sameAddress("c (192.0.2.11): member a")},
		"spelled in full":     {members("2001:db8::11", "2001:db8::12", "2001:0DB8:0000::0011"), sameAddress("c (2001:0DB8:0000::0011): member a")},
		"mapped":              {members("192.0.2.11", "::ffff:192.0.2.11", "192.0.2.13"), sameAddress("b (::ffff:192.0.2.11): member a")},
		"mapped, hexadecimal": {members("::ffff:c000:20b", "192.0.2.12", "192.0.2.11"), sameAddress("c (192.0.2.11): member a")},
		"upper case":          {members("a.example.com", "B.example.com", "A.Example.COM"), sameAddress("c (A.Example.COM): member a")},
		"root dot":            {members("a.example.com", "b.example.com", "b.example.com."), sameAddress("c (b.example.com.): member b")},
		"zones":               {members("fe80::1%eth0", "fe80::1%eth1", "fe80::1%eth2"), ""},
		"same name": {[]Member{{"a", "192.0.2.11"}, {"b", "192.0.2.12"}, {"b", "192.0.2.13"}},
			"b (192.0.2.13): two members have this name; give every member a name of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := (Spec{Name: "prod", Members: test.members}).Check(); err != nil {
				got = err.Error()
				var refusal *Refusal
				if !errors.As(err, &refusal) {
					t.Errorf("it is a %T", err)
				}
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func sameAddress(who string) string {
	return who + " has the same address; give every member a host of its own: two on one host fail together"
}

func TestSort(t *testing.T) {
	given := []Member{{"c", "192.0.2.13"}, {"a", "192.0.2.11"}, {"b", "192.0.2.12"}}
	before := slices.Clone(given)
	if got := Sort(given); !slices.Equal(got, members("192.0.2.11", "192.0.2.12", "192.0.2.13")) {
		t.Errorf("sorted: %v", got)
	}
	if !slices.Equal(given, before) {
		t.Errorf("what was given has changed: %v", given)
	}
}

// TestCheckIgnoresOrder holds that the order of members does not decide whether they are refused.
func TestCheckIgnoresOrder(t *testing.T) {
	spellings := []string{"192.0.2.11", "::ffff:192.0.2.11", "2001:db8::1", "2001:DB8:0::1", "a.example.com", "A.example.com.", "b.example.com"}
	rapid.Check(t, func(t *rapid.T) {
		list := members(rapid.SliceOfN(rapid.SampledFrom(spellings), 1, 7).Draw(t, "addresses")...)
		shuffled := rapid.Permutation(list).Draw(t, "order")
		one, other := Spec{Members: list}.Check(), Spec{Members: shuffled}.Check()
		if (one == nil) != (other == nil) {
			t.Errorf("%v: %v; %v: %v", list, one, shuffled, other)
		}
	})
}

func TestHostOf(t *testing.T) {
	for text, want := range map[string]string{
		"https://192.0.2.11:2380": "192.0.2.11", "https://[2001:db8::1]:2380": "2001:db8::1", "https://a.example.com:2380": "a.example.com",
		"": "", "a.example.com": "a.example.com", "unix://": "unix://", "https://[::1": "https://[::1",
	} {
		if got := HostOf(text); got != want {
			t.Errorf("the host of %q is %q, want %q", text, got, want)
		}
	}
}
