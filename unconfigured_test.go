package zohosecrets

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// urlOf is a path's URL for a name.
func urlOf(path *framework.Path, name string) string {
	named := regexp.MustCompile(`\(\?P<\w+>[^)]+\)`).ReplaceAllLiteralString(path.Pattern, name)
	if named == path.Pattern { // what the name holds is none of ours
		return strings.NewReplacer("^", "", "$", "", "/?", "/").Replace(named)
	}
	return strings.TrimSuffix(strings.TrimPrefix(named, "^"), "$")
}

// everyRequest calls try with each operation on each path, with odd data, odd
// names, and the requests that Vault itself makes.
func everyRequest(b *zohoBackend, try func(*logical.Request)) {
	names := append(oddNames(), "crm-sync", "", "a/b", "../config")
	datas := []map[string]any{
		nil, {}, goodConfig(), goodRole(), {"name": nil}, {"name": []any{"x"}}, {"name": 1.5}, {"": ""}, {"no such field": "x"},
		{"client_secret": nil}, {"refresh_token": map[string]any{}}, goodCode(), goodClientCredentials(), {"code": nil}, {"code": []any{}, "scopes": 1},
		{"force": "perhaps"}, {"force": nil}, {"state": "x", "code": "x"}, {"state": []any{"x", "x"}}, {"state": nil, "error": nil, "accounts-server": nil},
		{"token": []any{}}, {"token": "x"}, {"after": 1, "limit": -1}, {"limit": "many"}, {"min_ttl": "-1"}, {"ttl": nil, "min_ttl": nil}, {"token_id": 1},
		{"request_budget": strings.Repeat("9", 1<<20)}, {"data_center": struct{}{}},
	}
	secrets := []*logical.Secret{
		nil, {}, {InternalData: map[string]any{}}, {InternalData: map[string]any{"secret_type": 7}},
		{InternalData: map[string]any{"secret_type": secretTypeAccessToken}},
		{InternalData: map[string]any{"secret_type": secretTypeAccessToken, "token_id": 1, "holder_id": nil, "expires_at": []any{}}},
		{InternalData: map[string]any{"secret_type": secretTypeAccessToken, "token_id": "../config", "holder_id": "h", "expires_at": "2126-11-21T09:00:00Z"}},
	}
	odd := []string{"", "/", "no/such/path", "creds", "roles", "config/", "\x00"}
	for _, op := range operations() {
		for _, path := range b.Paths {
			url := urlOf(path, "crm-sync")
			for _, data := range datas {
				try(&logical.Request{Operation: op, Path: url, Data: data})
			}
			for _, secret := range secrets {
				try(&logical.Request{Operation: op, Path: url, Secret: secret})
			}
			for _, name := range names {
				odd = append(odd, urlOf(path, name))
			}
		}
		for _, url := range odd {
			try(&logical.Request{Operation: op, Path: url})
			try(&logical.Request{Operation: op, Path: url, Data: goodRole()})
		}
		odd = nil
	}
}

func TestUnconfigured_EveryOperationAnswersWithoutPanic(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	everyRequest(m.inner, func(req *logical.Request) {
		// Past HandleRequest of the mount, which would hide a panic.
		resp, err := m.inner.Backend.HandleRequest(t.Context(), req)
		got := answered(req, resp, err)
		require.NotContains(t, got.text, "internal error", "%s %s %v", req.Operation, req.Path, req.Data)
		switch req.Operation {
		case logical.CreateOperation, logical.UpdateOperation:
			_, _, _ = m.inner.Backend.HandleExistenceCheck(t.Context(), req)
		case logical.RevokeOperation, logical.RenewOperation, logical.RollbackOperation, logical.RotationOperation:
		default:
			require.NotEqual(t, 500, got.status, "%s %s %v: %s", req.Operation, req.Path, req.Data, got)
		}
	})
}

func TestUnconfigured_ReadsTellThatThereIsNothing(t *testing.T) {
	t.Parallel()
	m := newMount(t)
	for _, path := range []string{"config", "roles/crm-sync"} {
		require.Equal(t, 404, m.read(path).status)
		m.delete(path).done(t)
	}
	require.Equal(t, 404, m.list("roles/").status)
	for what, got := range map[string]answer{
		"creds": m.read("creds/crm-sync"), "status": m.read("roles/crm-sync/status"), "authorize": m.write("roles/crm-sync/authorize", nil),
		"deauthorize": m.write("roles/crm-sync/deauthorize", nil), "rotate": m.write("roles/crm-sync/rotate", nil),
	} {
		m.requireRefused(got, map[string]string{}, what, `role "crm-sync" does not exist`, "roles/crm-sync", "refresh_token=", "code=", "scopes=")
	}
	m.requireRefused(m.write("roles/crm-sync", fields{"refresh_token": "1000.refresh.token"}), map[string]string{}, "role",
		"write client_id and client_secret to it, or to this mount's config")
	m.requireRefused(m.write("roles/crm-sync", nil), map[string]string{}, "role", "write refresh_token", "or code", "or scopes", "grant_type=client_credentials")
	for what, role := range map[string]fields{
		"a code": {"code": "1000.g.c"}, "scopes": {"scopes": "ZohoCRM.modules.ALL"},
		"an organisation": {"grant_type": "client_credentials", "scopes": "ZohoCRM.modules.ALL"},
	} {
		m.requireRefused(m.write("roles/crm-sync", role), map[string]string{}, what, "write client_id and client_secret to it, or to this mount's config")
	}
	m.write("config", nil).done(t)
	require.Empty(t, m.read("config").Data["data_center"], "none is chosen by silence")
}

func TestFactory_WorksWithoutStorageAsVaultCallsItToRegisterThePlugin(t *testing.T) {
	t.Parallel()
	_, err := Factory(t.Context(), nil)
	require.Error(t, err)

	b, err := Factory(t.Context(), &logical.BackendConfig{})
	require.NoError(t, err)
	defer b.Cleanup(context.Background())
	require.Equal(t, logical.TypeLogical, b.Type())
	require.Equal(t, Version, vault{t, b}.version())
	require.NotEmpty(t, b.SpecialPaths().SealWrapStorage)
	b.InvalidateKey(t.Context(), "config")
	inner, ok := b.(*zohoBackend)
	require.True(t, ok)
	everyRequest(inner, func(req *logical.Request) {
		require.NotPanics(t, func() { _, _ = b.HandleRequest(t.Context(), req) })
	})
}

// brokenStorage stands for any mistake in a handler.
type brokenStorage struct{ logical.Storage }

func (s brokenStorage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	if key == "salt" { // which is read before any handler runs
		return s.Storage.Get(ctx, key)
	}
	panic("nobody may see this: hunter2")
}

func (brokenStorage) List(context.Context, string) ([]string, error) {
	panic("nobody may see this: hunter2")
}

func newBrokenMount(t *testing.T) vault {
	t.Helper()
	b, err := Factory(t.Context(), &logical.BackendConfig{StorageView: brokenStorage{&logical.InmemStorage{}}, System: logical.TestSystemView()})
	require.NoError(t, err)
	t.Cleanup(func() { b.Cleanup(context.Background()) })
	return vault{t, b}
}

func TestPanic_InARequestIsA500AndLeavesTheMountUsable(t *testing.T) {
	t.Parallel()
	v := newBrokenMount(t)
	for what, got := range map[string]answer{
		"config": v.read("config"), "role": v.read("roles/crm-sync"), "creds": v.read("creds/crm-sync"),
		"status": v.read("roles/crm-sync/status"), "authorize": v.write("roles/crm-sync/authorize", nil),
		"deauthorize": v.write("roles/crm-sync/deauthorize", nil), "rotate": v.write("roles/crm-sync/rotate", nil),
		"token": v.read("tokens/x"), "delete token": v.delete("tokens/x"), "lookup": v.write("tokens/lookup", fields{"token": "x"}),
		"delete role":  v.delete("roles/crm-sync"),
		"patch config": v.patch("config", goodConfig()), "patch role": v.patch("roles/crm-sync", goodCode()),
	} {
		require.Equal(t, 500, got.status, what)
		require.Contains(t, got.text, "server log", what)
		require.NotContains(t, got.text, "hunter2", what)
	}
	page := v.callback(fields{"state": unknownState, "code": "x"}) // a person gets a page, whatever fails
	require.Equal(t, 500, page.status)
	require.Contains(t, page.body, "server log")
	require.NotContains(t, page.body, "hunter2")
	v.read("info").done(t)
}

func TestPanic_InAnExistenceCheckIsAnErrorToo(t *testing.T) {
	t.Parallel()
	v := newBrokenMount(t)
	require.NotPanics(t, func() { require.Equal(t, 500, v.write("config", goodConfig()).status) })
}

// brokenDisk fails every operation.
type brokenDisk struct{ logical.Storage }

var errDisk = errors.New("disk on fire")

func (brokenDisk) Get(context.Context, string) (*logical.StorageEntry, error) { return nil, errDisk }
func (brokenDisk) List(context.Context, string) ([]string, error)             { return nil, errDisk }
func (brokenDisk) Put(context.Context, *logical.StorageEntry) error           { return errDisk }
func (brokenDisk) Delete(context.Context, string) error                       { return errDisk }

func TestStorage_AFailureIsAnErrorOfEveryOperationAndNeverSilence(t *testing.T) {
	t.Parallel()
	b, err := Factory(t.Context(), &logical.BackendConfig{StorageView: brokenDisk{}, System: logical.TestSystemView()})
	require.NoError(t, err)
	t.Cleanup(func() { b.Cleanup(context.Background()) })
	v := vault{t, b}
	for what, got := range map[string]answer{
		"read config": v.read("config"), "write config": v.write("config", goodConfig()), "delete config": v.delete("config"),
		"read role": v.read("roles/crm-sync"), "write role": v.write("roles/crm-sync", goodRole()), "patch role": v.patch("roles/crm-sync", goodRole()),
		"delete role": v.delete("roles/crm-sync"), "list roles": v.list("roles/"), "creds": v.read("creds/crm-sync"),
		"write code": v.write("roles/crm-sync", goodCode()), "status": v.read("roles/crm-sync/status"), "authorize": v.write("roles/crm-sync/authorize", nil),
		"deauthorize": v.write("roles/crm-sync/deauthorize", nil), "rotate": v.write("roles/crm-sync/rotate", nil),
		"tokens": v.list("tokens/"), "token": v.read("tokens/x"), "delete token": v.delete("tokens/x"), "lookup": v.write("tokens/lookup", fields{"token": "x"}),
	} {
		require.Equal(t, 500, got.status, what)
		require.Contains(t, got.text, errDisk.Error(), what)
	}
	// A browser gets a page, which says nothing of the disk.
	page := v.send("read", "callback", fields{"state": unknownState, "code": "x"})
	require.Equal(t, 500, page.Data[logical.HTTPStatusCode])
	require.ErrorIs(t, v.tick(), errDisk)
}
