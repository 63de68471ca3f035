package backend_test

import (
	"slices"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
)

// records are the records of refresh tokens that are stored and whole, by their key.
func (w *world) records() map[string]*refreshtoken.Record {
	w.t.Helper()
	all := make(map[string]*refreshtoken.Record)
	for _, key := range w.keys("refresh-tokens/") {
		entry, err := w.storage.Storage.Get(w.t.Context(), key)
		require.NoError(w.t, err)
		if entry == nil {
			continue
		}
		if r, err := refreshtoken.Decode(entry.Value, w.now()); err == nil {
			all[key] = r
		}
	}
	return all
}

func (w *world) recordsWhere(match func(*refreshtoken.Record) bool) (keys []string) {
	w.t.Helper()
	for key, r := range w.records() {
		if match(r) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// unwanted lists the refresh tokens that wait to be revoked, or are being revoked.
func (w *world) unwanted() []string {
	w.t.Helper()
	return w.recordsWhere(func(r *refreshtoken.Record) bool { return r.IsEnding() || len(r.Roles) == 0 && r.Revoke })
}

// counted lists the refresh tokens that count for their client.
func (w *world) counted() []string {
	w.t.Helper()
	return w.recordsWhere((*refreshtoken.Record).CountsForClient)
}

// entered lists the roles that records of refresh tokens name.
func (w *world) entered() (names []string) {
	w.t.Helper()
	for _, r := range w.records() {
		names = append(names, r.Roles...)
	}
	slices.Sort(names)
	return names
}
