//go:build unix

package main

import (
	"context"
)

// offerConsent makes a role to which a person can consent in a browser. A Self Client, as the mount's is, sends nobody to a
// consent page, so the role has a server-based client of its own. With a real account a person would have to register the address
// of this Vault, which is another one each time: then nothing is offered.
func (e *environment) offerConsent(ctx context.Context) error {
	if e.zoho.webClient == nil {
		return nil
	}
	callback := e.vault.Addr() + "/v1/zoho/callback"
	id, clientSecret, err := e.zoho.webClient(ctx, callback)
	if err != nil {
		return err
	}
	if err := e.writeFile("web-client-secret", clientSecret); err != nil {
		return err
	}
	e.term.say("A person can consent in a browser, too. At Zoho a server-based client was registered that leads back to this mount's callback. The mount has to know that address.")
	if _, err := e.term.run(ctx, "write", "zoho/config", "redirect_uri="+callback); err != nil {
		return err
	}
	e.term.say("A role has that client, and the scopes to ask for.")
	// By its whole path, so that the command can be pasted elsewhere.
	_, err = e.term.run(ctx, "write", "zoho/roles/person", "client_id="+id, "client_secret=@"+e.file("web-client-secret"), "scopes=ZohoCRM.modules.ALL,ZohoCRM.org.READ,email")
	if err != nil {
		return err
	}
	e.term.say("Vault answers where the person is to be sent.")
	out, err := e.term.run(ctx, "write", "-f", "zoho/roles/person/authorize")
	if err != nil {
		return err
	}
	answer, err := fields(out, "authorization_url")
	e.consent = answer["authorization_url"]
	return err
}
