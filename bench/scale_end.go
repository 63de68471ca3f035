//go:build unix

package main

import (
	"context"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

// restart measures how long readers wait for a server that comes back.
func (f *filled) restart(ctx context.Context) error {
	if err := f.server.Stop(); err != nil {
		return err
	}
	start := time.Now()
	if err := f.server.Restart(ctx); err != nil {
		return err
	}
	f.table.add("restart: Vault is active after", seconds(time.Since(start)))
	if err := f.creds(roleName)(ctx, 0); err != nil {
		return err
	}
	f.table.add("restart: the first read is answered after", seconds(time.Since(start)))
	memory, err := f.memory()
	if err != nil {
		return err
	}
	f.table.add("plugin's memory after that read", memory)
	if err := f.timed(ctx, "first read of the one token after that", func(ctx context.Context) error { return f.creds(one)(ctx, 0) }); err != nil {
		return err
	}
	if err := f.timed(ctx, "first list of `tokens/` after that", f.list("zoho/tokens")); err != nil {
		return err
	}
	if err := f.timed(ctx, "first list of `roles/` after that", f.list("zoho/roles")); err != nil {
		return err
	}
	if memory, err = f.memory(); err != nil {
		return err
	}
	f.table.add("plugin's memory, with everything loaded", memory)
	return nil
}

// revoke measures mass revocation: of one role's leases in one request, which
// Vault does one lease after the other, and of all other roles' leases.
func (f *filled) revoke(ctx context.Context) error {
	prefix := func(role func(int) string) func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			_, err := f.client.Logical().WriteWithContext(ctx, "sys/leases/revoke-prefix/zoho/creds/"+role(i), map[string]any{"sync": true})
			return err
		}
	}
	for _, m := range []struct {
		what     string
		requests int
		do       func(context.Context, int) error
	}{
		{"the leases on the one token, in 1 request", 1, prefix(one)},
		{fmt.Sprintf("the leases of the 100 roles, in %d requests, %d at once", inUse, writersAtOnce), inUse, prefix(roleName)},
	} {
		asked := f.revocations()
		revoked, err := each(ctx, writersAtOnce, m.requests, m.do)
		if err != nil {
			return err
		}
		f.table.add("revoke "+m.what, seconds(revoked.took))
		f.table.add("calls to Zoho for that", count(f.revocations()-asked))
	}
	keys, err := f.keys(ctx, "zoho/tokens")
	if err == nil && len(keys) > 0 {
		err = fmt.Errorf("%d tokens are left after all leases were revoked", len(keys))
	}
	return err
}

func (f *filled) revocations() int {
	return f.sim.Count(zohosim.EndpointRevoke) + f.sim.Count(zohosim.EndpointLegacyRevoke)
}
