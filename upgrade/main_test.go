package upgrade_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain has the properties draw the same cases in every run, so that a run tells of the change that it is
// run for. make soak draws others each time, and many more.
//
//	go test ./upgrade -run TestChangeConverges -rapid.checks 5000 -rapid.seed $RANDOM -timeout 1h
func TestMain(m *testing.M) {
	flag.Parse()
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == seed.DefValue {
		if err := seed.Value.Set("1"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}
