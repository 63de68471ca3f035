package zohosecrets

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/helper/errutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"vault-plugin-secrets-zoho/backend"
	"vault-plugin-secrets-zoho/zohosim"
)

func TestMain(m *testing.M) {
	hclog.DefaultOutput = io.Discard // where go-plugin's test connection logs to
	goleak.VerifyTestMain(m,
		// Started by the init of a package that the SDK links; it never ends.
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// vault speaks to a mount as Vault's core does, and tells what a client of its
// HTTP interface would get.
type vault struct {
	t       *testing.T
	backend logical.Backend
}

// answer is what a client gets.
type answer struct {
	*logical.Response        // nil if there is none
	status            int    // of HTTP
	text              string // of the error; empty if there was none
}

func (v vault) read(path string) answer   { return v.send(logical.ReadOperation, path, nil) }
func (v vault) list(path string) answer   { return v.send(logical.ListOperation, path, nil) }
func (v vault) delete(path string) answer { return v.send(logical.DeleteOperation, path, nil) }

// deleteConfig deletes the config although roles use its client.
func (v vault) deleteConfig() {
	v.t.Helper()
	v.send(logical.DeleteOperation, "config", fields{"force": true}).done(v.t)
}

func (v vault) patch(path string, data fields) answer {
	return v.send(logical.PatchOperation, path, data)
}

// write asks first whether the thing exists, as Vault does to tell a create
// from an update.
func (v vault) write(path string, data fields) answer {
	v.t.Helper()
	req := request(v.t, logical.UpdateOperation, path, data)
	checked, exists, err := v.backend.HandleExistenceCheck(v.t.Context(), req)
	switch {
	case errors.Is(err, logical.ErrUnsupportedPath):
	case err != nil:
		return answered(req, nil, err)
	case checked && !exists:
		req.Operation = logical.CreateOperation
	}
	resp, err := v.backend.HandleRequest(v.t.Context(), req)
	return answered(req, resp, err)
}

func (v vault) send(op logical.Operation, path string, data fields) answer {
	v.t.Helper()
	req := request(v.t, op, path, data)
	resp, err := v.backend.HandleRequest(v.t.Context(), req)
	return answered(req, resp, err)
}

// revoke ends the lease of an answer, as Vault does.
func (v vault) revoke(path string, leased answer) error {
	resp, err := v.backend.HandleRequest(v.t.Context(), logical.RevokeRequest(path, leased.Secret, leased.Data))
	if err == nil && resp.IsError() {
		err = resp.Error()
	}
	return err
}

// tick is what Vault does once a minute, with what that begins in the background.
func (v vault) tick() error {
	_, err := v.backend.HandleRequest(v.t.Context(), logical.RollbackRequest(""))
	if b, ok := v.backend.(*zohoBackend); ok {
		b.engine.Settle()
	}
	return err
}

// state is what the list of roles says of one.
func (v vault) state(role string) any {
	v.t.Helper()
	all, _ := v.list("roles/").done(v.t).Data["key_info"].(map[string]any)
	info, _ := all[role].(map[string]any)
	return info["state"]
}

// version is what the plugin tells Vault that it is.
func (v vault) version() string {
	versioner, ok := v.backend.(logical.PluginVersioner)
	require.True(v.t, ok)
	return versioner.PluginVersion().Version
}

type fields map[string]any

// request has its data in the types that come out of JSON.
func request(t *testing.T, op logical.Operation, path string, data fields) *logical.Request {
	t.Helper()
	req := &logical.Request{Operation: op, Path: path, ID: "request-1", EntityID: "entity-1", DisplayName: "token"}
	if data == nil {
		return req
	}
	encoded, err := json.Marshal(data)
	require.NoError(t, err)
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&req.Data))
	return req
}

// answered finds the HTTP status as Vault does.
func answered(req *logical.Request, resp *logical.Response, err error) answer {
	var bad errutil.UserError
	if errors.As(err, &bad) { // of an existence check: vault/request_handling.go makes it a 400
		return answer{status: 400, text: bad.Error()}
	}
	status, failed := logical.RespondErrorCommon(req, resp, err)
	if failed != nil {
		logical.AdjustErrorStatusCode(&status, failed)
		return answer{Response: resp, status: status, text: failed.Error()}
	}
	switch {
	case status != 0:
	case resp == nil:
		status = 204
	default:
		status = 200
	}
	return answer{Response: resp, status: status}
}

// done requires success.
func (a answer) done(t *testing.T) answer {
	t.Helper()
	require.Empty(t, a.text)
	require.Contains(t, []int{200, 204}, a.status)
	return a
}

// mount is an unconfigured mount with a clock of its own.
type mount struct {
	vault
	inner   *zohoBackend
	storage *logical.InmemStorage
	system  *logical.StaticSystemView
	clock   *zohosim.Clock
}

func newMount(t *testing.T) *mount {
	t.Helper()
	return newMountOn(t, &logical.InmemStorage{}, nil)
}

// newMountOn makes one more node of a cluster, as it were: a mount on storage
// that is there already. Without a log it is silent.
func newMountOn(t *testing.T, storage *logical.InmemStorage, log io.Writer) *mount {
	t.Helper()
	m := &mount{
		storage: storage,
		system:  logical.TestSystemView(),
		clock:   zohosim.StoppedClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)),
	}
	m.system.PluginEnvironment = &logical.PluginEnvironment{VaultVersion: "1.21.1"}
	logger := hclog.NewNullLogger()
	if log != nil {
		logger = hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Trace, JSONFormat: true})
	}
	b := newClocked(m.clock, storage, logger)
	require.NoError(t, b.Setup(t.Context(), &logical.BackendConfig{StorageView: storage, System: m.system, Logger: logger}))
	m.inner = b
	m.vault = vault{t: t, backend: m.inner}
	t.Cleanup(func() { m.inner.Cleanup(context.Background()) })
	return m
}

func newClocked(clock *zohosim.Clock, storage logical.Storage, logger hclog.Logger) *zohoBackend {
	return newBackend(backend.Options{Storage: storage, Logger: logger, Now: clock.Now, UserAgent: "test"})
}

// stored is all that is in storage, byte for byte, with what is written behind: the name of the
// first reader of a token follows its answer.
func (m *mount) stored() map[string]string {
	m.t.Helper()
	settled := make(chan struct{})
	go func() {
		m.inner.engine.Settle()
		close(settled)
	}()
	select {
	case <-settled:
	case <-time.After(time.Second): // a test holds something back
	}
	return stored(m.t, m.storage)
}

func stored(t *testing.T, storage logical.Storage) map[string]string {
	t.Helper()
	keys, err := logical.CollectKeys(context.Background(), storage)
	require.NoError(t, err)
	all := make(map[string]string, len(keys))
	for _, key := range keys {
		entry, err := storage.Get(context.Background(), key)
		require.NoError(t, err)
		if entry != nil { // or something in the background was faster
			all[key] = string(entry.Value)
		}
	}
	return all
}

// simulation is a simulated Zoho with one client and one user's refresh token.
type simulation struct {
	sim          *zohosim.Sim
	url          string
	client       *zohosim.Client
	clientSecret string
	refreshToken string
	web          *zohosim.Client // of role person, if awaitsConsent has written it
}

func newSimulation(t *testing.T, clock *zohosim.Clock) *simulation {
	t.Helper()
	sim := zohosim.New(zohosim.Options{Clock: clock.Now})
	t.Cleanup(sim.Close)
	accounts, err := sim.Listen("us")
	require.NoError(t, err)
	client := sim.AddClient(zohosim.ClientSpec{})
	return &simulation{
		sim: sim, url: accounts.URL, client: client, clientSecret: client.Secret("us"),
		refreshToken: sim.Consent(client, "us", "user@example.com", []string{"ZohoCRM.modules.ALL"}),
	}
}

func (z *simulation) config() fields {
	return fields{"accounts_url": z.url, "client_id": z.client.ID, "client_secret": z.clientSecret}
}

// role is not tried when it is written: most tests count what readers ask of
// Zoho.
func (z *simulation) role() fields { return fields{"refresh_token": z.refreshToken, "verify": false} }

// revocations counts the requests to both revocation endpoints.
func (z *simulation) revocations() int {
	return z.sim.Count(zohosim.EndpointRevoke) + z.sim.Count(zohosim.EndpointLegacyRevoke)
}

// newWorld is a mount with Zoho behind it and a role crm-sync.
func newWorld(t *testing.T) (*mount, *simulation) {
	t.Helper()
	m := newMount(t)
	z := newSimulation(t, m.clock)
	m.write("config", z.config()).done(t)
	m.write("roles/crm-sync", z.role()).done(t)
	return m, z
}

// with returns data and more, more going first.
func (f fields) with(more fields) fields {
	all := make(fields, len(f)+len(more))
	for _, part := range []fields{f, more} {
		for name, value := range part {
			all[name] = value
		}
	}
	return all
}

// operations are all that Vault knows.
func operations() []logical.Operation {
	return []logical.Operation{
		logical.CreateOperation, logical.ReadOperation, logical.UpdateOperation, logical.PatchOperation,
		logical.DeleteOperation, logical.ListOperation, logical.HelpOperation, logical.AliasLookaheadOperation,
		logical.ResolveRoleOperation, logical.HeaderOperation, logical.RecoverOperation, logical.RevokeOperation,
		logical.RenewOperation, logical.RollbackOperation, logical.RotationOperation, "no such operation",
	}
}

// token is the access token of an answer that must have one.
func (a answer) token() string {
	token, ok := a.Data["access_token"].(string)
	if !ok {
		panic("an answer without an access token: " + a.String())
	}
	return token
}

func (a answer) warnings() string {
	if a.Response == nil {
		return ""
	}
	return strings.Join(a.Warnings, "\n")
}

func (a answer) String() string { return fmt.Sprintf("HTTP %d %.300q", a.status, a.text) }

// unknownState has the form of a consent's state.
const unknownState = "00000000000000000000000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
