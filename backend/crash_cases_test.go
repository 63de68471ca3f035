package backend_test

import (
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/zohosim"
)

func crashesOfOperators() []crashCase {
	return []crashCase{
		{name: "config write", do: func(w *world) error {
			_, err := w.engine.WriteConfig(w.t.Context(), settings.ConfigChange{MinTTL: ptr(time.Minute)})
			return err
		}},
		{name: "role write", do: func(w *world) error {
			_, err := w.write("books", settings.RoleChange{RefreshToken: &w.refreshToken, Verify: ptr(false)})
			return err
		}},
		{name: "role replaced", do: func(w *world) error {
			_, err := w.write("crm-sync", settings.RoleChange{RefreshToken: ptr(w.consent()), Verify: ptr(false)})
			return err
		}},
		{name: "role write with verify", do: func(w *world) error {
			_, err := w.write("crm-sync", settings.RoleChange{RefreshToken: ptr(w.consent())})
			return err
		}},
		{name: "exclusive role write with verify", do: func(w *world) error {
			_, err := w.write("own", settings.RoleChange{RefreshToken: ptr(w.consent()), Exclusive: ptr(true)})
			return err
		}},
		{name: "role deleted", do: func(w *world) error { _, err := w.engine.DeleteRole(w.t.Context(), "crm-sync"); return err }},
		{name: "rotate", do: func(w *world) error { _, err := w.rotate("crm-sync"); return err }, ends: 1},
	}
}

func crashesOfReaders() []crashCase {
	return []crashCase{
		{name: "warm read", do: readAgain},
		{name: "crowd of reads", do: readInACrowd},
		{name: "cold read", prepare: func(w *world) { w.clock.Advance(51 * time.Minute) }, do: readAgain},
		{name: "exclusive read", prepare: func(w *world) {
			w.writeRole("crm-sync", settings.RoleChange{Exclusive: ptr(true)})
		}, do: readAgain},
		{name: "client_credentials cold read", prepare: func(w *world) {
			w.robot("reader", "ZohoCRM.modules.READ")
			w.robot("writer", "ZohoCRM.modules.ALL")
			w.leases = append(w.leases, w.read("writer"))
		}, do: func(w *world) error { return readOf(w, "reader") }},
		{name: "failed mint", prepare: func(w *world) {
			w.clock.Advance(51 * time.Minute)
			w.sim.Fault(zohosim.EndpointToken, zohosim.Fault{Kind: zohosim.FaultHTML500, Count: 1})
		}, do: readAgain},
		{name: "revocation of one of two", prepare: func(w *world) { w.leases = append(w.leases, w.read("crm-sync")) }, do: revokeFirst, ends: 1},
		{name: "revocation of the last", do: revokeFirst, ends: 1},
	}
}

func crashesOfTick() []crashCase {
	return []crashCase{
		{name: "tick that mints ahead", prepare: func(w *world) { w.clock.Advance(40 * time.Minute) }, do: tickOnce},
		{name: "tick that sweeps", prepare: func(w *world) { w.clock.Advance(2 * time.Hour) }, do: tickOnce, ends: 1},
		{name: "tick that goes on revoking", prepare: func(w *world) {
			w.sim.SetDown(true)
			require.Error(w.t, w.release(w.leases[0]))
			w.sim.SetDown(false)
		}, do: tickOnce, ends: 1},
		{name: "tick that ends a kept token", prepare: func(w *world) {
			w.keepFor("crm-sync", delay)
			require.NoError(w.t, w.release(w.leases[0]))
			w.clock.Advance(delay)
		}, do: tickOnce, ends: 1},
		{name: "revocation that keeps the token", prepare: func(w *world) { w.keepFor("crm-sync", delay) }, do: revokeFirst, ends: 1},
		{name: "read of a kept token", prepare: func(w *world) {
			w.keepFor("crm-sync", delay)
			require.NoError(w.t, w.release(w.leases[0]))
		}, do: readAgain, ends: 1},
		{name: "tick that retires", prepare: func(w *world) {
			w.reauthorize()
			require.NoError(w.t, w.release(w.leases[0]))
		}, do: tickOnce, ends: 1, exchanges: true},
	}
}

func crashesOfAuthorizations() []crashCase {
	return []crashCase{
		{name: "role write with a code", do: func(w *world) error { _, err := w.writeCode("crm-sync", w.code()); return err }, exchanges: true},
		{name: "new role with a code", do: func(w *world) error { _, err := w.writeCode("books", w.code()); return err }, exchanges: true},
		{name: "consent completed", prepare: func(w *world) { (&consentWorld{world: w}).addDesk() }, do: consentToDesk, exchanges: true},
		{name: "consent given again", prepare: func(w *world) {
			(&consentWorld{world: w}).addDesk()
			require.NoError(w.t, consentToDesk(w))
			w.leases = append(w.leases, w.read("desk"))
		}, do: consentToDesk, exchanges: true},
		{name: "deauthorize", do: func(w *world) error {
			if w.refreshTokenOf("crm-sync") == "" {
				return nil // done before the crash
			}
			_, err := w.deauthorize("crm-sync", false)
			return err
		}, ends: 1, exchanges: true},
	}
}

func consentToDesk(w *world) error {
	desk := &consentWorld{world: w}
	begun, err := w.engine.Authorize(w.t.Context(), "desk")
	if err != nil {
		return err
	}
	_, err = desk.complete(desk.decide(begun.URL, "accept"))
	return err
}

func readAgain(w *world) error { return readOf(w, "crm-sync") }

func readOf(w *world, role string) error {
	issued, err := w.engine.Issue(w.t.Context(), role, backend.Reader{})
	if err == nil {
		w.leases = append(w.leases, issued)
	}
	return err
}

// readInACrowd reads until one fails, without a pause for the ledger's writes.
func readInACrowd(w *world) error {
	w.pauses.lasting(true)
	defer w.pauses.lasting(false)
	for range 8 {
		if err := readAgain(w); err != nil {
			return err
		}
	}
	return nil
}

func revokeFirst(w *world) error { return w.release(w.leases[0]) }

func tickOnce(w *world) error {
	err := w.engine.Tick(w.t.Context(), notTainted)
	w.settle()
	return err
}
