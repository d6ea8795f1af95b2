package load

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

const fillValue = 64 << 10 // bytes

// Fill puts so many megabytes (of 2^20 bytes) of data, in values of 64 KiB, as fast as a bounded number of puts
// under way allows, and returns when they are acknowledged: all of them, or it is an error. Of config it
// takes where the cluster is, Prefix, InFlight and Timeout (0: a minute, since nothing is measured here); the data can
// be read back with Report.Verify.
func Fill(ctx context.Context, command Command, config Config, megabytes int) (*Report, error) {
	if megabytes < 1 {
		return nil, fmt.Errorf("load: fill with %d MB", megabytes)
	}
	run, err := Start(ctx, command, Config{
		Endpoints: config.Endpoints, CACert: config.CACert, Cert: config.Cert, Key: config.Key,
		Prefix: config.Prefix, InFlight: config.InFlight, Timeout: cmp.Or(config.Timeout, time.Minute),
		Modes: []Mode{Balanced}, Count: megabytes << 20 / fillValue, ValueBytes: fillValue,
	})
	if err != nil {
		return nil, err
	}
	if err := run.Wait(ctx); err != nil {
		run.process.kill()
		return nil, err
	}
	report, err := run.Stop(ctx)
	if err != nil {
		return nil, err
	}
	if got := len(ends(report.Puts)); got < report.Config.Count {
		return report, fmt.Errorf("fill with %d MB: %d of %d puts were acknowledged\n%s", megabytes, got, report.Config.Count, report)
	}
	return report, nil
}
