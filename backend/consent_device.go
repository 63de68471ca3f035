package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vault-plugin-secrets-zoho/backend/device"
	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/work"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// mostDevices is how many consents with a user code can be pending in a mount, one for each role.
// Each is polled twice a minute.
const mostDevices = 100

// deviceEntry is a consent with a user code that was begun: devices/<role>. The user code itself
// is only in the answer of authorize.
type deviceEntry struct {
	consentEntry
	Device  device.Pending `json:"device"`
	Trouble string         `json:"trouble,omitempty"` // why the latest poll was no question that Zoho answered
}

// DeviceAuthorization is what a person has to type, where, and until when. Whoever agrees puts
// their account behind the role.
type DeviceAuthorization struct {
	UserCode        string
	VerificationURL string
	ExpiresAt       time.Time
	ClientID        string // which Zoho's page names
	Warnings        []string
}

// AuthorizeDevice begins to ask a person for consent, with a code that they type. One that was
// pending for the role is void. The engine polls by itself until the person has decided.
func (e *Engine) AuthorizeDevice(ctx context.Context, name string) (*DeviceAuthorization, error) {
	return work.Result(ctx, e.work, func(ctx context.Context) (*DeviceAuthorization, error) { return e.authorizeDevice(ctx, name) })
}

func (e *Engine) authorizeDevice(ctx context.Context, name string) (*DeviceAuthorization, error) {
	slot, err := e.takeRole(ctx, name)
	if err != nil {
		return nil, err
	}
	defer slot.release()
	role, config, err := e.roleAndConfig(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := role.CheckCanAskWithCode(); err != nil {
		return nil, err
	}
	if err := e.checkRoomForDevice(ctx, name); err != nil {
		return nil, err
	}
	asked := *role
	if asked.Pin, err = role.ConsentPin(config); err != nil {
		return nil, err
	}
	warnings, err := e.consentWarnings(ctx, role, &asked)
	if err != nil {
		return nil, err
	}
	app, err := asked.App(config)
	if err != nil {
		return nil, err
	}
	entry := deviceEntry{consentEntry: e.newConsent(role, asked.Pin, config)}
	entry.RedirectURI = ""
	x := &exchange{role: &asked, app: app, config: config, clientID: e.clientQuotaID(app.AccountsURL, app.ClientID), code: grantCode{consent: &givenConsent{consentEntry: &entry.consentEntry, device: &entry}}}
	start, err := e.startDevice(ctx, x)
	if err != nil {
		e.log().Warn("could not begin an authorization with a user code", "role", name, "error", err)
		return nil, tellWhoseClient(&asked, err)
	}
	entry.Device = device.Begin(start.DeviceCode, x.asked, start.Interval, start.Life)
	if err := e.store.put(ctx, prefixDevices+name, entry); err != nil {
		return nil, err
	}
	last := LastConsent{Key: e.deviceKey(&entry), Method: MethodDevice, BegunAt: entry.Device.BegunAt, ExpiresAt: entry.Device.ExpiresAt}
	if err := e.store.put(ctx, prefixLastConsents+name, last); err != nil {
		return nil, err
	}
	e.pollLater(name, entry.Device)
	e.log().Info("an authorization was begun", "role", name, "expires_at", entry.Device.ExpiresAt, "method", MethodDevice)
	return &DeviceAuthorization{
		UserCode: start.UserCode, VerificationURL: start.VerificationURL, ExpiresAt: entry.Device.ExpiresAt,
		ClientID: app.ClientID, Warnings: warnings,
	}, nil
}

// checkRoomForDevice fails if too many consents with user codes are pending.
func (e *Engine) checkRoomForDevice(ctx context.Context, role string) error {
	pending, err := e.store.List(ctx, prefixDevices)
	if err != nil {
		return err
	}
	others := 0
	for _, name := range pending {
		if name != role {
			others++
		}
	}
	if others >= mostDevices {
		return &GrantError{Kind: zoho.Throttled, RetryAt: e.now().Add(device.Life), Text: fmt.Sprintf("%d authorizations with a user code are pending in this mount, and there can be no more. Each ends within five minutes.", others)}
	}
	return nil
}

// deviceKey names a consent in last_consent: a role can have had others.
func (e *Engine) deviceKey(entry *deviceEntry) string {
	return prefixDevices + entry.Role + "#" + e.fingerprint("device code", entry.Device.Code.Reveal())
}

// startDevice asks Zoho for a user code. It counts as a claim on the client, as a grant code does:
// who may authorize one role can use up no more of what other roles of the client need.
func (e *Engine) startDevice(ctx context.Context, x *exchange) (start zoho.DeviceStart, err error) {
	err = e.askZoho(ctx, x.config, question{
		turn: x.clientID, uncounted: true,
		admit: func(ctx context.Context) error {
			sent, err := e.admitExchange(ctx, x)
			if err != nil {
				return prependText("No user code was asked for. ", err)
			}
			return e.countExchange(ctx, x, sent)
		},
		ask: func(ctx context.Context, accounts *zoho.Client) (err error) {
			start, err = accounts.StartDevice(ctx, x.app, x.role.Scopes)
			return err
		},
		note: func(ctx context.Context, failed error) error {
			if failed == nil {
				return nil
			}
			if refused, ok := errors.AsType[*zoho.Error](failed); ok && refused.Kind.Definite() {
				if err := e.countRefusal(ctx, x.role.Name, x.config); err != nil {
					return err
				}
			}
			if err := e.changeUsage(ctx, x.clientID, func(u *refreshtoken.Usage) { noteExchangeAnswer(&u.Quota, e.now(), x, failed) }); err != nil {
				return err
			}
			return asGrantError(failed)
		},
	})
	return start, err
}

// pollLater has a role's consent polled when that is due. Tick polls what nobody else does: after
// a crash, a reload or a leader change.
func (e *Engine) pollLater(role string, pending device.Pending) {
	e.later(pending.Wait(e.now()), func() { e.work.Go(func() { e.pollDevice(role) }) })
}

// pollDevices polls what is due, in the background.
func (e *Engine) pollDevices(ctx context.Context) error {
	roles, err := e.store.List(ctx, prefixDevices)
	for _, role := range roles {
		e.work.Go(func() { e.pollDevice(role) })
	}
	return err
}

// pollDevice does what is due for the consent of a role: a poll, or its end.
func (e *Engine) pollDevice(role string) {
	ctx, cancel := context.WithTimeout(e.work.Life(), flightLimit)
	defer cancel()
	err := e.work.Once(ctx, "device "+role, func(ctx context.Context) error { return e.doPollDevice(ctx, role) })
	if err != nil {
		e.log().Warn("could not look for a person's consent; that is tried again within a minute", "role", role, "error", err)
	}
}

func (e *Engine) doPollDevice(ctx context.Context, role string) error {
	if err := e.Open(ctx); err != nil {
		return err
	}
	entry, err := get[deviceEntry](ctx, e.store, prefixDevices+role)
	if IsBroken(err) {
		return e.store.Delete(ctx, prefixDevices+role)
	}
	if err != nil || entry == nil {
		return err
	}
	if now := e.now(); !entry.Device.IsOver(now) && !entry.Device.Due(now) {
		return nil
	}
	given := &givenConsent{consentEntry: &entry.consentEntry, key: prefixDevices + role, device: entry}
	warnings, err := e.writeGiven(ctx, role, given)
	if !given.found && outcomeOf(err) == ConsentLinkInvalid {
		return nil // another poll, or a new consent, was faster
	}
	if given.staysPending(err) {
		if isPostponed(err) {
			e.log().Debug("a person's consent is not there yet", "role", role, "error", err)
			err = nil
		}
		if waiting, lost := get[deviceEntry](ctx, e.store, prefixDevices+role); lost == nil && waiting != nil {
			e.pollLater(role, waiting.Device)
		}
		return err
	}
	c := Consent{Outcome: outcomeOf(err), Role: role}
	if err == nil {
		c.Doubts = e.doubtsOfRole(ctx, role)
	}
	e.reportConsent(c, warnings, err)
	return nil
}
