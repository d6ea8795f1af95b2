package backups

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// TestWhatFailsBesidesACutOffRun holds that the end of a lease hides nothing else that has failed.
func TestWhatFailsBesidesACutOffRun(t *testing.T) {
	denied := errors.New("access denied")
	late := fmt.Errorf("list: %w", context.Canceled)
	lost := fmt.Errorf("sweep: %w", errSlotLost)
	for name, test := range map[string]struct {
		err  error
		says string // empty: nothing is left
	}{
		"nothing":                      {},
		"the lease alone":              {err: errSlotLost},
		"what it has cut short":        {err: errors.Join(late, fmt.Errorf("at s3: %w", errors.Join(lost, late)))},
		"one that two things have cut": {err: fmt.Errorf("delete x: %w: %w", errors.New("request"), context.Canceled)},
		"another beside it":            {err: errors.Join(late, denied), says: "access denied"},
		"another far below":            {err: errors.Join(lost, fmt.Errorf("at s3: %w", errors.Join(denied, late))), says: "at s3: access denied\nlist: context canceled"},
		"another alone":                {err: denied, says: "access denied"},
	} {
		t.Run(name, func(t *testing.T) {
			switch left := besidesCutOff(test.err); {
			case (left == nil) != (test.says == ""):
				t.Errorf("left is %v", left)
			case left != nil && (left.Error() != test.says || !errors.Is(left, denied)):
				t.Errorf("left is %q", left)
			}
		})
	}
}
