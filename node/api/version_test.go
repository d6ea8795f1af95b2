package api

import "testing"

func TestMinor(t *testing.T) {
	for version, want := range map[string]string{"3.7.3": "3.7", "3.6.16": "3.6", "3.6": "3.6", "3": "3", "": "", "10.20.30": "10.20"} {
		if got := Minor(version); got != want {
			t.Errorf("Minor(%q) = %q, want %q", version, got, want)
		}
	}
}

// TestCompareVersions holds an order by numbers, which that of the letters is not.
func TestCompareVersions(t *testing.T) {
	ordered := []string{"", "3.4.0", "3.5", "3.5.0", "3.5.9", "3.5.35", "3.6", "3.6.4", "3.6.16", "3.7.0", "3.7.3", "3.10.0", "4.0.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := CompareVersions(a, b), min(1, max(-1, i-j)); got != want {
				t.Errorf("CompareVersions(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestMinorsApart(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"3.7.3", "3.7.0", 0}, {"3.6.16", "3.7.3", 1}, {"3.7.3", "3.6.16", 1}, {"3.5.35", "3.7.3", 2},
		{"3.6", "3.7", 1}, {"3", "3.1.0", 1}, {"3.9.0", "3.11.1", 2},
	} {
		if got := MinorsApart(c.a, c.b); got != c.want {
			t.Errorf("MinorsApart(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if got := MinorsApart("3.7.3", "4.7.3"); got < 100 {
		t.Errorf("two majors are %d minors apart", got)
	}
}

func TestIsVersion(t *testing.T) {
	for text, want := range map[string]bool{"3.7.3": true, "3.7": true, "3.10.0-rc.0": true, "3": false, "": false, "new": false, "3.x": false, "3.7abc": false} {
		if got := IsVersion(text); got != want {
			t.Errorf("IsVersion(%q) = %t", text, got)
		}
	}
}
