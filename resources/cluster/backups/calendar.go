package backups

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
)

// calendar is the validator of systemd's calendar events. Hosts have systemd itself read a schedule before anything is
// written. This validator finds most mistakes before any host is changed, and accepts every schedule that systemd
// accepts.
type calendar struct{}

func (calendar) Description(context.Context) string {
	return "must be a systemd calendar event, like hourly, daily, Mon..Fri 03:30 or *-*-* 03:30:00 (man systemd.time)"
}

func (c calendar) MarkdownDescription(ctx context.Context) string { return c.Description(ctx) }

func (c calendar) ValidateString(ctx context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	if err := checkCalendar(req.ConfigValue.ValueString()); err != nil {
		resp.Diagnostics.AddAttributeError(req.Path, "This is not a schedule",
			fmt.Sprintf("Attribute %s is %q: %s. It %s.", req.Path, req.ConfigValue.ValueString(), err, c.Description(ctx)))
	}
}

var (
	shorthands = regexp.MustCompile(`(?i)^(minutely|hourly|daily|weekly|monthly|quarterly|semiannually|semi-annually|bi-annually|biannually|yearly|annually|anually)$`)
	weekdays   = regexp.MustCompile(`(?i)^((mon(day)?|tue(sday)?|wed(nesday)?|thu(rsday)?|fri(day)?|sat(urday)?|sun(day)?)(,|\.\.|-|$))+$`)
	zone       = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+/-]*$`)
	plain      = regexp.MustCompile(`^[A-Za-z0-9*,./:~_+ -]{1,100}$`)
)

// field is a part of a date or a time, with the range of its numbers.
type field struct {
	name        string
	least, most float64
}

var (
	dates = []field{{"year", 0, 9999}, {"month", 1, 12}, {"day", 1, 31}}
	times = []field{{"hour", 0, 23}, {"minute", 0, 59}, {"second", 0, 60}}
)

// checkCalendar returns an error for a text that cannot be a calendar event: [WEEKDAYS] [[YEAR-]MONTH-DAY]
// [HOUR:MINUTE[:SECOND]] [ZONE].
func checkCalendar(text string) error {
	words := strings.Fields(text)
	if !plain.MatchString(text) || len(words) == 0 {
		return fmt.Errorf("it is empty, too long, or has other characters than schedules have")
	}
	if len(words) > 1 && zone.MatchString(words[len(words)-1]) && !weekdays.MatchString(words[len(words)-1]) {
		words = words[:len(words)-1]
	}
	if len(words) == 1 && shorthands.MatchString(words[0]) {
		return nil
	}
	if weekdays.MatchString(words[0]) {
		words = words[1:]
	}
	if len(words) == 1 {
		if date, time, joined := strings.Cut(words[0], "T"); joined {
			words = []string{date, time}
		}
	}
	if len(words) > 0 && !strings.Contains(words[0], ":") {
		if err := checkDate(words[0]); err != nil {
			return err
		}
		words = words[1:]
	}
	if len(words) > 0 {
		parts := strings.Split(words[0], ":")
		if len(parts) < 2 || len(parts) > 3 {
			return fmt.Errorf("%q is no time: it has %d parts", words[0], len(parts))
		}
		for i, part := range parts {
			if err := times[i].check(part); err != nil {
				return err
			}
		}
		words = words[1:]
	}
	if len(words) > 0 {
		return fmt.Errorf("%q is left over", words[0])
	}
	return nil
}

// checkDate returns an error for a word that cannot be a date. A ~ in place of its last - counts days from the end of
// the month.
func checkDate(word string) error {
	parts := strings.FieldsFunc(word, func(r rune) bool { return r == '-' || r == '~' })
	if n := strings.Count(word, "-") + strings.Count(word, "~"); n < 1 || n > 2 || n != len(parts)-1 {
		return fmt.Errorf("%q is no date, no time, no list of weekdays and no time zone", word)
	}
	for i, part := range parts {
		if err := dates[len(dates)-len(parts)+i].check(part); err != nil {
			return err
		}
	}
	return nil
}

// check returns an error for a text that cannot be this part: *, or a list of numbers and ranges, each with or without
// a repetition.
func (f field) check(text string) error {
	for item := range strings.SplitSeq(text, ",") {
		item, every, repeats := strings.Cut(item, "/")
		if repeats {
			if n, err := strconv.ParseFloat(every, 64); err != nil || n <= 0 {
				return fmt.Errorf("%q is no repetition of the %s", every, f.name)
			}
		}
		if item == "*" {
			continue
		}
		for number := range strings.SplitSeq(item, "..") {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil || strings.ContainsAny(number, "eExXpP+_") {
				return fmt.Errorf("%q is no %s", number, f.name)
			}
			if n < f.least || n > f.most {
				return fmt.Errorf("the %s %s is not within %g and %g", f.name, number, f.least, f.most)
			}
		}
	}
	return nil
}
