package settings

import (
	"cmp"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// RoleChange is a write to a role: nil keeps what is there.
type RoleChange struct {
	GrantType    *string
	DataCenter   *string
	ClientID     *string
	ClientSecret *string
	RefreshToken *string
	SOID         *string
	Scopes       *[]string
	Consent      *string
	Expected     *string // ExpectedAccount
	TTL          *time.Duration
	MinTTL       *time.Duration
	Exclusive    *bool
	RevokeDelay  *time.Duration
	Metadata     *MetadataChange

	// What is used by the write and not stored.

	Code        *string // a grant code, to be exchanged for the refresh token
	RedirectURI *string // that the code was sent to; a Self Client has none
	Verify      *bool   // try the credentials at Zoho; nil: if the write names one
	Force       *bool   // exchange the code although Zoho deletes another refresh token for the new one
	MustExist   bool    // fail rather than create the role
	FromConsent bool    // a person has agreed at Zoho: the code is what Zoho gave for that
	codeHome    string  // the data centre that the address of the code has named; empty: none
}

// maxRevokeDelay bounds how long a role can keep a token that nobody leases.
const maxRevokeDelay = 10 * time.Minute

// NamesCredential reports whether the operator has looked at the credentials, so that a refusal
// that is remembered of them is worth another try.
func (ch RoleChange) NamesCredential() bool {
	return ch.RefreshToken != nil || ch.ClientSecret != nil || ch.Code != nil || ch.namesClientGrant()
}

func (ch RoleChange) namesClientGrant() bool {
	return ch.GrantType != nil || ch.SOID != nil || ch.Scopes != nil
}

// Apply returns old, or a new role if old is nil, with the change made to it.
// A role for which a code was given has its refresh token only afterwards.
func (ch RoleChange) Apply(name string, old *Role, config *Config) (*Role, []string, error) {
	r := Role{Name: name, GrantType: GrantTypeRefreshToken, Consent: ConsentUser}
	if old != nil {
		r = *old
	}
	Set(&r.GrantType, ch.GrantType)
	Set(&r.DataCenter, ch.DataCenter)
	Set(&r.ClientID, ch.ClientID)
	setSecret(&r.ClientSecret, ch.ClientSecret)
	setSecret(&r.RefreshToken, ch.RefreshToken)
	Set(&r.SOID, ch.SOID)
	if ch.Scopes != nil {
		r.Scopes = Distinct(*ch.Scopes)
	}
	Set(&r.Consent, ch.Consent)
	Set(&r.ExpectedAccount, ch.Expected)
	Set(&r.TTL, ch.TTL)
	Set(&r.MinTTL, ch.MinTTL)
	Set(&r.Exclusive, ch.Exclusive)
	Set(&r.RevokeDelay, ch.RevokeDelay)
	r.Metadata = ch.Metadata.apply(r.Metadata)
	if r.ClientID == "" && ch.ClientSecret == nil {
		r.ClientSecret = secret.Value{} // back to the mount's client
	}
	if r.GrantType == GrantTypeClientCredentials && ch.RefreshToken == nil {
		r.ForgetRefreshToken()
	}
	if dc, err := zoho.LookupDataCenter(r.DataCenter); err == nil {
		r.DataCenter = dc.Name // in its one spelling; check refuses others
	}
	if err := cmp.Or(r.check(), r.checkGrant(), r.checkExpectedAccount(), ch.checkCode(&r), ch.checkHasCredential(&r, old)); err != nil {
		return nil, nil, err
	}
	pin, err := r.choosePin(old, ch, config)
	if err != nil {
		return nil, nil, err
	}
	if err := cmp.Or(checkClient(r.ClientID, r.ClientSecret, pin.AccountsURL), ch.checkTokens(name, pin.AccountsURL)); err != nil {
		return nil, nil, err
	}
	if old != nil {
		if err := ch.keepsSecretsAtHome(old, &r, pin); err != nil {
			return nil, nil, err
		}
	}
	r.Pin = pin
	if old != nil && (pin != old.Pin || !r.RefreshToken.Equal(old.RefreshToken)) {
		r.AuthorizedAs, r.Given = zoho.Person{}, false // of the former one
	}
	return &r, r.warnings(config), nil
}

func (r *Role) check() error {
	if err := cmp.Or(
		CheckRoleName(r.Name),
		CheckText("client_id", r.ClientID, maxIDLength),
		CheckText("client_secret", r.ClientSecret.Reveal(), MaxFieldLength),
		CheckText("refresh_token", r.RefreshToken.Reveal(), zoho.MaxToken),
		checkSOID(r.SOID),
		checkScopes(r.Scopes),
		CheckMinTTL(r.MinTTL),
		CheckTTL(r.TTL),
		checkRange("revoke_delay", r.RevokeDelay, 0, maxRevokeDelay),
		checkMetadata(r.Metadata),
	); err != nil {
		return err
	}
	if r.Exclusive && r.RevokeDelay > 0 {
		return UserErrorf("revoke_delay keeps an access token for the next reader, and with exclusive=true no other reader gets it; write revoke_delay=0, or exclusive=false")
	}
	if r.DataCenter != "" {
		if _, err := zoho.LookupDataCenter(r.DataCenter); err != nil {
			return UserErrorf("data_center: %v", err)
		}
	}
	if (r.ClientID == "") != r.ClientSecret.IsZero() {
		return UserErrorf("client_id and client_secret of a role go together: write both, or neither to use the mount's client")
	}
	return nil
}

// checkGrant holds the fields of the two grant types apart.
func (r *Role) checkGrant() error {
	if r.Consent != ConsentUser && r.Consent != ConsentOrg {
		return UserErrorf("consent is neither user nor org; write user if a person consents for their own account, or org if an administrator consents for an organisation")
	}
	switch r.GrantType {
	case GrantTypeRefreshToken:
		if r.SOID != "" && r.Consent != ConsentOrg {
			return UserErrorf("soid belongs to grant_type=client_credentials or consent=org; where a person consents for their own account, they choose the organisation then. Write soid= to leave it out")
		}
	case GrantTypeClientCredentials:
		switch {
		case r.Consent != ConsentUser:
			return UserErrorf("nobody consents to grant_type=client_credentials, so consent=org does not belong there; write consent=user, or grant_type=refresh_token")
		case !r.RefreshToken.IsZero():
			return UserErrorf("grant_type=client_credentials has no refresh_token; leave it out, or write grant_type=refresh_token")
		case len(r.Scopes) == 0:
			return UserErrorf("grant_type=client_credentials needs scopes, for example scopes=ZohoCRM.modules.READ; each role can have its own")
		}
	default:
		return UserErrorf("grant_type is neither refresh_token nor client_credentials")
	}
	return nil
}

// checkCode looks at a grant code before it is used up.
func (ch RoleChange) checkCode(r *Role) error {
	switch {
	case ch.Code == nil && ch.RedirectURI != nil && *ch.RedirectURI != "":
		return UserErrorf("redirect_uri is only used to exchange a code: write both, or write redirect_uri to the mount's config for the consent in a browser")
	case ch.Code == nil:
		return nil
	case *ch.Code == "":
		return UserErrorf("code is empty; write the grant code from Zoho's API console, within its few minutes")
	case r.GrantType != GrantTypeRefreshToken:
		return UserErrorf("grant_type=client_credentials needs no code; leave it out, or write grant_type=refresh_token")
	case ch.RefreshToken != nil:
		return UserErrorf("write either code or refresh_token: the code is exchanged for a refresh token")
	}
	if err := CheckText("code", *ch.Code, zoho.MaxToken); err != nil {
		return err
	}
	if ch.RedirectURI != nil {
		return checkRedirectURI(*ch.RedirectURI)
	}
	return nil
}

// checkTokens looks at the form of what is to be sent to an Accounts server. Empty ones
// are refused elsewhere, and the code of a consent where it comes in.
func (ch RoleChange) checkTokens(role, accountsURL string) error {
	for field, token := range map[string]*string{"code": ch.Code, "refresh_token": ch.RefreshToken} {
		if token != nil && *token != "" && !ch.FromConsent {
			if err := checkToken(field, *token, accountsURL); err != nil {
				return err
			}
		}
	}
	return ch.checkCodeHome(role, accountsURL)
}

// checkHasCredential demands a way to a refresh token. A role that has given up its
// own may stay without one.
func (ch RoleChange) checkHasCredential(r, old *Role) error {
	switch {
	case r.IsAuthorized() || ch.Code != nil:
		return nil
	case ch.RefreshToken != nil:
		return UserErrorf("refresh_token is empty; to give up the role's refresh token use: vault write -f <mount>/roles/%s/deauthorize", r.Name)
	case old == nil && len(r.Scopes) == 0:
		return UserErrorf("role %q needs something to mint tokens from: write refresh_token, or code with a grant code from Zoho's API console, or scopes and then <mount>/roles/%s/authorize to ask a person for consent, or grant_type=client_credentials", r.Name, r.Name)
	default:
		return nil
	}
}

// warnings tells the operator what is allowed but will hurt.
func (r *Role) warnings(config *Config) []string {
	warnings := minTTLWarning(r.MinTTL)
	if _, err := r.App(config); err != nil && r.IsAuthorized() {
		warnings = append(warnings, err.Error())
	}
	if r.Exclusive {
		warnings = append(warnings, fmt.Sprintf("exclusive=true: each read is a token request, of which the budget has %d in %s, and each lease is a live access token, of which max_live_tokens allows %d: readers may get HTTP 429", config.RequestBudget, config.RequestWindow, config.MaxLiveTokens))
	}
	switch needed := int(config.RequestWindow / max(r.TTL, time.Second)); {
	case r.TTL == 0:
	case r.RevokeDelay > 0 && r.TTL < zoho.MaxLife: // who comes within the delay gets the same token
	case r.TTL >= zoho.MaxLife:
		warnings = append(warnings, fmt.Sprintf("ttl of %s has no effect: a lease ends with its access token, after %s at the latest", r.TTL, zoho.MaxLife))
	case needed > config.RequestBudget:
		warnings = append(warnings, fmt.Sprintf("ttl of %s can need %d token requests in %s when readers come one after another, and the budget is %d: readers may get HTTP 429", r.TTL, needed, config.RequestWindow, config.RequestBudget))
	case r.TTL < zoho.MaxLife/6:
		warnings = append(warnings, fmt.Sprintf("ttl of %s: when the only lease on an access token ends, the token ends with it, so readers who come one after another can need %d token requests an hour instead of one", r.TTL, zoho.MaxLife/r.TTL))
	}
	return warnings
}

// minTTLWarning tells what a long min_ttl costs.
func minTTLWarning(minTTL time.Duration) []string {
	if minTTL <= zoho.MaxLife/2 {
		return nil
	}
	useful := zoho.MaxLife - minTTL
	return []string{fmt.Sprintf("min_ttl of %s leaves an access token %s in which readers can get it: each grant in use can need %d token requests an hour, and Zoho answers ten in ten minutes", minTTL, useful, zoho.MaxLife/useful)}
}

// WantsTrial reports whether a write tries the credentials of the role.
func (ch RoleChange) WantsTrial(old, updated *Role, config *Config) bool {
	if !updated.CanMint(config) {
		return false
	}
	if ch.Verify != nil {
		return *ch.Verify
	}
	return old == nil || ch.NamesCredential() || updated.Pin != old.Pin
}
