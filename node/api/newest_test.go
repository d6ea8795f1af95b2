package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestNewestFirst orders backups, each spelled as its cluster ID, revision and the hour at which a clock said that it
// was.
func TestNewestFirst(t *testing.T) {
	for name, test := range map[string]struct{ all, want string }{
		"by revision, where clocks are right": {"1/10@1 1/30@3 1/20@2", "1/30@3 1/20@2 1/10@1"},
		"a clock that was ahead":              {"1/10@1 1/20@240 1/30@3 1/40@4", "1/40@4 1/30@3 1/20@240 1/10@1"},
		"a clock that was behind":             {"1/10@1 1/20@2 1/30@-9000", "1/30@-9000 1/20@2 1/10@1"},
		"nothing was written in between":      {"1/10@1 1/10@3 1/10@2", "1/10@3 1/10@2 1/10@1"},
		"a restored cluster":                  {"1/10@1 1/20@2 2/90@3", "2/90@3 1/20@2 1/10@1"},
		"restored from a foreign snapshot":    {"1/500@1 1/600@2 2/9@3", "2/9@3 1/600@2 1/500@1"},
		"ahead before a restore":              {"1/10@1 1/20@2 1/30@240 2/90@4", "2/90@4 1/30@240 1/20@2 1/10@1"},
		"ahead before a restore, twice there": {"1/10@1 1/20@2 1/30@240 1/30@240 2/90@4", "2/90@4 1/30@240 1/30@240 1/20@2 1/10@1"},
		"behind after a restore":              {"1/10@1 1/20@2 2/90@3 2/91@4 2/92@-9000", "2/92@-9000 2/91@4 2/90@3 1/20@2 1/10@1"},
		"restored twice":                      {"3/7@9 1/10@1 2/90@4", "3/7@9 2/90@4 1/10@1"},
	} {
		all := strings.Fields(test.all)
		for range len(all) {
			all = append(all[1:], all[0])
			got := slices.Clone(all)
			SortNewestFirst(got, func(text string) Taken {
				taken, hours := Taken{Name: text}, 0
				if _, err := fmt.Sscanf(text, "%1s/%d@%d", &taken.ClusterID, &taken.Revision, &hours); err != nil {
					t.Fatal(err)
				}
				taken.At = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(hours) * time.Hour)
				return taken
			})
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("%s: %s, and not %s", name, text, test.want)
			}
		}
	}
}
