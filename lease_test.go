package zohosecrets

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestCreds_AnswerIsReadyToUse(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.zoho.sim.SetAnswer(zohosim.Answer{WithScope: true, APIDomainSlash: true, APIDomain: "https://www.zohoapis.com"})
	got := r.read("creds/crm-sync").done(t)
	token := got.token()
	require.True(t, r.zoho.sim.Alive(token))
	require.Equal(t, "Zoho-oauthtoken "+token, got.Data["authorization"])
	require.Equal(t, "Bearer", got.Data["token_type"])
	require.Equal(t, "https://www.zohoapis.com", got.Data["api_domain"])
	require.Equal(t, "", got.Data["data_center"], "the Accounts server is none of Zoho's")
	require.Equal(t, []any{"ZohoCRM.modules.ALL"}, got.Data["scopes"])
	require.Equal(t, "crm-sync", got.Data["role"])
	require.Regexp(t, `^[0-9a-f]{32}$`, got.Data["token_id"])
	require.Equal(t, "2026-11-21T09:59:59Z", got.Data["expires_at"])
	require.Empty(t, got.Warnings)
	for field := range got.Data {
		require.NotContains(t, []string{"rotation_period", "ttl", "certificate", "expiration", "secret_id", "metadata"}, field, "Vault Agent treats it specially")
	}
}

// Desk, Mail and others are at this domain, and not at api_domain.
func TestCreds_NameTheDataCentreOfTheTokenAndTheDomainOfZohosProductsThere(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	first := m.read("creds/crm-sync").done(t)
	require.Empty(t, first.Data["data_center"])
	require.Empty(t, first.Data["zoho_domain"], "nobody knows what takes the tokens of a server that is none of Zoho's")
	key := fmt.Sprint("tokens/", first.Data["token_id"])
	record := m.stored()[key]
	for accounts, named := range map[string][2]string{
		"https://accounts.zoho.com": {"us", "zoho.com"}, "https://accounts.zoho.com.au": {"au", "zoho.com.au"}, "https://accounts.zohocloud.ca": {"ca", "zohocloud.ca"},
		"https://accounts.zoho.ae": {"ae", "zoho.ae"}, "https://accounts.zoho.sg": {"sg", "zoho.sg"}, "https://accounts.zoho.eu.evil.example": {},
		"https://accounts.zohoportal.com/clientoauth/v2/10012345": {},
	} {
		moved := strings.Replace(record, z.url, accounts, 1)
		require.NotEqual(t, record, moved)
		require.NoError(t, m.storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte(moved)}))
		again := newMountOn(t, m.storage, nil)
		again.clock.Advance(m.clock.Now().Sub(again.clock.Now()))
		got := again.read("creds/crm-sync").done(t)
		require.Equal(t, first.token(), got.token())
		require.Equal(t, []any{named[0], named[1]}, []any{got.Data["data_center"], got.Data["zoho_domain"]}, accounts)
	}
}

// What an operator writes as data_center beside accounts_url says nothing of that server.
func TestDataCentre_IsThatOfTheAccountsServerWhereverItIsNamed(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	m.awaitsConsent(z)
	m.write("config", fields{"data_center": "eu", "accounts_url": z.url, "client_id": z.client.ID, "client_secret": z.clientSecret}).done(t)
	m.write("roles/of-eu", z.role().with(fields{"data_center": "eu"})).done(t)
	for _, role := range []string{"crm-sync", "of-eu"} {
		leased := m.read("creds/" + role).done(t)
		info, _ := m.list("roles/").done(t).Data["key_info"].(map[string]any)[role].(map[string]any)
		for what, got := range map[string]any{
			"creds": leased.Data["data_center"], "zoho_domain": leased.Data["zoho_domain"], "role": m.read("roles/" + role).Data["data_center"], "list": info["data_center"],
			"token":  m.read(fmt.Sprint("tokens/", leased.Data["token_id"])).Data["data_center"],
			"lookup": m.write("tokens/lookup", fields{"token": leased.token()}).done(t).Data["data_center"],
			"found":  m.write("tokens/lookup", fields{"token": z.refreshToken}).done(t).Data["data_center"],
		} {
			require.Equal(t, "", got, "%s of %s", what, role)
		}
		require.NoError(t, m.revoke("creds/"+role, leased))
	}
	require.NotContains(t, m.completes(m.agree("roles/person")), "Data centre")
	require.Equal(t, z.url, m.read("roles/of-eu").Data["accounts_url"])
	require.Equal(t, "eu", m.read("config").Data["data_center"], "what was written")
}

func TestLease_LastsForTheWholeSecondsThatAreLeftOfTheToken(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.write("config", fields{"refresh_ahead": false}).done(t)
	require.Equal(t, "59m59s", lasting(t, r))
	r.clock.Advance(10*time.Minute + 300*time.Millisecond)
	require.Equal(t, "49m58s", lasting(t, r))
	r.write("roles/crm-sync", fields{"ttl": "15m"}).done(t)
	require.Equal(t, "15m0s", lasting(t, r))
	r.clock.Advance(37 * time.Minute)
	r.write("roles/crm-sync", fields{"min_ttl": "5m"}).done(t)
	require.Equal(t, "12m58s", lasting(t, r), "a ttl makes no token live longer")
	require.Equal(t, 1, r.zoho.sim.MintCount(r.zoho.refreshToken))
}

func lasting(t *testing.T, r *remote) string {
	t.Helper()
	secret := r.read("creds/crm-sync").done(t).Secret
	require.Equal(t, secret.TTL, secret.MaxTTL)
	require.False(t, secret.Renewable)
	require.Equal(t, secret.TTL.Truncate(time.Second), secret.TTL)
	return secret.TTL.String()
}

func TestLease_CannotBeRenewed(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	leased := r.read("creds/crm-sync").done(t)
	resp, err := r.backend.HandleRequest(t.Context(), logical.RenewRequest("creds/crm-sync", leased.Secret, leased.Data))
	require.Nil(t, resp)
	require.Equal(t, logical.ErrUnsupportedOperation, err)
	require.True(t, r.zoho.sim.Alive(leased.token()))
}

func TestLease_RevokingTheLastOneKillsTheTokenAtZoho(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	first, second := r.read("creds/crm-sync").done(t), r.read("creds/crm-sync").done(t)
	token := first.token()
	require.Equal(t, token, second.Data["access_token"])
	for range 2 { // Vault may ask twice
		require.NoError(t, r.revoke("creds/crm-sync", first))
		require.True(t, r.zoho.sim.Alive(token))
	}
	require.Zero(t, r.zoho.revocations())

	// Neither config nor role is needed any more.
	r.delete("roles/crm-sync").done(t)
	r.deleteConfig()
	require.NoError(t, r.revoke("creds/crm-sync", second))
	require.False(t, r.zoho.sim.Alive(token))
	asked := r.zoho.revocations()
	require.NoError(t, r.revoke("creds/crm-sync", second))
	require.Equal(t, asked, r.zoho.revocations())
}

func TestLease_AFailedRevocationIsAnErrorThatVaultTriesAgain(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	leased := r.read("creds/crm-sync").done(t)
	r.zoho.sim.SetDown(true)
	err := r.revoke("creds/crm-sync", leased)
	require.ErrorContains(t, err, "could not be reached")
	for _, fatal := range []error{logical.ErrUnrecoverable, logical.ErrUnsupportedOperation, logical.ErrUnsupportedPath, logical.ErrInvalidRequest} {
		require.NotErrorIs(t, err, fatal, "Vault would give the lease up at once")
	}
	r.zoho.sim.SetDown(false)
	require.NoError(t, r.revoke("creds/crm-sync", leased))
	require.False(t, r.zoho.sim.Alive(leased.token()))
}

func TestLease_OfATokenThatHasExpiredIsRevokedWithoutACall(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	leased := r.read("creds/crm-sync").done(t)
	r.clock.Advance(time.Hour)
	r.zoho.sim.SetDown(true)
	asked := len(r.zoho.sim.Requests())
	require.NoError(t, r.revoke("creds/crm-sync", leased))
	require.Len(t, r.zoho.sim.Requests(), asked)
}

func TestLease_OnAMountThatIsBeingDisabledIsRevokedAsWellAsItGoes(t *testing.T) {
	t.Parallel()
	m, z := newWorld(t)
	leased := m.read("creds/crm-sync").done(t)
	z.sim.SetDown(true)
	m.system.TaintedVal = true
	require.NoError(t, m.revoke("creds/crm-sync", leased))
	require.NotZero(t, z.revocations())
}

func TestLease_ThatIsNotFromHereIsRefusedWithAWayOut(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	leased := r.read("creds/crm-sync").done(t)
	for _, field := range []string{internalTokenID, internalHolderID, internalExpiresAt} {
		for _, value := range []any{nil, "", 7, []any{}} {
			internal := map[string]any{}
			for k, v := range leased.Secret.InternalData {
				internal[k] = v
			}
			internal[field] = value
			foreign := answer{Response: &logical.Response{Secret: &logical.Secret{InternalData: internal}}}
			require.ErrorContains(t, r.revoke("creds/crm-sync", foreign), "vault lease revoke -force -prefix", "%s=%v", field, value)
		}
	}
	require.Error(t, r.revoke("creds/crm-sync", answer{Response: &logical.Response{}}))
	require.True(t, r.zoho.sim.Alive(leased.token()))
}

// What is in a lease is there for as long as the lease: renaming it would leave
// old leases that nobody can revoke.
func TestLease_CarriesTheNamesThatOldLeasesHave(t *testing.T) {
	t.Parallel()
	m, _ := newWorld(t)
	internal := m.read("creds/crm-sync").done(t).Secret.InternalData
	require.Equal(t, "access_token", internal["secret_type"])
	require.Len(t, internal, 4)
	for _, name := range []string{"token_id", "holder_id", "expires_at"} {
		require.NotEmpty(t, internal[name], name)
	}
}

func TestCreds_WhenZohoIsDownAGoodTokenComesWithAWarning(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.write("config", fields{"refresh_ahead": false}).done(t)
	token := r.read("creds/crm-sync").done(t).token()
	r.clock.Advance(55 * time.Minute)
	r.zoho.sim.SetDown(true)
	got := r.read("creds/crm-sync").done(t)
	require.Equal(t, token, got.token())
	require.Equal(t, 4*time.Minute+59*time.Second, got.Secret.TTL)
	require.Contains(t, got.warnings(), "this access token has 4m59s left, less than min_ttl, and a new one could not be had")
	require.Contains(t, got.warnings(), "could not be reached")
	r.zoho.sim.SetDown(false)
	r.clock.Advance(time.Minute)
	got = r.read("creds/crm-sync").done(t)
	require.NotEqual(t, token, got.token())
	require.Empty(t, got.Warnings)
}

// Some clients send parameters only in the body of a write: the command line's write, a
// template of Vault Agent, External Secrets.
func TestCreds_AWriteIsAReadWithItsParametersInTheBody(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	read := r.read("creds/crm-sync").done(t)
	written := r.write("creds/crm-sync", nil).done(t)
	require.Equal(t, read.Data, written.Data)
	require.Equal(t, read.Secret.TTL, written.Secret.TTL)
	require.False(t, written.Secret.Renewable)

	require.Equal(t, 15*time.Minute, r.write("creds/crm-sync", fields{"ttl": "15m", "min_ttl": ""}).done(t).Secret.TTL)
	another := r.write("creds/crm-sync", fields{"reject": read.Data["token_id"]}).done(t)
	require.NotEqual(t, read.token(), another.token())
	require.Equal(t, another.token(), r.write("creds/crm-sync", fields{"reject": read.Data["token_id"]}).done(t).token())
	r.clock.Advance(15 * time.Minute)
	require.NotEqual(t, another.token(), r.write("creds/crm-sync", fields{"min_ttl": "50m"}).done(t).token())
	require.Equal(t, 3, r.zoho.sim.MintCount(r.zoho.refreshToken))

	require.NoError(t, r.revoke("creds/crm-sync", another))
}

// Vault asks for the capability create if an existence check finds nothing. There is none,
// so that a policy with update suffices.
func TestCreds_AWriteNeedsNoCapabilityCreate(t *testing.T) {
	t.Parallel()
	path := newMount(t).inner.Route("creds/crm-sync")
	require.Nil(t, path.ExistenceCheck)
	require.NotContains(t, path.Operations, logical.CreateOperation)
}
