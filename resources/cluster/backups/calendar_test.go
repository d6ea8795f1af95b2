package backups

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/etcd-on-hosts/terraform-provider-etcd/acctest/sample"
)

// TestCheckCalendar holds which mistakes in a schedule are found before any host is asked.
func TestCheckCalendar(t *testing.T) {
	for _, good := range []string{
		"hourly", "Daily", "weekly UTC", "*-*-* 03:30:00", "03:30", "*:0/15", "Mon..Fri 03:30", "Mon, 03:30", "Sat,Sun *-*-* 03:30 Europe/Berlin", "*-*~3", "2003-02..04-05", "Mon *-05~07/1",
		"05-12", "2003-03-05T05:40", "*-*-1,15 0/6:00:00", "00:00:30.5", "Thu", "daily America/New_York",
	} {
		if err := checkCalendar(good); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
	for bad, says := range map[string]string{
		"": "empty", "hourley": "no date, no time", "every hour": "no date, no time", "0 3 * * *": "no date, no time", "24:00": "hour 24 is not within 0 and 23", "*:60": "minute 60", "*-13-01": "month 13",
		"*-*-32": "day 32", "daily 03:30": "no date, no time", "*-*-* 03:30 Mon": "left over", "Mon..Fry 03:30": "no date, no time", "03:30:00:00": "4 parts", "*:0/0": "no repetition", "1e1:00": "no hour", "a;b": "other characters", "@1395716396": "other characters",
	} {
		if err := checkCalendar(bad); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", bad, err, says)
		}
	}
}

// TestCalendarTakesWhatSystemdTakes generates schedules and spoils some of them. Whatever systemd accepts is accepted
// here.
func TestCalendarTakesWhatSystemdTakes(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	number := func(least, most int) *rapid.Generator[string] {
		return rapid.Map(rapid.IntRange(least, most), func(n int) string { return fmt.Sprintf(rapid.SampledFrom([]string{"%d", "%02d"}).Example(n), n) })
	}
	part := func(least, most int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			one := number(least, most).Draw(t, "number")
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0, 1:
				return "*"
			case 2:
				return one + "/" + number(1, most).Draw(t, "every")
			case 3:
				return one + ".." + number(least, most).Draw(t, "to")
			case 4:
				return one + "," + number(least, most).Draw(t, "and")
			}
			return one
		})
	}
	days := []string{"Mon", "tuesday", "Wed..Fri", "Sat,Sun", "Mon,", "Fri-Sun"}
	sample.Check(t, 2000, func(t *rapid.T) {
		var words []string
		if rapid.Bool().Draw(t, "weekdays") {
			words = append(words, rapid.SampledFrom(days).Draw(t, "days"))
		}
		if rapid.Bool().Draw(t, "date") {
			date := part(1, 12).Draw(t, "month") + rapid.SampledFrom([]string{"-", "-", "~"}).Draw(t, "from") + part(1, 31).Draw(t, "day")
			if rapid.Bool().Draw(t, "year") {
				date = part(1970, 2199).Draw(t, "of") + "-" + date
			}
			words = append(words, date)
		}
		if rapid.Bool().Draw(t, "time") {
			time := part(0, 23).Draw(t, "hour") + ":" + part(0, 59).Draw(t, "minute")
			if rapid.Bool().Draw(t, "seconds") {
				time += ":" + part(0, 59).Draw(t, "second")
			}
			words = append(words, time)
		}
		if rapid.Bool().Draw(t, "zone") {
			words = append(words, rapid.SampledFrom([]string{"UTC", "Europe/Berlin"}).Draw(t, "in"))
		}
		if len(words) == 0 {
			words = []string{rapid.SampledFrom([]string{"minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly", "annually"}).Draw(t, "shorthand")}
		}
		text := strings.Join(words, " ")
		if spoil := rapid.IntRange(-3, len(text)-1).Draw(t, "spoil"); spoil >= 0 {
			text = text[:spoil] + rapid.SampledFrom([]string{"", "*", "1", "-", "~", ".", ",", ":", "T", "/"}).Draw(t, "by") + text[spoil+1:]
		}
		if err := checkCalendar(text); err != nil {
			if output, failed := exec.Command(analyze, "calendar", "--", text).CombinedOutput(); failed == nil {
				t.Fatalf("%q is refused (%v), and systemd takes it:\n%s", text, err, output)
			}
		}
	})
}
