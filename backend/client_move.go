package backend

import (
	"context"
	"fmt"
	"strings"

	"vault-plugin-secrets-zoho/backend/settings"
)

const (
	// namedRoles is how many roles a warning names.
	namedRoles = 10

	// mostRolesLookedAt bounds what a write of the config reads. Beyond it the number in
	// the message is a lower bound.
	mostRolesLookedAt = 10_000
)

// clientMove is what becomes of the roles if the mount's client is changed, or deleted. A
// role that uses it was written for one client at one Accounts server, and mints with no
// other; one with a client of its own goes on.
type clientMove struct {
	from, to *settings.Config
	ending   []string // roles that can mint with from and not with to: the first few
	count    int      // how many of them there are
	partial  bool     // there are more roles than were looked at
}

// changesClient reports whether any role can end.
func (m *clientMove) changesClient() bool {
	return m.from.ClientID != "" && (m.from.ClientID != m.to.ClientID || m.from.AccountsURL() != m.to.AccountsURL())
}

func (m *clientMove) add(r *settings.Role) {
	if r.CanMint(m.to) || !r.CanMint(m.from) {
		return
	}
	m.count++
	if len(m.ending) < namedRoles {
		m.ending = append(m.ending, r.Name)
	}
}

// refusal demands force if a role would end: it is mostly a mistake, and Vault cannot bring
// the former client's secret back.
func (m *clientMove) refusal(force bool) error {
	if m.count == 0 || force {
		return nil
	}
	would := fmt.Sprintf("Role %q uses the mount's client, and would hand out no access tokens any more: it was written for", m.ending[0])
	if m.count > 1 {
		would = fmt.Sprintf("%d roles use the mount's client, and would hand out no access tokens any more (%s): they were written for", m.count, m.named())
	}
	return settings.UserErrorf("The config was not changed. %s client %s at %s. To use two clients on one mount, write client_id and client_secret to the roles of one of them; or enable the engine a second time, at another path. If it is meant, add force=true", would, m.from.ClientID, m.from.AccountsURL())
}

// warnings names the roles that have ended.
func (m *clientMove) warnings() []string {
	if m.count == 0 {
		return nil
	}
	ended := fmt.Sprintf("role %q hands out no access tokens any more. It was written for", m.ending[0])
	if m.count > 1 {
		ended = fmt.Sprintf("%d roles hand out no access tokens any more: %s. They were written for", m.count, m.named())
	}
	back := "write that client to the config again, with its client_secret, and these roles work again at once"
	if m.to.ClientID == "" {
		back = "write that client to the config again, with its client_secret and its data_center or accounts_url, and these roles work again at once; write redirect_uri and the limits, too, if you had set them"
	}
	return []string{fmt.Sprintf("%s client %s at %s, which is no longer the mount's client. If that was a mistake, %s. Otherwise authorize each such role for the mount's new client (vault write -f <mount>/roles/<name>/authorize), or write code or refresh_token to it, or grant_type=client_credentials to a role of that kind, or the former client_id and client_secret as its own", ended, m.from.ClientID, m.from.AccountsURL(), back)}
}

func (m *clientMove) named() string {
	text := strings.Join(m.ending, ", ")
	if more := m.count - len(m.ending); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if m.partial {
		text += fmt.Sprintf(", among the first %d roles of the mount; the others were not looked at", mostRolesLookedAt)
	}
	return text
}

// moveClient finds the roles that end if the config from is replaced by to. If there are any,
// it needs force: the error is a *UserError then.
func (e *Engine) moveClient(ctx context.Context, from, to *settings.Config, force bool) (*clientMove, error) {
	m := &clientMove{from: from, to: to}
	if !m.changesClient() {
		return m, nil
	}
	names, err := e.RoleNames(ctx)
	if err != nil {
		return nil, err
	}
	m.partial = len(names) > mostRolesLookedAt
	for _, name := range names[:min(len(names), mostRolesLookedAt)] {
		role, err := orNone(e.Role(ctx, strings.TrimSuffix(name, "/")))
		if err != nil {
			return nil, err
		}
		if role != nil {
			m.add(role)
		}
	}
	return m, m.refusal(force)
}
