//go:build unix

package main

import (
	"context"
	"time"
)

// mintWait is what a read takes that has to wait for a mint, of one reader alone.
type mintWait struct {
	beyond time.Duration // the median, without Zoho's answer and what every read takes
	write  time.Duration // the median of one write to storage
}

// writes is how many writes the reader waits for.
func (w mintWait) writes() float64 { return w.beyond.Seconds() / w.write.Seconds() }

// waitForMints lets reads that mint take turns with reads of the floor. The difference
// between both floors is a write.
func (c *comparison) waitForMints(ctx context.Context) error {
	const zohoTakes, turns = 100 * time.Millisecond, 25
	var times [compared][]time.Duration
	for range turns {
		if err := c.write(ctx, "sys/leases/revoke-prefix/zoho/creds/"+shared, map[string]any{"sync": true}); err != nil {
			return err
		}
		c.sim.SetLatency(zohoTakes)
		for which := range compared {
			read, err := each(ctx, 1, 1, c.lease(which, 1, &leases{}))
			if err != nil {
				return err
			}
			times[which] = append(times[which], read.took)
		}
		c.sim.SetLatency(0)
	}
	least := quantile(times[floor], 50)
	c.mint = mintWait{beyond: quantile(times[engine], 50) - zohoTakes - least, write: quantile(times[withWrite], 50) - least}
	return nil
}
