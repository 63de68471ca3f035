package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"vault-plugin-secrets-zoho/zohosim"
)

func newClient(sim *zohosim.Sim, redirectURI string) *zohosim.Client {
	if redirectURI == "" {
		return sim.AddClient(zohosim.ClientSpec{Kind: zohosim.SelfClient})
	}
	return sim.AddClient(zohosim.ClientSpec{Kind: zohosim.WebClient, RedirectURIs: []string{redirectURI}})
}

// newWebClient registers one more client, server-based or for user codes, as somebody does in the API console
// who knows where the consent page has to lead back to: often only after this
// program has been started.
func (c control) newWebClient(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("kind") == string(zohosim.DeviceClient) {
		c.sayClient(w, c.sim.AddClient(zohosim.ClientSpec{Kind: zohosim.DeviceClient}))
		return
	}
	target := r.FormValue("redirect_uri")
	if parsed, err := url.Parse(target); err != nil || parsed.Host == "" || !slices.Contains([]string{"http", "https"}, parsed.Scheme) {
		say(w, http.StatusBadRequest, "redirect_uri must be an address such as http://127.0.0.1:8200/v1/zoho/callback\n")
		return
	}
	c.sayClient(w, newClient(c.sim, target))
}

func (c control) sayClient(w http.ResponseWriter, client *zohosim.Client) {
	say(w, http.StatusOK, fmt.Sprintf("ZOHO_CLIENT_ID=%s\nZOHO_CLIENT_SECRET=%s\n", client.ID, client.Secret(c.dc)))
}
