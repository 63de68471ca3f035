package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

// A control is what people use by hand to look into the simulator and to make
// it fail. Zoho has nothing of the kind.
type control struct {
	sim    *zohosim.Sim
	clock  *zohosim.Clock
	client *zohosim.Client
	dc     string
}

// withControl puts the control surface in front of the simulated data centre.
// Only /sim/ goes through a ServeMux: that cleans paths and would redirect
// where Zoho answers 404.
func withControl(sim *zohosim.Sim, clock *zohosim.Clock, client *zohosim.Client, dc string) http.Handler {
	c := control{sim: sim, clock: clock, client: client, dc: dc}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sim/{$}", c.help)
	mux.HandleFunc("GET /sim/requests", c.requests)
	mux.HandleFunc("GET /sim/tokens", c.tokens)
	mux.HandleFunc("POST /sim/faults", c.addFault)
	mux.HandleFunc("DELETE /sim/faults", c.clearFaults)
	mux.HandleFunc("POST /sim/down", c.setDown(true))
	mux.HandleFunc("POST /sim/up", c.setDown(false))
	mux.HandleFunc("POST /sim/advance", c.advance)
	mux.HandleFunc("POST /sim/code", c.newCode)
	mux.HandleFunc("POST /sim/client", c.newWebClient)
	mux.HandleFunc("POST /sim/secret", c.newSecret)
	mux.HandleFunc("GET /sim/evicted", c.evicted)
	mux.HandleFunc("POST /sim/remove-user", c.removeUser)
	zoho := sim.Handler(dc)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/sim/") {
			mux.ServeHTTP(w, r)
			return
		}
		zoho.ServeHTTP(w, r)
	})
}

func (c control) help(w http.ResponseWriter, r *http.Request) {
	say(w, http.StatusOK, fmt.Sprintf(`This is a simulated Zoho data centre (%[1]s). Its clock shows %[2]s.

GET    /sim/requests         what has arrived, oldest first; tokens only as fingerprints
GET    /sim/tokens           what is alive, likewise
GET    /sim/evicted          what newer tokens have pushed out, likewise
POST   /sim/faults           let an endpoint fail; form fields:
                               endpoint   %[3]s
                               kind       %[4]s
                               count      how many requests; default 0: all
                               processed  true: do the work first, then fail
                               status, body  for kind answer
DELETE /sim/faults           end all faults
POST   /sim/down             close each connection without an answer
POST   /sim/up               stop that
POST   /sim/advance          move the clock forward; form field:
                               by        how far, such as 30m
POST   /sim/code             a grant code for the client, as from the API console;
                             form fields:
                               scope         separated by commas
                               user          default user@example.com
                               organisation  true: for the organisation
                               soid          which one, as ZohoCRM.600123434
POST   /sim/client           register a client for a person's consent; form fields:
                               redirect_uri  of a server-based one: where the page leads back to
                               kind          device: a non-browser application, for user codes
POST   /sim/secret           give the client a new secret, as in the API console: the former
                             one and the client's refresh tokens are dead
POST   /sim/remove-user      kill what belongs to a user, not to the organisation;
                             form field user

For example:

  curl -d endpoint=token -d kind=html-500 -d count=2 http://%[5]s/sim/faults
  curl -d by=30m http://%[5]s/sim/advance
`, c.dc, c.clock.Now().Format(time.RFC3339), list(zohosim.Endpoints()), list(zohosim.FaultKinds()), r.Host))
}

func (c control) requests(w http.ResponseWriter, _ *http.Request) { sayJSON(w, c.sim.Requests()) }

func (c control) tokens(w http.ResponseWriter, _ *http.Request) { sayJSON(w, c.sim.Tokens()) }

func (c control) evicted(w http.ResponseWriter, _ *http.Request) { sayJSON(w, c.sim.Evicted()) }

func (c control) newSecret(w http.ResponseWriter, _ *http.Request) {
	say(w, http.StatusOK, c.client.RegenerateSecret(c.dc)+"\n")
}

func (c control) removeUser(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if user == "" {
		say(w, http.StatusBadRequest, "user must be a user's name, for example user@example.com\n")
		return
	}
	say(w, http.StatusOK, fmt.Sprintf("%s: %d refresh tokens\n", user, c.sim.RemoveUser(user)))
}

func (c control) addFault(w http.ResponseWriter, r *http.Request) {
	endpoint := zohosim.Endpoint(r.FormValue("endpoint"))
	fault := zohosim.Fault{Kind: zohosim.FaultKind(r.FormValue("kind")), Body: r.FormValue("body")}
	if !slices.Contains(zohosim.Endpoints(), endpoint) {
		say(w, http.StatusBadRequest, "endpoint must be one of: "+list(zohosim.Endpoints())+"\n")
		return
	}
	if !slices.Contains(zohosim.FaultKinds(), fault.Kind) {
		say(w, http.StatusBadRequest, "kind must be one of: "+list(zohosim.FaultKinds())+"\n")
		return
	}
	var err error
	if fault.Count, err = number(r, "count", 0, 1_000_000); err != nil {
		say(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	if fault.Status, err = number(r, "status", 200, 599); err != nil {
		say(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	fault.Processed = r.FormValue("processed") == "true"
	c.sim.Fault(endpoint, fault)
	say(w, http.StatusOK, fmt.Sprintf("%s: %s\n", endpoint, fault.Kind))
}

func (c control) clearFaults(w http.ResponseWriter, _ *http.Request) {
	c.sim.ClearFaults()
	say(w, http.StatusOK, "no faults\n")
}

func (c control) setDown(down bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c.sim.SetDown(down)
		say(w, http.StatusOK, map[bool]string{true: "down\n", false: "up\n"}[down])
	}
}

func (c control) advance(w http.ResponseWriter, r *http.Request) {
	by, err := time.ParseDuration(r.FormValue("by"))
	if err != nil || by < 0 {
		say(w, http.StatusBadRequest, "by must be a positive duration, for example by=30m\n")
		return
	}
	c.clock.Advance(by)
	say(w, http.StatusOK, c.clock.Now().Format(time.RFC3339)+"\n")
}

func (c control) newCode(w http.ResponseWriter, r *http.Request) {
	scopes := demoScopes()
	if scope := r.FormValue("scope"); scope != "" {
		scopes = strings.Split(scope, ",")
	}
	if !zohosim.WellFormed(scopes...) {
		say(w, http.StatusBadRequest, "scope must be like ZohoCRM.modules.ALL,ZohoCRM.org.READ\n")
		return
	}
	say(w, http.StatusOK, c.sim.Code(c.client, c.dc, zohosim.CodeSpec{
		User: r.FormValue("user"), Scopes: scopes, PromptConsent: true,
		Organisation: r.FormValue("organisation") == "true", SOID: r.FormValue("soid"),
	})+"\n")
}

// number reads an optional form field; it is 0 when absent.
func number(r *http.Request, field string, least, most int) (int, error) {
	text := r.FormValue(field)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s must be a number from %d to %d", field, least, most)
	}
	return n, nil
}

func list[T ~string](values []T) string {
	var names []string
	for _, value := range values {
		names = append(names, string(value))
	}
	return strings.Join(names, ", ")
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a caller that has left does not want it
}

func sayJSON(w http.ResponseWriter, body any) {
	encoded, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		say(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(encoded, '\n')) // likewise
}
