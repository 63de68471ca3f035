package zohosim

import (
	"context"
	"net/http"
	"time"
)

// Options set up a simulator. The zero value is usable, and as strict as the
// pages of the Accounts server. Hardest adds the readings that are harder still.
type Options struct {
	// Clock tells the time; the default is time.Now. Tests pass the Now of a
	// StoppedClock. It must not call back into the simulator.
	Clock func() time.Time

	// Wait passes Latency: it returns after d, or with an error as soon as ctx
	// ends. Tests replace it so that nothing sleeps.
	Wait func(ctx context.Context, d time.Duration) error

	// Latency delays each answer. The work is done before the delay, so a
	// caller that gives up leaves behind a token that it never saw, as it
	// would at Zoho. Default 0.
	Latency time.Duration

	// TokenLife is how long an access token lives: default one hour.
	TokenLife time.Duration

	// CodeLife is how long a grant code lives: default two minutes.
	// Codes of a Self Client may be made with up to ten minutes; some
	// products' pages say 60 seconds for all.
	// Source: help.zoho.com, "Why am I getting invalid code and invalid
	// redirect URI error?"
	CodeLife time.Duration

	// Throttle is the limit on token requests.
	Throttle Throttle

	// MaxLiveTokens is the number of live access tokens per refresh token; one
	// more kills the oldest. Default 10.
	// Source: zoho.com/accounts/protocol/oauth/token-limits.html; older pages
	// of single products say 15 or 30.
	MaxLiveTokens int

	// MaxClientTokens is the same for the access tokens that one client has
	// from client_credentials in one data centre. No document says whether
	// there is such a cap. Default: MaxLiveTokens; negative: none.
	MaxClientTokens int

	// MaxRefreshTokens is the number of refresh tokens per user and client;
	// one more kills the oldest and its access tokens. Default 20.
	// Source: zoho.com/accounts/protocol/oauth/token-limits.html
	MaxRefreshTokens int

	// RefreshTokensPerUser counts a user's refresh tokens over all clients of a
	// data centre.
	// Sources: Zoho Recruit, "Refreshing Access Tokens", and Zoho Analytics,
	// "Generating Token" ("A user ... can have a maximum of 20 refresh tokens");
	// other pages say per user and client.
	RefreshTokensPerUser bool

	// RefuseExcessRefreshTokens refuses the exchange for one refresh token more
	// than MaxRefreshTokens, with HTTP 400 and "Access Denied", and leaves the
	// older tokens alone.
	// Source: zoho.com/projects/help/rest-api/faq/oauth.html ("An error (Access
	// Denied) is displayed when you exceed this limit"). It shows neither the
	// status nor the body; both are guesses here.
	RefuseExcessRefreshTokens bool

	// RefreshTokensPerMinute is how many refresh tokens a user gets by exchanges
	// within a minute, over all clients of a data centre. The next exchange is
	// answered like a throttled request, and its code is used up. Default: no
	// such limit.
	// Source: the older OAuth pages of Zoho Recruit, Desk and Creator (5). They
	// do not say what the answer is, nor whether a block follows (here: none).
	RefreshTokensPerMinute int

	// RefreshTokensPerTenMinutes is the same for one client and ten minutes,
	// over all users. Default: no such limit.
	// Sources: Zoho CRM vertical solutions v5, "Token Validity" (20 in a span of
	// 10 minutes per client ID). Kaizen #43 says 10 per user and client. The
	// throttle counts exchanges per client too, so as long as its limit is 10,
	// neither number is reached.
	RefreshTokensPerTenMinutes int

	// CodesPerMinute is how many grant codes a user makes for a client on the
	// consent page within a minute. After one more, each answer of the next ten
	// minutes is access_denied. The token endpoint counts exchanges per client
	// likewise: after one more in a minute, each is answered like a throttled
	// request, and Throttle.Block and Throttle.FixedBlock say for how long; the
	// codes stay good. Default: no such limit, only 10 codes in 10 minutes.
	// Source: zoho.com/projects/help/rest-api/faq/oauth.html (four codes per
	// minute and client ID, then ten minutes of block). It does not speak of
	// exchanges.
	CodesPerMinute int

	// DeviceLife is how long a device code lives: default five minutes.
	// Source: zoho.com/accounts/protocol/oauth/devices/initiation-request.html
	DeviceLife time.Duration

	// DevicePollInterval is the least time between two polls of a device code; an earlier one
	// gets slow_down. Default 30 seconds, although the initiation answers an interval of five.
	// Source: zoho.com/accounts/protocol/oauth/devices/polling-request.html
	DevicePollInterval time.Duration

	// DeviceSlowDown lengthens DevicePollInterval of a device code with each slow_down. Default:
	// not at all; no page of Zoho's says so.
	// Source: RFC 8628, section 3.5 (5 seconds).
	DeviceSlowDown time.Duration

	// Answer is the shape of successful token answers.
	Answer Answer

	// RealDomains puts Zoho's real hosts into api_domain, accounts-server and
	// serverinfo. By default they lead back to the simulator, so that a test
	// cannot call Zoho by accident.
	RealDomains bool

	// LegacyRevokeRefusesAccessTokens makes POST /oauth/v2/token/revoke take
	// refresh tokens only, which is how older pages of Zoho describe it for
	// clients other than JavaScript applications.
	LegacyRevokeRefusesAccessTokens bool

	// Missing names endpoints that answer 404, as on a server without the
	// newer (or no longer with the older) revocation endpoint.
	Missing []Endpoint
}

// Throttle describes Zoho's limit on token requests. It counts per refresh
// token; requests without one count per client. Failing requests count too.
//
// Source: zoho.com/accounts/protocol/oauth/token-limits.html ("A total of 10
// access token requests can be made within 10 minutes").
type Throttle struct {
	// Limit is how many requests are answered within Window: default 10;
	// negative switches the throttle off.
	Limit int

	// Window defaults to ten minutes.
	Window time.Duration

	// Block is for how long requests are refused once the limit was hit:
	// default ten minutes. Afterwards the count starts from nothing.
	Block time.Duration

	// FixedBlock lets a block end Block after the request that caused it. By
	// default each request during the block starts it anew: users report that
	// only silence of 15 to 30 minutes ends it, although no document says so.
	FixedBlock bool

	// PerClient counts all token requests of a client in a data centre together.
	// Source: zoho.com/accounts/protocol/oauth/token-limits.html ("an app");
	// other pages say per refresh token.
	PerClient bool

	// Status of the refusal: default 400. An official article (Kaizen #43)
	// says 200; measurements say 400.
	Status int

	// Chinese words the refusal as Zoho does for Chinese callers; they have
	// recorded that both the error and its description are translated.
	Chinese bool
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Wait == nil {
		o.Wait = waitFor
	}
	o.TokenLife = orDefault(o.TokenLife, time.Hour)
	o.CodeLife = orDefault(o.CodeLife, 2*time.Minute)
	o.MaxLiveTokens = orDefault(o.MaxLiveTokens, 10)
	o.MaxClientTokens = orDefault(o.MaxClientTokens, o.MaxLiveTokens)
	o.MaxRefreshTokens = orDefault(o.MaxRefreshTokens, 20)
	o.DeviceLife = orDefault(o.DeviceLife, 5*time.Minute)
	o.DevicePollInterval = orDefault(o.DevicePollInterval, 30*time.Second)
	o.Throttle = o.Throttle.withDefaults()
	return o
}

func (t Throttle) withDefaults() Throttle {
	t.Limit = orDefault(t.Limit, 10)
	t.Window = orDefault(t.Window, 10*time.Minute)
	t.Block = orDefault(t.Block, 10*time.Minute)
	t.Status = orDefault(t.Status, http.StatusBadRequest)
	return t
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
