package api

import (
	"encoding/json"
	"testing"
)

// TestNothingServedIsTold: a member that shows no certificate at either port is told from one that nobody has looked
// at, on the way to the provider too.
func TestNothingServedIsTold(t *testing.T) {
	for _, looked := range []bool{true, false} {
		var sent, got Observation
		if looked {
			sent.Served = map[string]Served{}
		}
		text, err := json.Marshal(sent)
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || (got.Served != nil) != looked {
			t.Errorf("looked: %v: %v, %v", looked, got.Served, err)
		}
	}
}
