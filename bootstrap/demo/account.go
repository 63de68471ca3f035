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
	real                                 bool
	description                          string
	server                               string // the field of zoho/config that says where it is
	control                              string // how to meddle with it, if that is possible
	clientID, clientSecret, refreshToken string
	close                                func() error
}

// openAccount takes the account that the environment names, or else starts a simulator, whose files go to dir.
func openAccount(ctx context.Context, dir string) (account, error) {
	a := account{
		real:         true,
		clientID:     os.Getenv("ZOHO_CLIENT_ID"),
		clientSecret: os.Getenv("ZOHO_CLIENT_SECRET"),
		refreshToken: os.Getenv("ZOHO_REFRESH_TOKEN"),
	}
	switch {
	case a.clientID == "" && a.clientSecret == "" && a.refreshToken == "":
		return simulated(ctx, dir)
	case a.clientID == "" || a.clientSecret == "" || a.refreshToken == "":
		return account{}, errors.New("for a real account set all of ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_REFRESH_TOKEN; for the simulator none of them")
	}
	dataCenter := os.Getenv("ZOHO_DATA_CENTER")
	if dataCenter == "" {
		dataCenter = "us"
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
		control:      "The simulated Zoho shows what it has seen, and can be made to fail: curl " + sim.URL + "/sim/",
		clientID:     sim.ClientID,
		clientSecret: sim.ClientSecret,
		refreshToken: sim.RefreshToken,
		close:        sim.Stop,
	}, nil
}
