package main

import (
	"flag"
	"fmt"

	"vault-plugin-secrets-zoho/zohosim"
)

// limitFlags are those of the limits that only some of Zoho's pages name.
func limitFlags(flags *flag.FlagSet, s *settings) {
	o := &s.options
	flags.BoolVar(&o.Throttle.PerClient, "throttle-per-client", false, "count all token requests of a client together")
	flags.BoolVar(&o.RefreshTokensPerUser, "refresh-tokens-per-user", false, "count a user's twenty refresh tokens over all clients")
	flags.BoolVar(&o.RefuseExcessRefreshTokens, "refuse-excess", false, "refuse the 21st refresh token instead of killing the oldest")
	flags.IntVar(&o.RefreshTokensPerMinute, "refresh-tokens-per-minute", 0, "most refresh tokens of a user in a minute; 0: any `number`")
	flags.IntVar(&o.RefreshTokensPerTenMinutes, "refresh-tokens-per-ten-minutes", 0, "most refresh tokens of a client in ten minutes; 0: any `number`")
	flags.IntVar(&o.CodesPerMinute, "codes-per-minute", 0, "most grant codes in a minute, before ten minutes of block; 0: any `number`")
	flags.BoolVar(&s.hardest, "hardest", false, "set every limit to the hardest that a page of Zoho names; not to be\ncombined with a flag for one of them")
}

// takeHardest keeps the flags that are no limits.
func (s *settings) takeHardest(flags *flag.FlagSet) error {
	limits := flag.NewFlagSet("limits", flag.ContinueOnError)
	limitFlags(limits, &settings{})
	var combined error
	flags.Visit(func(set *flag.Flag) {
		if set.Name != "hardest" && limits.Lookup(set.Name) != nil {
			combined = fmt.Errorf("-%s: -hardest sets that already", set.Name)
		}
	})
	hardest := zohosim.Hardest()
	hardest.TokenLife, hardest.Latency, hardest.RealDomains = s.options.TokenLife, s.options.Latency, s.options.RealDomains
	hardest.Throttle.Block = s.options.Throttle.Block
	s.options = hardest
	return combined
}
