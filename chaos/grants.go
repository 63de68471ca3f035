//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"vault-plugin-secrets-zoho/zohosim"
)

const (
	exclusiveRole = "own"
	hurriedRole   = "crm-sync" // is read by readers in a hurry, beside others
	shortRole     = "short"    // its leases often run out, or are left to Vault to revoke
)

// grant is what one or two roles mint from. Each refresh token is of another user, so that a
// token tells from which one it came. The operator alone uses it.
type grant struct {
	roles  []string
	fields map[string]any // of the roles, beside the credentials
	robot  bool           // client_credentials: no refresh token

	client *zohosim.Client
	owners []owner // what the roles may have now: one, or more while a write has had no answer
}

// owner is whom a refresh token, or an organisation's client_credentials, belongs to.
type owner struct {
	name string
	gone time.Time // not before that it is certain that the roles have another; zero: they may have this one
}

func newGrants() []*grant {
	return []*grant{
		{roles: []string{"crm-sync", "crm-report"}},
		{roles: []string{"books"}},
		{roles: []string{shortRole}, fields: map[string]any{"ttl": "15s"}},
		{roles: []string{exclusiveRole}, fields: map[string]any{"exclusive": true}},
		{roles: []string{"robot"}, robot: true},
	}
}

// readRoles are the roles as often as they are read: an exclusive one costs a token request each time.
func readRoles() []string {
	return []string{"crm-sync", "crm-sync", "crm-sync", "crm-report", "crm-report", "books", "books", "books", shortRole, shortRole, "robot", "robot", exclusiveRole, exclusiveRole}
}

// ownerNames are those that the roles may have.
func (g *grant) ownerNames() (names []string) {
	g.owners = slices.DeleteFunc(g.owners, func(o owner) bool { return !o.gone.IsZero() && time.Now().After(o.gone) })
	for _, o := range g.owners {
		names = append(names, o.name)
	}
	return names
}

// credentials makes new ones. With a code the engine gets the refresh token itself.
func (w *world) credentials(g *grant, byCode bool) (of string, fields map[string]any) {
	w.mu.Lock()
	w.owners++
	n := w.owners
	w.mu.Unlock()
	scopes := []string{"ZohoCRM.modules.ALL"}
	fields = map[string]any{"client_id": g.client.ID, "client_secret": g.client.Secret("us")}
	switch {
	case g.robot:
		of = fmt.Sprintf("ZohoCRM.%d", n)
		fields["grant_type"], fields["scopes"], fields["soid"] = "client_credentials", scopes, of
	case byCode:
		of = fmt.Sprintf("user%d@example.com", n)
		fields["code"] = w.sim.Code(g.client, "us", zohosim.CodeSpec{User: of, Scopes: scopes})
	default:
		of = fmt.Sprintf("user%d@example.com", n)
		fields["refresh_token"] = w.sim.Consent(g.client, "us", of, scopes)
	}
	for key, value := range g.fields {
		fields[key] = value
	}
	return of, fields
}

// newCredentials writes all roles of a grant with the same new credentials. A grant of
// two roles gets no code, which is good for one.
func (w *world) newCredentials(ctx context.Context, rng *rand.Rand, g *grant, byCode bool) outcome {
	of, fields := w.credentials(g, byCode && len(g.roles) == 1)
	g.owners = append(g.owners, owner{name: of})
	w.h.note("operator writes %v with the credentials of %s, by code: %t", g.roles, of, byCode)
	worst := done
	for _, role := range g.roles {
		came := unclear
		for try := 0; came == unclear && try < 3 && ctx.Err() == nil; try++ {
			_, err := w.write(ctx, rng.IntN(nodeCount), "zoho/roles/"+role, fields)
			if came = outcomeOf(err); err != nil {
				w.h.note("operator cannot write %s: %.200q", role, err.Error())
				wait(ctx, time.Second)
			}
		}
		worst = max(worst, came)
	}
	if worst == done {
		for i := range g.owners {
			if g.owners[i].name != of && g.owners[i].gone.IsZero() {
				g.owners[i].gone = time.Now().Add(afterEffect)
			}
		}
	}
	return worst
}

// renew gives all grants new clients and new credentials, while nothing is in its way.
func (w *world) renew(ctx context.Context, rng *rand.Rand) error {
	for _, g := range w.grants {
		if err := w.renewGrant(ctx, rng, g); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) renewGrant(ctx context.Context, rng *rand.Rand, g *grant) error {
	g.client = w.sim.AddClient(zohosim.ClientSpec{})
	w.logs.addSecret(g.client.Secret("us"))
	for try := 0; w.newCredentials(ctx, rng, g, false) != done; try++ {
		if try == 10 || !wait(ctx, time.Second) {
			return fmt.Errorf("the roles %v cannot be written although nothing is in the way; this is what happened last:\n%s", g.roles, w.h.story("", time.Now().Add(-time.Minute), time.Now(), nil))
		}
	}
	return nil
}
