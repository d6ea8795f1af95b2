package providerdata

import "testing"

// TestTwoResourcesOfOneFile in both orders in which Terraform may plan them.
func TestTwoResourcesOfOneFile(t *testing.T) {
	of := func(id string, change ...func(*FileUse)) FileUse {
		use := FileUse{Place: "/etc/client.key", By: "app", ID: id, Asks: "app"}
		for _, c := range change {
			c(&use)
		}
		return use
	}
	writes, goes := func(u *FileUse) { u.Writes = true }, func(u *FileUse) { u.Goes, u.Writes = true, true }
	other := func(u *FileUse) { u.Asks = "metrics" }
	shares := func(text string) func(*FileUse) { return func(u *FileUse) { u.Shared, u.Writes = text, true } }
	elsewhere := func(u *FileUse) { u.Place = "/etc/other.key" }
	for name, test := range map[string]struct {
		a, b FileUse
		fits bool
	}{
		"both read":                     {of("1"), of("2"), true},
		"one writes":                    {of("1", writes), of("2"), false},
		"both are new":                  {of("", writes), of("", writes), false},
		"one is new, another than it":   {of("1", writes), of("", writes, other), false},
		"the same one":                  {of("1", writes), of("1", writes), true},
		"other files":                   {of("1", writes), of("2", writes, elsewhere), true},
		"one goes that has made it":     {of("1", goes), of("2"), false},
		"one goes, another comes":       {of("1", goes), of("", other), false},
		"one goes, it comes anew":       {of("1", goes), of(""), true},
		"both go":                       {of("1", goes), of("2", goes), true},
		"one authority's certificate":   {of("1", shares("ca")), of("2", shares("ca")), true},
		"certificates of two":           {of("1", shares("ca")), of("2", shares("other")), false},
		"a key at that of an authority": {of("1", shares("ca")), of("2"), false},
	} {
		for _, pair := range [][2]FileUse{{test.a, test.b}, {test.b, test.a}} {
			var f Files
			if first := f.Use(pair[0]); first != nil {
				t.Errorf("%s: the first is refused", name)
			}
			if second := f.Use(pair[1]); (second == nil) != test.fits {
				t.Errorf("%s: fits %v", name, second == nil)
			}
		}
	}
	var left Files
	removed := 0
	leave := func() {
		if err := left.Leave("/etc/client.key", "1", func() error { removed++; return nil }); err != nil {
			t.Error(err)
		}
	}
	left.Use(of("1", goes))
	left.Use(of("2", elsewhere))
	if leave(); removed != 1 {
		t.Error("a file that nobody uses is not removed")
	}
	left.Use(of("", other))
	if leave(); removed != 1 {
		t.Error("a file is removed that another resource uses")
	}
	var f Files
	if f.Use(of("1", writes)) != nil || f.Use(of("", writes)) != nil {
		t.Error("one that is replaced is refused for itself")
	}
	if f.Use(of("", writes)) == nil {
		t.Error("a third is not refused")
	}
}
