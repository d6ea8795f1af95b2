package backup

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// owned returns an owner's backup that was made this many hours after noon.
func owned(hours int, owner string) Entry {
	e := taken(hours, nil)
	e.Owner = owner
	return e
}

// TestRestorable holds that a restore uses an owner's own backups. It uses another owner's only on a host that carries
// no cluster, and only if it is clear which backups are meant.
func TestRestorable(t *testing.T) {
	old, mine, hers, theirs := owned(1, ""), owned(2, "me"), owned(3, "she"), owned(4, "they")
	for name, test := range map[string]struct {
		there []Entry
		name  string
		fresh bool
		takes []Entry // nil: the restore is refused
	}{
		"none":                              {nil, "", false, []Entry{}},
		"own ones beside another's":         {[]Entry{mine, hers}, "", false, []Entry{mine}},
		"own ones after all was lost":       {[]Entry{old, mine, hers}, "", true, []Entry{mine, old}},
		"older ones without an owner":       {[]Entry{old, hers}, "", false, []Entry{old}},
		"another's alone":                   {[]Entry{hers}, "", false, nil},
		"rebuilt by a new object":           {[]Entry{old, hers}, "", true, []Entry{hers, old}},
		"rebuilt, and two to choose of":     {[]Entry{hers, theirs}, "", true, nil},
		"an own one by name":                {[]Entry{mine, hers}, mine.Name, false, []Entry{mine}},
		"another's by name":                 {[]Entry{mine, hers}, hers.Name, false, nil},
		"another's by name, when rebuilt":   {[]Entry{mine, hers, theirs}, hers.Name, true, []Entry{hers}},
		"no such name":                      {[]Entry{mine, hers}, "x", false, []Entry{}},
		"no such name, beside another's":    {[]Entry{hers}, "x", false, []Entry{}},
		"one without an owner, by its name": {[]Entry{old, hers}, old.Name, false, []Entry{old}},
	} {
		var c Catalog
		for _, e := range test.there {
			if e.belongs("me") {
				c.Backups = append(c.Backups, e)
			} else {
				c.Others = append(c.Others, e)
			}
		}
		newestFirst(c.Backups)
		newestFirst(c.Others)
		got, err := c.Restorable(test.name, "me", test.fresh)
		switch {
		case test.takes == nil && !errors.Is(err, ErrAnothers):
			t.Errorf("%s: it is not refused, but %v", name, err)
		case test.takes == nil:
			if !strings.Contains(err.Error(), hers.Name) || !strings.Contains(err.Error(), hers.ClusterID) || !strings.Contains(err.Error(), "restore.s3") {
				t.Errorf("%s: it says %s", name, err)
			}
		case err != nil || !slices.EqualFunc(got, test.takes, func(a, b Entry) bool { return a.Name == b.Name }):
			t.Errorf("%s: it takes %v, %v", name, got, err)
		}
	}
}

// TestBackupsOfTwoOwners holds that the backups of two clusters of one name at one place are two separate histories.
func TestBackupsOfTwoOwners(t *testing.T) {
	d := directory(t)
	for revision, owner := range []string{"me", "she", "", "me"} {
		text := noise(100, byte(revision))
		s := snapshotOf(text, int64(revision+1))
		s.Owner = owner
		if _, err := Store(t.Context(), d, s, bytes.NewReader(text), Recipients{}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := List(t.Context(), d, "main", "me")
	if err != nil || len(c.Backups) != 3 || len(c.Others) != 1 || c.Others[0].Owner != "she" || len(c.Partial) > 0 {
		t.Errorf("there are %+v, %v", c, err)
	}
	if Owner("a") == Owner("b") || strings.Contains(Owner("token"), "token") {
		t.Error("an owner is not told by its token, or tells it")
	}
}
