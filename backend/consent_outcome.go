package backend

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// ConsentOutcome is how a person's consent ended.
type ConsentOutcome int

// The outcomes of a consent. The zero value is that of an error which is no answer of the
// engine's, such as one of storage.
const (
	ConsentFailedInVault ConsentOutcome = iota
	ConsentInterrupted
	ConsentGiven
	ConsentGivenForOrg
	ConsentLinkInvalid
	ConsentDenied
	ConsentTooEarly
	ConsentTooEarlyForLink
	ConsentThrottled
	ConsentZohoFailed
	ConsentCodeRefused
	ConsentSettingsRefused
	ConsentScopesRefused
	ConsentRoleChanged
	ConsentOddAnswer
	ConsentOtherKind
	ConsentOtherDataCenter
	ConsentMoreScopes
	ConsentOtherAccount
	ConsentUnverifiedAccount
	ConsentUnknownAccount
	ConsentNoRefreshToken
	ConsentTooManyTokens

	ConsentOutcomes // how many there are
)

// ConsentTexts are what a page says of an outcome. The person need know neither Vault nor
// the role.
type ConsentTexts struct {
	Title    string
	Happened string // to the person
	ToDo     string // what the person can do; a line is a paragraph
	Operator string // what the operator can do; the cause stands before it
}

// Texts are the texts of an outcome. <name> stands for the role, <mount> for the mount's
// path, <wait> for how long the person has to wait, <home> and <asked> for data centres.
func (o ConsentOutcome) Texts() ConsentTexts { //nolint:funlen // one table: no outcome without words for both
	const (
		again     = "vault write -f <mount>/roles/<name>/authorize"
		newLink   = "Make a new link: " + again
		notYours  = " You did nothing wrong."
		unchanged = " Nothing has changed."
		notKept   = " Nothing of your consent was kept."
		askForNew = "Ask the person who sent you the link for a new one"
		tell      = "Tell the person who sent you the link. They can "
		takeBack  = "\nIf you did not expect this page, because somebody sent you the link for no reason that you know, take your consent back: in Zoho, under Connected Apps of your account, remove the application."
	)
	return [ConsentOutcomes]ConsentTexts{
		ConsentFailedInVault: {
			"Something went wrong in Vault",
			"Zoho sent you to Vault, the program that keeps your consent, and Vault failed." + notYours,
			tell + "see whether it worked, and send you a new link if it did not.",
			"Vault's server log has the cause. See whether the role is authorized: vault read <mount>/roles/<name>/status. If it is not, make a new link: " + again,
		},
		ConsentInterrupted: {
			"Vault was busy",
			"Zoho sent you to Vault, the program that keeps your consent, and Vault could not take it at this moment." + notYours,
			"Open the link again in a few minutes, and agree once more. If it no longer works, ask the person who sent it to you for a new one.",
			"If the link no longer works, make a new one: " + again,
		},
		ConsentGiven: {
			"You gave consent",
			"The programs that this link was made for can now work with your Zoho account, with the access that is listed here.",
			"You are done, and can close this window." + takeBack,
			"Role \"<name>\" can hand out access tokens now: vault read <mount>/creds/<name>",
		},
		ConsentGivenForOrg: {
			"You gave consent for the whole organisation",
			"You agreed as an administrator. The programs that this link was made for can now work with the data of the whole organisation, with the access that is listed here.",
			"You are done, and can close this window." + takeBack,
			"Role \"<name>\" can hand out access tokens of the organisation now: vault read <mount>/creds/<name>",
		},
		ConsentLinkInvalid: {
			"This link no longer works",
			"A link works once, and for ten minutes. This one was used already, is too old, or was not made here.",
			"If a page has told you before that you gave consent, you are done. Otherwise ask the person who sent you the link for a new one.",
			newLink,
		},
		ConsentDenied: {
			"You did not give consent",
			"Nobody can use your Zoho account because of this link." + unchanged,
			"If you want to give consent after all, ask the person who sent you the link for a new one. If you did agree, Zoho was asked too often: wait ten minutes before you open the new link.",
			newLink,
		},
		ConsentTooEarly: {
			"Please come back in <wait>",
			"Too many consents came in a short time, so Vault, the program that keeps them, did not take yours." + notYours,
			"Open the same link again in <wait>, and agree once more.",
			"The link stays good: nothing is left to do",
		},
		ConsentTooEarlyForLink: {
			"Please come back in <wait>",
			"Too many consents came in a short time, so Vault, the program that keeps them, did not take yours." + notYours,
			"This link will be too old then. " + askForNew + ", in <wait> or later.",
			"At that time, make a new link: " + again,
		},
		ConsentThrottled: {
			"Zoho takes no consent at the moment",
			"Zoho was asked too often in a short time, so it did not take your consent." + notYours,
			askForNew + ", in <wait> or later.",
			"At that time, make a new link: " + again,
		},
		ConsentZohoFailed: {
			"Zoho could not complete your consent",
			"Zoho has a fault, or cannot be reached at the moment, so your consent was not kept." + notYours,
			askForNew + ", in a few minutes or later.",
			"In a few minutes, make a new link: " + again,
		},
		ConsentCodeRefused: {
			"Zoho no longer accepts your consent",
			"Your browser came back from Zoho too late, or twice: Zoho accepts a consent once, and for two minutes." + unchanged,
			askForNew + ".",
			newLink,
		},
		ConsentSettingsRefused: {
			"Your consent could not be used",
			"The settings behind this link are wrong, so your consent could not be used." + notYours,
			tell + "correct the settings, and send you a new link.",
			"When that is corrected, make a new link: " + again,
		},
		ConsentScopesRefused: {
			"Zoho refused what this link asks for",
			"The link asks for access that Zoho does not know, or does not allow." + notYours,
			tell + "correct what it asks for, and send you a new link.",
			"Compare the scopes with the product's API documentation, and write them anew: vault write <mount>/roles/<name> scopes=... Then make a new link: " + again,
		},
		ConsentRoleChanged: {
			"This link no longer works",
			"The settings behind the link were changed after it was made." + unchanged,
			askForNew + ".",
			newLink,
		},
		ConsentOddAnswer: {
			"This is not what Zoho sends",
			"The address in your browser is not complete, or was changed on its way from Zoho." + unchanged,
			askForNew + ".",
			newLink,
		},
		ConsentOtherKind: {
			"You agreed on another page than this link is for",
			"Zoho has a page for your own account and one for a whole organisation. You agreed on the other one: the link was changed." + notKept,
			askForNew + ", and open it as it is.",
			newLink,
		},
		ConsentOtherDataCenter: {
			"Your Zoho account is in another data centre",
			"Zoho keeps your account in its data centre <home>, and this link is for accounts in <asked>." + unchanged,
			"If you have an account in <asked>, ask the person who sent you the link for a new one, and sign in with that account. Otherwise tell them that yours is in <home>.",
			"If the person has an account there, make a new link: " + again + ". Otherwise write the role for <home>, with the client secret that Zoho's API console shows for it. If the role is authorized already, begin with: vault write -f <mount>/roles/<name>/deauthorize. Then write the role: vault write <mount>/roles/<name> data_center=<home> client_id=... client_secret=...",
		},
		ConsentMoreScopes: {
			"You agreed to more than this link is for",
			"Zoho gave more access than this link is for: the link was changed, or asks for the wrong access." + notKept,
			askForNew + ", and open it as it is.",
			"Unless these scopes are the right ones, find out who has changed the link. Then make a new one: " + again,
		},
		ConsentOtherAccount: {
			"You agreed with another Zoho account",
			"This link is for a certain Zoho account, and you were signed in to Zoho with another one." + notKept,
			"Sign out of Zoho, and ask the person who sent you the link for a new one. Then sign in with the account that they expect.",
			newLink,
		},
		ConsentUnverifiedAccount: {
			"Your e-mail address is not verified",
			"This link is for a certain Zoho account, and Zoho has never verified the e-mail address of yours." + notKept,
			"Verify the address in Zoho, in the settings of your account. Then ask the person who sent you the link for a new one.",
			newLink,
		},
		ConsentUnknownAccount: {
			"Zoho did not say whose account it is",
			"This link is for a certain Zoho account, and Zoho did not say which e-mail address yours has." + notKept,
			askForNew + ", and agree to everything that Zoho's page asks for.",
			newLink,
		},
		ConsentNoRefreshToken: {
			"Zoho gave access for an hour only",
			"Zoho gives lasting access once, and your account may have given consent to this application before." + notKept,
			tell + "say whether you should remove the application in Zoho, under Connected Apps of your account, which also ends what was given before. Then they can send you a new link.",
			"Then make a new link: " + again,
		},
		ConsentTooManyTokens: {
			"Zoho did not accept your consent",
			"Zoho did not say why. Your account may have as many connections as Zoho allows, which is twenty, or Zoho was asked too often." + unchanged,
			tell + "say whether you should remove a connection in Zoho, under Connected Apps of your account, and send you a new link. Open that in ten minutes or later.",
			"This lists how many refresh tokens of each client there are, and which role has the oldest: vault list -detailed <mount>/clients. Then make a new link: " + again,
		},
	}[o]
}

// consentError is a consent that is not taken, and for which Zoho was not asked.
type consentError struct {
	settings.UserError
	outcome     ConsentOutcome
	home, asked string // data centres, of ConsentOtherDataCenter
}

func (e *consentError) Unwrap() error { return &e.UserError }

func consentErrorf(outcome ConsentOutcome, format string, args ...any) error {
	return &consentError{UserError: settings.UserError{Text: fmt.Sprintf(format, args...)}, outcome: outcome}
}

// outcomeOf is the outcome of a consent, by why it has failed.
func outcomeOf(err error) ConsentOutcome {
	if err == nil {
		return ConsentGiven
	}
	if ended, ok := errors.AsType[*consentError](err); ok {
		return ended.outcome
	}
	if _, bad := errors.AsType[*settings.UserError](err); bad { // the role or the config lacks something
		return ConsentSettingsRefused
	}
	failed, ok := errors.AsType[*GrantError](err)
	if !ok {
		return ConsentFailedInVault
	}
	switch {
	case failed.outcome != ConsentFailedInVault:
		return failed.outcome
	case zoho.BlamesScopes(failed.Code):
		return ConsentScopesRefused
	case failed.Kind == zoho.Refused:
		return ConsentCodeRefused
	case failed.Kind == zoho.Misconfigured:
		return ConsentSettingsRefused
	case failed.Kind == zoho.Throttled:
		return ConsentThrottled
	default:
		return ConsentZohoFailed
	}
}

// causeOf is what an operator reads of a failure. One that is no answer of the engine's, such
// as one of storage, is in the log alone.
func causeOf(err error) string {
	_, bad := errors.AsType[*settings.UserError](err)
	if _, failed := errors.AsType[*GrantError](err); bad || failed {
		return err.Error()
	}
	return ""
}

// textsFor are the texts of an outcome, for its role; empty if nobody may know it. err is
// why the consent has failed.
func (e *Engine) textsFor(outcome ConsentOutcome, role string, err error) ConsentTexts {
	const throttled = 10 * time.Minute // Zoho's, where it does not say for how long
	wait, where := throttled, &consentError{}
	if ended, ok := errors.AsType[*consentError](err); ok {
		where = ended
	}
	if failed, ok := errors.AsType[*GrantError](err); ok && !failed.RetryAt.IsZero() {
		wait = failed.RetryAt.Sub(e.now())
	}
	if role == "" {
		role = "<name>"
	}
	fill := strings.NewReplacer("<name>", role, "<wait>", inMinutes(wait), "<home>", where.home, "<asked>", where.asked).Replace
	texts := outcome.Texts()
	return ConsentTexts{fill(texts.Title), fill(texts.Happened), fill(texts.ToDo), fill(texts.Operator)}
}

// inMinutes is a time to wait, for a person.
func inMinutes(d time.Duration) string {
	if minutes := int((d + time.Minute - 1) / time.Minute); minutes > 1 {
		return fmt.Sprintf("%d minutes", minutes)
	}
	return "a minute"
}
