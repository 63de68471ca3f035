package zohosecrets

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	gplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/vault/sdk/logical"
	bplugin "github.com/hashicorp/vault/sdk/plugin"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

// remote is a mount on the other side of gRPC, where Vault's mounts are: errors
// lose their Go type there, and numbers and times their types.
type remote struct {
	vault
	clock *zohosim.Clock
	zoho  *simulation
}

func newRemote(t *testing.T) *remote {
	t.Helper()
	clock := zohosim.StoppedClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	r := &remote{clock: clock, zoho: newSimulation(t, clock)}
	clocked := func(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
		b := newClocked(clock, conf.StorageView, conf.Logger)
		return b, b.Setup(ctx, conf)
	}
	client, _ := gplugin.TestPluginGRPCConn(t, false, map[string]gplugin.Plugin{
		"backend": &bplugin.GRPCBackendPlugin{Factory: clocked, Logger: hclog.NewNullLogger()},
	})
	t.Cleanup(func() { _ = client.Close() }) // stops the server, too
	raw, err := client.Dispense("backend")
	require.NoError(t, err)
	backend, ok := raw.(logical.Backend)
	require.True(t, ok)
	system := logical.TestSystemView()
	system.PluginEnvironment = &logical.PluginEnvironment{VaultVersion: "1.21.1"}
	require.NoError(t, backend.Setup(t.Context(), &logical.BackendConfig{
		StorageView: &logical.InmemStorage{}, System: system, Logger: hclog.NewNullLogger(),
	}))
	t.Cleanup(func() { backend.Cleanup(context.Background()) })
	require.NoError(t, backend.Initialize(t.Context(), &logical.InitializationRequest{}))
	r.vault = vault{t, backend}
	r.write("config", r.zoho.config()).done(t)
	r.write("roles/crm-sync", r.zoho.role()).done(t)
	return r
}

// use reads creds and revokes their lease, so that the next read mints.
func (r *remote) use() {
	r.t.Helper()
	require.NoError(r.t, r.revoke("creds/crm-sync", r.read("creds/crm-sync").done(r.t)))
}

func (r *remote) fault(kind zohosim.FaultKind) { r.answers(zohosim.Fault{Kind: kind}) }

func (r *remote) answers(fault zohosim.Fault) { r.zoho.sim.Fault(zohosim.EndpointToken, fault) }

func (r *remote) refuses(word string) {
	r.answers(zohosim.Fault{Kind: zohosim.FaultAnswer, Body: `{"error":"` + word + `"}`})
}

// The table of design.md, "Errors".
func errorRows() map[string]struct {
	arrange func(*remote)
	path    string
	status  int
	says    []string
} {
	type row = struct {
		arrange func(*remote)
		path    string
		status  int
		says    []string
	}
	const creds, dc = "creds/crm-sync", "Check client_id, client_secret and data_center"
	return map[string]row{
		"bad field":               {func(*remote) {}, "creds/-", 400, []string{"use letters, digits"}},
		"unknown role":            {func(*remote) {}, "creds/other", 400, []string{"does not exist", "vault write"}},
		"invalid_code":            {func(r *remote) { r.zoho.sim.Kill(r.zoho.refreshToken) }, creds, 400, []string{"invalid_code", "Get a new one", "authorize"}},
		"invalid_client":          {func(r *remote) { r.refuses("invalid_client") }, creds, 400, []string{"invalid_client", dc}},
		"invalid_client_secret":   {func(r *remote) { r.refuses("invalid_client_secret") }, creds, 400, []string{"invalid_client_secret", dc}},
		"a regenerated secret":    {func(r *remote) { r.zoho.client.RegenerateSecret("us") }, creds, 400, []string{"invalid_client_secret", dc}},
		"invalid_scope":           {func(r *remote) { r.refuses("invalid_scope") }, creds, 400, []string{"invalid_scope", "Compare scopes"}},
		"missing_org_info":        {func(r *remote) { r.refuses("missing_org_info") }, creds, 400, []string{"missing_org_info", "Write soid"}},
		"HTTP 403 without a word": {func(r *remote) { r.answers(zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 403, Body: `{}`}) }, creds, 400, []string{"HTTP 403", dc}},
		"the own budget": {func(r *remote) {
			r.write("config", fields{"request_budget": 2}).done(r.t)
			r.use()
			r.use()
		}, creds, 429, []string{"budget of 2 token requests in 10m0s", "Look for what needs many new tokens", "2026-11-21T09:10:10Z"}},
		"the exclusive cap": {func(r *remote) {
			r.write("config", fields{"max_live_tokens": 1}).done(r.t)
			r.write("roles/crm-sync", fields{"exclusive": true}).done(r.t)
			r.read(creds).done(r.t)
		}, creds, 429, []string{"max_live_tokens", "Revoke leases that are no longer needed", "2026-11-21T10:00:01Z"}},
		"Zoho throttles":      {func(r *remote) { r.fault(zohosim.FaultThrottled) }, creds, 429, []string{"throttles", "so wait", "2026-11-21T09:10:00Z"}},
		"HTTP 429":            {func(r *remote) { r.answers(zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 429}) }, creds, 429, []string{"so wait", "2026-11-21T09:10:00Z"}},
		"a web page":          {func(r *remote) { r.fault(zohosim.FaultHTML500) }, creds, 502, []string{"a web page (HTTP 500)", "check accounts_url and any proxy", "2026-11-21T09:00:04Z"}},
		"a web page with 200": {func(r *remote) { r.answers(zohosim.Fault{Kind: zohosim.FaultAnswer, Body: "\n<!doctype html>"}) }, creds, 502, []string{"a web page (HTTP 200)", "check accounts_url"}},
		"an empty answer":     {func(r *remote) { r.fault(zohosim.FaultEmpty200) }, creds, 502, []string{"an empty answer", "check accounts_url"}},
		"half an answer":      {func(r *remote) { r.fault(zohosim.FaultTruncated) }, creds, 502, []string{"cut off", "check accounts_url"}},
		"a broken connection": {func(r *remote) { r.fault(zohosim.FaultCut) }, creds, 502, []string{"cut off", "check accounts_url"}},
		"too long an answer":  {func(r *remote) { r.answers(zohosim.Fault{Kind: zohosim.FaultAnswer, Body: strings.Repeat(" ", 1<<20)}) }, creds, 502, []string{"64 KiB", "check accounts_url"}},
		"no JSON":             {func(r *remote) { r.answers(zohosim.Fault{Kind: zohosim.FaultAnswer, Body: "ok"}) }, creds, 502, []string{"not JSON", "check accounts_url"}},
		"a redirect": {func(r *remote) {
			r.answers(zohosim.Fault{Kind: zohosim.FaultAnswer, Status: 302, Header: http.Header{"Location": {"https://evil.example/"}}})
		}, creds, 502, []string{"check accounts_url"}},
		"an unknown word": {func(r *remote) { r.refuses("brand_new_error") }, creds, 502, []string{"brand_new_error"}},
		"Zoho is down":    {func(r *remote) { r.zoho.sim.SetDown(true) }, creds, 503, []string{"could not be reached", "Check DNS, proxy, firewall", "2026-11-21T09:00:04Z"}},
		"no answer in time": {func(r *remote) {
			r.write("config", fields{"request_timeout": "1s"}).done(r.t)
			r.fault(zohosim.FaultHang)
		}, creds, 503, []string{"(request_timeout)", "Check DNS, proxy, firewall"}},
	}
}

func TestErrors_ArriveInVaultWithTheirStatusAndWhatToDo(t *testing.T) {
	t.Parallel()
	for name, row := range errorRows() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemote(t)
			row.arrange(r)
			got := r.read(row.path)
			require.Equal(t, row.status, got.status, got)
			for _, part := range row.says {
				require.Contains(t, got.text, part)
			}
			if row.path == "creds/crm-sync" {
				require.Contains(t, got.text, `No access token for role "crm-sync":`)
			}
			if got.Response != nil {
				require.Nil(t, got.Secret, "an error has no lease")
			}
			// Clients try again at once, three times; that must not cost requests.
			asked := len(r.zoho.sim.Requests())
			again := r.read(row.path)
			require.Equal(t, row.status, again.status)
			require.Equal(t, got.text, again.text)
			require.Len(t, r.zoho.sim.Requests(), asked)
		})
	}
}

func TestErrors_OfBadInputArriveAs400AndNeverAs500(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	for path, data := range map[string]fields{
		"config":         {"request_budget": []any{"x"}},
		"roles/crm-sync": {"ttl": "soon"},
		"roles/..":       {"refresh_token": "1000.r.r"},
		"roles/new":      {},
	} {
		require.Equal(t, http.StatusBadRequest, r.write(path, data).status, path)
		require.Equal(t, http.StatusBadRequest, r.patch(path, data).status, path)
	}
	require.Equal(t, http.StatusNotFound, r.read("roles/other").status)
	require.Equal(t, http.StatusNotFound, r.read("no/such/path").status)
	require.Equal(t, http.StatusMethodNotAllowed, r.write("info", fields{}).status)
}

func TestPlugin_TellsVaultItsKindVersionAndPaths(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	require.Equal(t, logical.TypeLogical, r.backend.Type())
	require.Equal(t, Version, r.version())
	paths := r.backend.SpecialPaths()
	require.NotEmpty(t, paths.SealWrapStorage)
	require.Empty(t, paths.LocalStorage, "Zoho's limits are global to a grant, so nothing is cluster-local")
	require.Equal(t, []string{"callback"}, paths.Unauthenticated, "nothing else can be had without a Vault token")
	require.Contains(t, r.send(logical.HelpOperation, "creds/x", nil).done(t).Data["help"], "cannot be renewed")
	require.NoError(t, r.tick())
}
