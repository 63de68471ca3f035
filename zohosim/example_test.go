package zohosim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

func Example() {
	clock := zohosim.StoppedClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	sim := zohosim.New(zohosim.Options{Clock: clock.Now})
	defer sim.Close()
	accounts, err := sim.Listen("eu")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := sim.AddClient(zohosim.ClientSpec{Kind: zohosim.SelfClient})
	refreshToken := sim.Consent(client, "eu", "user@example.com", []string{"ZohoCRM.modules.ALL"})

	var token struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	answer, err := http.PostForm(accounts.URL+"/oauth/v2/token", url.Values{
		"grant_type":    {"refresh_token"},
		"client_id":     {client.ID},
		"client_secret": {client.Secret("eu")},
		"refresh_token": {refreshToken},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(&token); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("expires in", token.ExpiresIn, "seconds")
	fmt.Println("alive:", sim.Alive(token.AccessToken))
	clock.Advance(time.Hour)
	fmt.Println("an hour later:", sim.Alive(token.AccessToken))
	// Output:
	// expires in 3600 seconds
	// alive: true
	// an hour later: false
}
