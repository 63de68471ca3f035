package refreshtoken_test

import (
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
)

func TestRecord_IsDecodedAsItWasEncoded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		for _, event := range rapid.SliceOfN(rapid.Uint64(), 20, 60).Draw(t, "events") {
			w.event(&digits{event})
		}
		for id, stored := range w.records {
			r, err := refreshtoken.Decode(stored, w.clock())
			if err != nil {
				require.True(t, w.damaged[id])
				continue
			}
			require.Equal(t, string(stored), encoded(r))
		}
	})
}

func TestRecord_CannotBePrinted(t *testing.T) {
	t.Parallel()
	r := given(t, nil, "crm", "at-1")
	r.RefreshToken, r.ClientSecret = entering("crm", "1000.refresh-token", goodClient, start).RefreshToken, entering("crm", "", goodClient, start).ClientSecret
	asJSON, err := json.Marshal(r)
	require.NoError(t, err)
	for _, printed := range []string{fmt.Sprint(r), fmt.Sprintf("%v %+v %#v", *r, *r, *r), fmt.Sprintf("%+v", r.Credential), string(asJSON)} {
		require.NotContains(t, printed, "1000.refresh-token")
		require.NotContains(t, printed, "secret-of")
	}
	require.Contains(t, encoded(r), "1000.refresh-token", "storage has it, once")
	require.Equal(t, 1, strings.Count(encoded(r), "1000.refresh-token"))
}

// A record of a hot refresh token: ten tokens live, and the budget is used up.
func TestRecord_TakesAFewKilobytes(t *testing.T) {
	t.Parallel()
	r := entered(t, nil, "crm", goodClient)
	for i := range 60 {
		at := start.Add(time.Duration(i) * time.Minute)
		r = mintedFor(t, r, "crm", goodClient, fmt.Sprintf("%032d", i), at)
		if i%6 != 0 {
			r = change(t, r, refreshtoken.Release(id, fmt.Sprintf("%032d", i)))
		}
	}
	require.Len(t, r.Quota.Live(start.Add(time.Hour-time.Second)), 10)
	require.Less(t, len(encoded(r)), 3<<10)
	t.Logf("%d bytes, %d of them for %d requests", len(encoded(r)), len(encoded(r))-len(encoded(entered(t, nil, "crm", goodClient))), len(r.Quota.Requests))

	for i := range refreshtoken.MaxRoles - 1 {
		r = entered(t, r, fmt.Sprintf("%0128d", i), goodClient)
	}
	require.Less(t, len(encoded(r)), 140<<10, "a thousand roles with the longest names")
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"u":"https://accounts.zoho.eu","o":"hand","t":"token","r":["a","b"],"q":{"r":[{"a":1,"l":2}]},"g":{"x":{"f":{"a":"2026-01-01T00:00:00Z"}}}}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"u":"x","o":"code","v":true,"t":"t","e":{"a":"2026-01-01T00:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		r, err := refreshtoken.Decode(stored, start)
		if err != nil {
			require.Equal(t, refreshtoken.ErrDamaged, err, "and nothing of what it read")
			return
		}
		again, err := refreshtoken.Decode([]byte(encoded(r)), start)
		require.NoError(t, err)
		require.Equal(t, encoded(r), encoded(again))
	})
}

func TestDecode_WhatCannotHaveBeenWrittenIsDamaged(t *testing.T) {
	t.Parallel()
	good := encoded(given(t, nil, "crm", "at-1"))
	_, err := refreshtoken.Decode([]byte(good), start)
	require.NoError(t, err)
	for what, bad := range map[string]string{
		"cut off":                       good[:len(good)/2],
		"empty":                         "",
		"null":                          "null",
		"no server":                     strings.Replace(good, `"u":"https://accounts.zoho.eu"`, `"u":""`, 1),
		"no refresh token":              strings.Replace(good, `"t":"H"`, `"t":""`, 1),
		"an unknown origin":             strings.Replace(good, `"o":"consent"`, `"o":"gift"`, 1),
		"Zoho's, and not to be revoked": strings.Replace(good, `"v":true`, `"v":false`, 1),
		"roles in disorder":             strings.Replace(good, `"r":["crm"]`, `"r":["crm","books"]`, 1),
	} {
		_, err := refreshtoken.Decode([]byte(bad), start)
		require.ErrorIs(t, err, refreshtoken.ErrDamaged, what)
	}
}

// Where a record is stored between any two decisions, package quota decides as it would
// without: requests, room for tokens and silence.
func TestQuota_IsDecidedTheSameThroughTheRecord(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r, now := mustEnter("crm"), start
		var plain quota.Record
		for i := range rapid.IntRange(1, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "seconds")) * time.Second)
			decision := plain.Request(now, limits)
			require.Equal(t, decision.Verdict, r.Quota.Request(now, limits).Verdict)
			require.WithinDuration(t, decision.Until, r.Quota.Request(now, limits).Until, time.Millisecond)
			if decision.Verdict != quota.Go {
				continue
			}
			r = apply(t, r, refreshtoken.Mint(id, refreshtoken.Sending{Role: "crm", Sent: quota.Request{At: now}, Limits: limits})[0].Change)
			plain.Count(quota.Request{At: now}, limits)
			token := fmt.Sprintf("at-%d", i)
			switch rapid.IntRange(0, 4).Draw(t, "answer") {
			case 0:
				none := rapid.Bool().Draw(t, "certainly none")
				r = apply(t, r, mintFailed(id, refreshtoken.Failed{Failure: refreshtoken.Failure{At: now}, Grant: goodClient, Asked: now, NoToken: none, Limits: limits})[0].Change)
				plain.Failed(now, none)
			case 1:
				r = apply(t, r, mintFailed(id, refreshtoken.Failed{Failure: refreshtoken.Failure{At: now}, Grant: goodClient, Asked: now, NoToken: true, Throttled: true, Limits: limits})[0].Change)
				plain.Failed(now, true)
				plain.Throttled = quota.NewSilence(now, "", "", plain.Throttled, limits)
			default:
				r = apply(t, r, refreshtoken.MintAnswered(id, refreshtoken.Minted{EnteringRole: entering("crm", "H", goodClient, now), TokenID: token, Asked: now, Life: time.Hour, Limits: limits})[1].Change)
				plain.Succeeded(now, token, time.Hour, limits)
				if rapid.Bool().Draw(t, "ended") {
					r = apply(t, r, refreshtoken.Release(id, token)[1].Change)
					plain.Ended(token)
				}
			}
			require.Len(t, r.Quota.Live(now), len(plain.Live(now)))
			held := func(id string) (exists, held bool) { return true, len(id)%2 == 0 }
			require.Equal(t, plain.Room(now, limits, limits.MaxLive, held).End, r.Quota.Room(now, limits, limits.MaxLive, held).End)
		}
	})
}

func mustEnter(role string) *refreshtoken.Record {
	r, err := refreshtoken.Enter(id, entering(role, "H", goodClient, start))[0].Change(nil)
	if err != nil {
		panic(err)
	}
	return r
}

// apply changes a record, and stores and loads it.
func apply(t *rapid.T, was *refreshtoken.Record, change refreshtoken.Change) *refreshtoken.Record {
	after, err := change(was)
	require.NoError(t, err)
	loaded, err := refreshtoken.Decode([]byte(encoded(after)), start)
	require.NoError(t, err)
	for i := range loaded.Quota.Requests { // they were loaded at a time that is not of interest here
		loaded.Quota.Requests[i].Seen = time.Time{}
	}
	return loaded
}

// The package decides, and does nothing: it imports what cannot store, ask or wait.
func TestPackage_ImportsNothingThatStoresAsksOrLocks(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"encoding/json", "errors", "fmt", "maps", "reflect", "slices", "strings", "time", "unicode/utf8",
		"vault-plugin-secrets-zoho/backend/clock", "vault-plugin-secrets-zoho/backend/quota", "vault-plugin-secrets-zoho/backend/secret",
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, imported := range parsed.Imports {
			require.True(t, slices.Contains(allowed, strings.Trim(imported.Path.Value, `"`)), "%s imports %s", file, imported.Path.Value)
		}
	}
}
