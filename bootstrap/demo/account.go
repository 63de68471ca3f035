//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"vault-plugin-secrets-zoho/bootstrap"
)

// account is the Zoho to talk to.
type account struct {
	real                   bool
	description            string
	server                 string // the field of zoho/config that says where it is
	simulator              string // its address, if it is simulated
	clientID, clientSecret string
	origin                 origin
	// webClient registers a client whose consent page leads back to a mount; nil where only a person can do that.
	webClient func(ctx context.Context, redirectURI string) (id, clientSecret string, err error)
	// deviceClient registers a client for user codes; nil likewise.
	deviceClient func(ctx context.Context) (id, clientSecret string, err error)
	close        func() error
}

// origin is what the role gets its tokens from.
type origin struct {
	field, file string // zoho/roles/crm-sync field=@file
	explained   string
	secret      func(context.Context) (string, error)
	// temporary: the role's refresh token is known to nobody else, so it goes when the environment does.
	temporary bool
}

func fromCode(secret func(context.Context) (string, error)) origin {
	return origin{
		field: "code", file: "grant-code", secret: secret, temporary: true,
		explained: "A role gets a grant code, as Zoho's API console gives one to a Self Client. The plugin exchanges it at once for a refresh token, which it keeps and gives to nobody.",
	}
}

func fromRefreshToken(token string) origin {
	return origin{
		field: "refresh_token", file: "refresh-token", secret: given(token),
		explained: "A role gets a refresh token, and gives it to nobody. The write tries it at Zoho, so that a wrong one is found now.",
	}
}

func given(secret string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return secret, nil }
}

// openAccount takes the account that the environment names, or else starts a simulator, whose files go to dir.
func openAccount(ctx context.Context, dir string) (account, error) {
	a := account{
		real:         true,
		clientID:     os.Getenv("ZOHO_CLIENT_ID"),
		clientSecret: os.Getenv("ZOHO_CLIENT_SECRET"),
	}
	refreshToken, code := os.Getenv("ZOHO_REFRESH_TOKEN"), os.Getenv("ZOHO_CODE")
	dataCenter := os.Getenv("ZOHO_DATA_CENTER")
	switch {
	case a.clientID == "" && a.clientSecret == "" && refreshToken == "" && code == "":
		return simulated(ctx, dir)
	case a.clientID == "" || a.clientSecret == "" || (refreshToken == "" && code == ""):
		return account{}, errors.New("for a real account set ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET, and ZOHO_REFRESH_TOKEN or ZOHO_CODE; for the simulator none of them")
	case dataCenter == "":
		// As the engine itself refuses it: a guess would send the secret to a server that need not know it.
		return account{}, errors.New("for a real account set ZOHO_DATA_CENTER as well: the client secret is sent to the Accounts server of that data centre. It is what the address of your Zoho account ends in: us for zoho.com, eu for zoho.eu, in for zoho.in")
	case code != "":
		a.origin = fromCode(given(code))
	default:
		a.origin = fromRefreshToken(refreshToken)
	}
	a.server = "data_center=" + dataCenter
	a.description = fmt.Sprintf("the real one, data centre %s; tokens are shown shortened", strings.ToUpper(dataCenter))
	return a, nil
}

func simulated(ctx context.Context, dir string) (account, error) {
	sim, err := bootstrap.StartSimulator(ctx, dir)
	if err != nil {
		return account{}, err
	}
	return account{
		description:  "simulated at " + sim.URL,
		server:       "accounts_url=" + sim.URL,
		simulator:    sim.URL,
		clientID:     sim.ClientID,
		clientSecret: sim.ClientSecret,
		origin:       fromCode(sim.Code),
		webClient:    sim.WebClient,
		deviceClient: sim.DeviceClient,
		close:        sim.Stop,
	}, nil
}
