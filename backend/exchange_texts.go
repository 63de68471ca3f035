package backend

import (
	"errors"
	"fmt"

	"vault-plugin-secrets-zoho/backend/zoho"
)

// What becomes of a refresh token that Zoho has given for a code, and whose role could
// not be stored, and what is said of an exchange that came to nothing.

// orNewCode adds to a text how one comes to another grant code: this one is used up. Who was
// asked for consent has none that they could write: consentTexts say what helps there.
func (x *exchange) orNewCode(text, newCode string) string {
	if x.code.consent != nil {
		return text
	}
	return text + ". " + newCode
}

func (x *exchange) revokedAgain() string {
	return x.orNewCode("Zoho had exchanged the grant code already; its refresh token has been revoked there", "Correct the cause, and get a new code")
}

// withoutRefreshToken says what to do when the connection that stands in the way is
// removed. Of an address that the engine has made nobody need look at the parameters.
func (x *exchange) withoutRefreshToken() error {
	failed := zoho.NoRefreshToken(x.app)
	err := &GrantError{Kind: failed.Kind, Text: failed.Error(), outcome: ConsentNoRefreshToken}
	if x.code.consent != nil {
		return err
	}
	text := "Then get a new code"
	if x.code.redirectURI != "" {
		text += ". If you have made the address of the consent page yourself: it needs access_type=offline and prompt=consent"
	}
	return appendText(err, text)
}

// maybeExchanged tells of a refresh token that an answer may have carried which
// did not arrive.
func (x *exchange) maybeExchanged(err error) error {
	failed, ok := errors.AsType[*zoho.Error](err)
	switch {
	case ok && failed.Kind == zoho.Refused && x.code.consent != nil: // there is no code that anybody could write
		if x.code.consent.device != nil {
			return &GrantError{Kind: failed.Kind, Code: failed.Code, Text: fmt.Sprintf("Zoho (%s) refused the device code with %s: it was used already, has expired, or belongs to another client or data centre.", x.app.AccountsURL, failed.Code)}
		}
		return &GrantError{Kind: failed.Kind, Code: failed.Code, Text: fmt.Sprintf("Zoho (%s) refused the grant code with %s: it was used already, is older than two minutes, or belongs to another client or data centre.", x.app.AccountsURL, failed.Code)}
	case !ok || failed.NoToken():
		return asGrantError(err)
	}
	const lost = "If Zoho has exchanged the code anyway, a refresh token that Vault does not know lives there: remove it under Connected Apps of the user who consented"
	return appendText(asGrantError(err), x.orNewCode(lost, "To try again, get a new code"))
}

// notStored says what became of a refresh token that could not be stored.
func (x *exchange) notStored(c *carrier, cause error) error {
	cause = asUserError(cause)
	switch {
	case c.notRevoked != nil:
		return appendText(cause, fmt.Sprintf("Zoho had exchanged the grant code already, and its refresh token could be neither stored nor revoked (%v): it lives on at Zoho, unknown to Vault; remove it there, under Connected Apps of the user who consented", c.notRevoked))
	case c.revoked:
		return appendText(cause, x.revokedAgain())
	default:
		return cause
	}
}
