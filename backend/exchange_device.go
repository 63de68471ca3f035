package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/quota"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// A poll for a person's consent is the exchange of a device code: what follows an answer with a
// refresh token is exchangeCode. What differs is here: most answers bring nothing, and a poll can
// be repeated.

// findDevice looks whether the consent is still the pending one. The caller has the role's slot.
func (c *givenConsent) findDevice(ctx context.Context, e *Engine) error {
	pending, err := orNone(get[deviceEntry](ctx, e.store, c.key))
	if err != nil {
		return err
	}
	if c.found = pending != nil && pending.Device.Code.Equal(c.device.Device.Code); !c.found {
		return errStaleConsent()
	}
	*c.device = *pending
	c.consentEntry = &c.device.consentEntry
	return nil
}

// acceptDevice makes the device code the change's, if the role is still what was asked for.
func (e *Engine) acceptDevice(ctx context.Context, change *roleChange, role *settings.Role, config *settings.Config) error {
	c := change.consent
	if err := e.stillFits(c.consentEntry, role, config); err != nil {
		if c.hasSucceeded(e, role) {
			e.log().Info("the role has the consent already, after a crash", "role", c.Role)
			if err := c.take(ctx, e); err != nil {
				return err
			}
			e.noteConsentEnded(ctx, c.Role, e.deviceKey(c.device), nil)
			return errNotYet("")
		}
		return c.perhapsLost(err)
	}
	if c.device.Device.IsOver(e.now()) {
		return c.perhapsLost(c.device.tooLate())
	}
	code := c.device.Device.Code.Reveal()
	change.Code = &code
	return nil
}

// hasSucceeded reports whether a poll has authorized the role before a crash.
func (c *givenConsent) hasSucceeded(e *Engine, role *settings.Role) bool {
	return role != nil && role.Given && !c.device.Device.Unanswered.IsZero() && e.quotaID(role) != c.QuotaID
}

// staysPending reports whether a consent goes on after an attempt that has failed: it came too
// early or, of a poll, something failed in Vault, and Zoho has given nothing yet.
func (c *givenConsent) staysPending(failed error) bool {
	if isPostponed(failed) {
		return true
	}
	outcome := outcomeOf(failed)
	return c.device != nil && !c.gave && (outcome == ConsentFailedInVault || outcome == ConsentInterrupted)
}

// errNotYet: nobody has decided yet, and the consent stays pending.
func errNotYet(why string) error {
	return &GrantError{Kind: zoho.Throttled, postponed: true, Text: "Nobody has agreed yet. " + why}
}

func (d *deviceEntry) tooLate() error {
	text := "Nobody has typed the user code and agreed within its five minutes. Nothing has changed"
	if d.Trouble != "" {
		text = "The user code has ended, and the latest poll for the consent failed: " + d.Trouble
	}
	return consentErrorf(ConsentLinkInvalid, "%s", text)
}

// perhapsLost adds to a consent that came to nothing what an answer may have carried that did not
// arrive.
func (c *givenConsent) perhapsLost(err error) error {
	lost := c.device.Device.Unanswered
	if lost.IsZero() || err == nil {
		return err
	}
	text := fmt.Sprintf("The answer to a poll at %s was lost. If the person has agreed, and it had a refresh token, one that Vault does not know lives at Zoho: let them remove it there, under Connected Apps of their account", lost.UTC().Format(time.RFC3339))
	if ended, ok := errors.AsType[*consentError](err); ok {
		told := *ended
		told.Text += ". " + text
		return &told
	}
	return appendText(err, text)
}

// pollForRefreshToken asks Zoho once whether the person has agreed.
func (e *Engine) pollForRefreshToken(ctx context.Context, x *exchange) error {
	c := x.code.consent
	var poll zoho.DevicePoll
	err := e.askZoho(ctx, x.config, question{
		turn: x.clientID, uncounted: true,
		admit: func(ctx context.Context) error {
			if err := e.admitPoll(ctx, x); err != nil {
				return err
			}
			x.asked = e.now()
			asking := *c.device
			asking.Device = asking.Device.Ask(x.asked, x.config.RequestTimeout)
			return e.store.put(ctx, c.key, asking)
		},
		ask: func(ctx context.Context, accounts *zoho.Client) (err error) {
			poll, err = accounts.PollDevice(ctx, x.app, x.code.value)
			x.Exchanged = poll.Exchanged
			return err
		},
		note: func(ctx context.Context, failed error) error { return e.notePoll(ctx, x, poll, failed) },
	})
	return err
}

// admitPoll puts a poll off while Zoho throttles the client, or no request is left for the tokens
// that the answer may have.
func (e *Engine) admitPoll(ctx context.Context, x *exchange) error {
	client, err := e.presentUsage(ctx, x.clientID)
	if err != nil {
		return err
	}
	now, limits := e.now(), x.config.Limits()
	until := time.Time{}
	if left, free := client.Quota.Left(now, limits); left == 0 {
		until = free
	}
	if silence := client.Quota.Throttled; silence.Forbids(now, limits) {
		until = silence.Until(now)
	}
	if until.IsZero() {
		return nil
	}
	c := x.code.consent
	later := *c.device
	later.Device = later.Device.Postponed(until)
	later.Trouble = "Zoho has to be left alone until " + until.UTC().Format(time.RFC3339) + ", since there were too many requests with this client"
	if err := e.store.put(ctx, c.key, later); err != nil {
		return err
	}
	return errNotYet(later.Trouble)
}

// notePoll writes down what came of a poll.
func (e *Engine) notePoll(ctx context.Context, x *exchange, poll zoho.DevicePoll, failed error) error {
	c := x.code.consent
	switch poll.State {
	case zoho.DevicePending, zoho.DeviceSlowDown:
		return e.waitOn(ctx, c, func(d *deviceEntry) {
			d.Device, d.Trouble = d.Device.Answered(e.now(), poll.State == zoho.DeviceSlowDown), ""
		}, nil)
	case zoho.DeviceDenied:
		return consentErrorf(ConsentDenied, "The person has denied the permission. Nothing has changed")
	case zoho.DeviceExpired:
		return c.perhapsLost(c.device.tooLate())
	case zoho.DeviceElsewhere:
		if poll.Home.Name == "" {
			return consentErrorf(ConsentOddAnswer, "The person's Zoho account is in another data centre, and the answer names none of Zoho's. Nothing has changed")
		}
		return c.elsewhere(poll.Home)
	case zoho.DeviceGiven:
	}
	if !x.AccessToken.IsZero() || !x.RefreshToken.IsZero() { // now it is a token request
		c.gave = true
		e.countRequest(x.asked, failed)
		limits, err := e.countingLimits(ctx, x.config)
		if err == nil {
			err = e.changeClient(ctx, x.app, func(u *refreshtoken.Usage) {
				u.Quota.Count(quota.Request{At: x.asked, Exchange: true, NoLiveToken: true}, limits)
			})
		}
		if err != nil { // what Zoho has given comes first
			e.log().Warn("could not count the request that has brought a consent's tokens", "role", x.role.Name, "error", err)
		}
		return e.noteExchanged(ctx, x, failed)
	}
	refused, ok := errors.AsType[*zoho.Error](failed)
	if !ok || refused.Kind.Definite() || refused.Unexplained {
		return c.perhapsLost(e.noteNotExchanged(ctx, x, failed))
	}
	return e.pollAgain(ctx, x, refused)
}

// pollAgain goes on after a poll that was not answered in order.
func (e *Engine) pollAgain(ctx context.Context, x *exchange, failed *zoho.Error) error {
	if err := e.changeUsage(ctx, x.clientID, func(u *refreshtoken.Usage) { noteExchangeAnswer(&u.Quota, e.now(), x, failed) }); err != nil {
		return err
	}
	var until time.Time
	if failed.Kind == zoho.Throttled {
		client, err := e.usage(ctx, x.clientID)
		if err != nil {
			return err
		}
		if client.Quota.Throttled != nil {
			until = client.Quota.Throttled.Until(e.now())
		}
	}
	const longest = 512
	text := failed.Error()
	return e.waitOn(ctx, x.code.consent, func(d *deviceEntry) {
		former := d.Device.Unanswered
		d.Device = d.Device.Ask(x.asked, x.config.RequestTimeout).Failed(e.now(), failed.NoToken(), until)
		if d.Device.Unanswered.IsZero() { // that one has lost nothing; what is not known of one before stays so
			d.Device.Unanswered = former
		}
		d.Trouble = text[:min(len(text), longest)]
	}, failed)
}

// waitOn stores that a consent goes on waiting.
func (e *Engine) waitOn(ctx context.Context, c *givenConsent, change func(*deviceEntry), why error) error {
	waiting := *c.device
	change(&waiting)
	if err := e.store.put(ctx, c.key, waiting); err != nil {
		return err
	}
	if why != nil {
		return errNotYet(why.Error())
	}
	return errNotYet("")
}
