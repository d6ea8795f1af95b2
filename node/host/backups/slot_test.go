package backups

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// TestABusyClusterIsAskedAgain: a request that the members have not agreed on in etcd's own time is repeated, for two
// minutes, and any other failure is told at once.
func TestABusyClusterIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		busyFor := func(times int, then error) func(context.Context) error {
			tries = 0
			return func(context.Context) error {
				time.Sleep(7 * time.Second) // etcd's own time
				if tries++; tries <= times {
					return fmt.Errorf("put: %w", []error{rpctypes.ErrTimeout, rpctypes.ErrLeaderChanged}[tries%2])
				}
				return then
			}
		}
		if err := persist(t.Context(), busyFor(9, nil)); err != nil || tries != 10 {
			t.Errorf("after %d tries: %v", tries, err)
		}
		if err := persist(t.Context(), busyFor(2, rpctypes.ErrNoSpace)); !errors.Is(err, rpctypes.ErrNoSpace) || tries != 3 {
			t.Errorf("after %d tries: %v", tries, err)
		}
		began := time.Now()
		if err := persist(t.Context(), busyFor(1000, nil)); err == nil || time.Since(began) < slotTimeout || time.Since(began) > slotTimeout+time.Minute {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
