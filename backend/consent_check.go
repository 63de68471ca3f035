package backend

import (
	"fmt"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// newConsent notes what the role asks for, to be compared with when the person comes
// back.
func (e *Engine) newConsent(role *settings.Role, pin settings.Pin, config *settings.Config) consentEntry {
	return consentEntry{
		Role: role.Name, AccountsURL: pin.AccountsURL, ClientID: pin.ClientID, RedirectURI: config.RedirectURI,
		QuotaID: e.quotaID(role), ScopesID: e.scopesID(role), Consent: role.Consent, SOID: role.SOID,
	}
}

// check compares what came back with what was asked for. The client's secret
// belongs to one Accounts server, so an account elsewhere cannot be served,
// whatever the callback says.
// Source: zoho.com/accounts/protocol/oauth/multi-dc/client-authorization.html.
func (c *consentEntry) check(callback Callback, asked *settings.Role) error {
	switch {
	case zoho.IsDenied(callback.Error):
		return consentErrorf(ConsentDenied, "Zoho was not given consent: it was denied, or asked for more than ten times in ten minutes. Nothing has changed")
	case zoho.IsOutage(callback.Error):
		return &GrantError{Kind: zoho.BadAnswer, Code: callback.Error, Text: fmt.Sprintf("Zoho reports an error of its own, and nobody's consent arrived. Nothing has changed, and nothing of role %q has to be corrected.", c.Role)}
	case zoho.BlamesScopes(callback.Error):
		return consentErrorf(ConsentScopesRefused, "Zoho refused the scopes that role %q asks for: %s. Nothing has changed. One of them is unknown, or not allowed for this client", c.Role, asked.NamedScopes())
	case callback.Error != "":
		return consentErrorf(ConsentSettingsRefused, "Zoho ended the authorization with an error. Nothing has changed. Check client_id, scopes and redirect_uri of role %q against Zoho's API console", c.Role)
	case callback.Code == "":
		return consentErrorf(ConsentOddAnswer, "Zoho sent no grant code. Nothing has changed")
	}
	if err := settings.CheckText("code", callback.Code, settings.MaxFieldLength); err != nil {
		return consentErrorf(ConsentOddAnswer, "%v", err)
	}
	if !zoho.IsToken(callback.Code) {
		return consentErrorf(ConsentOddAnswer, "The code in the address is none of Zoho's. Nothing was sent there, and nothing has changed")
	}
	if forOrg, known := zoho.ConsentedForOrg(c.ClientID, callback.Code); known && forOrg != (c.Consent == settings.ConsentOrg) {
		return c.ofTheOtherKind()
	}
	return c.checkHome(callback)
}

// ofTheOtherKind: the address of the consent was changed from the page for users to the one
// for organisations, or back. A refresh token of a person ends with the person's account,
// and one of an organisation does not end when the role's operator means it to.
func (c *consentEntry) ofTheOtherKind() error {
	asked, came := "a person's consent for their own account", "an administrator's for an organisation"
	if c.Consent == settings.ConsentOrg {
		asked, came = came, asked
	}
	return consentErrorf(ConsentOtherKind, "Role %q asks for %s, and this is %s: the address of the consent page was changed. The grant code was not used, and nothing has changed", c.Role, asked, came)
}

func (c *consentEntry) checkHome(callback Callback) error {
	asked, isZohos := zoho.ByAccountsURL(c.AccountsURL)
	if callback.AccountsServer != "" {
		server, err := zoho.ParseAccountsURL(callback.AccountsServer)
		if err == nil && server == c.AccountsURL {
			return nil
		}
		home, known := zoho.ByAccountsURL(server)
		if err != nil || !known {
			return consentErrorf(ConsentOddAnswer, "The answer names an Accounts server that is neither the role's (%s) nor one of Zoho's. Nothing was sent there, and nothing has changed", c.AccountsURL)
		}
		return c.elsewhere(home)
	}
	home, err := zoho.LookupDataCenter(callback.Location)
	if callback.Location == "" || !isZohos || (err == nil && home == asked) {
		return nil
	}
	if err != nil {
		return consentErrorf(ConsentOddAnswer, "The answer names a data centre that is none of Zoho's. Nothing was sent there, and nothing has changed")
	}
	return c.elsewhere(home)
}

func (c *consentEntry) elsewhere(home zoho.DataCenter) error {
	asked := c.AccountsURL
	if dc, isZohos := zoho.ByAccountsURL(asked); isZohos {
		asked = dc.Name
	}
	text := fmt.Sprintf("This Zoho account is in data centre %s (%s), and role %q belongs to %s. Nothing has changed", home.Name, home.AccountsURL, c.Role, c.AccountsURL)
	return &consentError{UserError: settings.UserError{Text: text}, outcome: ConsentOtherDataCenter, home: home.Name, asked: asked}
}

// stillFits fails if the role is another by now than the one that was asked for:
// what a person agreed to then must not undo what was written since.
func (e *Engine) stillFits(c *consentEntry, role *settings.Role, config *settings.Config) error {
	asked := settings.Pin{AccountsURL: c.AccountsURL, ClientID: c.ClientID}
	var changed string
	switch {
	case role == nil:
		changed = "deleted or damaged"
	case !role.IsAt(asked, config):
		changed = "changed to another client or Accounts server"
	case e.quotaID(role) != c.QuotaID:
		changed = "authorized, deauthorized or given other credentials"
	case e.scopesID(role) != c.ScopesID:
		changed = "given other scopes"
	case role.Consent != c.Consent || role.SOID != c.SOID:
		changed = "given another consent or soid"
	default:
		return nil
	}
	return consentErrorf(ConsentRoleChanged, "Since the authorization was begun, role %q has been %s", c.Role, changed)
}
