//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// offerDevice makes a role for which a person types a code into a page of Zoho's. Its client is of
// a kind of its own, so with a real account nothing is offered.
func (e *environment) offerDevice(ctx context.Context) error {
	if e.zoho.deviceClient == nil {
		return nil
	}
	id, clientSecret, err := e.zoho.deviceClient(ctx)
	if err != nil {
		return err
	}
	if err := e.writeFile("device-client-secret", clientSecret); err != nil {
		return err
	}
	e.term.say("A person can consent without a way back to Vault: a role with a client of the type Non-browser Mobile Applications.")
	if _, err = e.term.run(ctx, "write", "zoho/roles/tv", "client_id="+id, "client_secret=@"+e.file("device-client-secret"), "scopes=ZohoCRM.org.READ"); err != nil {
		return err
	}
	e.device = true
	return nil
}

// demonstrateDevice shows a consent with a user code. The person is played by this program.
func (e *environment) demonstrateDevice(ctx context.Context) error {
	if err := e.offerDevice(ctx); err != nil || !e.device {
		return err
	}
	e.term.say("Vault answers a code, which a person types into a page of Zoho's. Vault polls.")
	out, err := e.term.run(ctx, "write", "zoho/roles/tv/authorize", "method=device")
	if err != nil {
		return err
	}
	code, err := fields(out, "user_code", "verification_url")
	if err != nil {
		return err
	}
	if err := agreeTo(ctx, code["verification_url"], code["user_code"]); err != nil {
		return err
	}
	e.term.say("The person has agreed. Zoho may be asked every 30 seconds, and the first time after five.")
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		state, err := e.term.quietly(ctx, "read", "-field=last_consent", "zoho/roles/tv/status")
		if err != nil {
			return err
		}
		if strings.Contains(state, "granted") {
			_, err = e.term.run(ctx, "read", "-field=last_consent", "zoho/roles/tv/status")
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("nobody has noticed that the person has agreed: " + state)
		case <-time.After(time.Second / 2):
		}
	}
}

// agreeTo presses the buttons of the simulated Zoho's page.
func agreeTo(ctx context.Context, page, userCode string) error {
	form := url.Values{"user_code": {userCode}, "decision": {"accept"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, page, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the page for user codes answered HTTP %d", resp.StatusCode)
	}
	return nil
}
