//go:build unix

package main

import (
	"fmt"
	"os"
	"strings"
)

// lines are those of the table, in its order.
func (c *comparison) lines() []*figures {
	return append(append(append([]*figures{}, c.warm...), c.cold), c.revoked...)
}

// markdown is what the part has found.
func (c *comparison) markdown() string {
	var b strings.Builder
	b.WriteString("| | clients × roles | floor | floor with a write | engine | engine / floor | engine / floor with a write | median time (ms): floor, with a write, engine | 99th percentile (ms): the same |\n")
	b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, f := range c.lines() {
		fmt.Fprintf(&b, "| %s | %d × %d |", f.what, f.clients, f.roles)
		for which := range compared {
			fmt.Fprintf(&b, " %.0f |", quantile(f.rates[which], 50))
		}
		fmt.Fprintf(&b, " %.2f | %.2f |", f.ratio(floor), f.ratio(withWrite))
		for _, hundredths := range []int{50, 99} {
			var millis []string
			for which := range compared {
				millis = append(millis, fmt.Sprintf("%.1f", quantile(f.times[which], hundredths).Seconds()*1000))
			}
			fmt.Fprintf(&b, " %s |", strings.Join(millis, ", "))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nEach of the three had %d turns of %s in each line of reads, and %d in that of the cold ones.\n", c.rounds, c.slice, len(c.cold.rates[engine]))
	fmt.Fprintf(&b, "\nA read that has to wait for a mint takes, besides Zoho's answer and what the floor takes, as long as %.1f writes one after the other.\n\nThe token server gives %d callers %.0f times as many tokens per second as the engine gives %d readers.\n",
		c.mint.writes(), callers, quantile(c.gain, 50), callers)
	return b.String()
}

// tellGoals says which goals were reached.
func (c *comparison) tellGoals() {
	for _, f := range c.lines() {
		if f.goal == 0 {
			continue
		}
		verdict := "reached"
		if f.ratio(f.beside) < f.goal {
			verdict = "MISSED"
		}
		fmt.Fprintf(os.Stderr, "%-24s %.2f of the %-18s goal %.2f   %s\n", f.name(), f.ratio(f.beside), floorNames()[f.beside], f.goal, verdict)
	}
}

func floorNames() [compared]string { return [compared]string{"floor", "floor with a write", "engine"} }

// ratios are those that the history keeps.
func (c *comparison) ratios() []ratio {
	var all []ratio
	for _, f := range c.lines() {
		all = append(all, ratio{fmt.Sprintf("%s, of the %s", f.name(), floorNames()[f.beside]), f.ratio(f.beside)})
	}
	return append(all, ratio{"wait for a mint, in writes", c.mint.writes()}, ratio{fmt.Sprintf("token server, of the engine: %d", callers), quantile(c.gain, 50)})
}
