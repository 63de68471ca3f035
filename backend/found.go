package backend

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/secret"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// Found is what is known of a token that was found somewhere: of one or the other kind.
type Found struct {
	Token        *TokenInfo
	RefreshToken *RefreshTokenInfo
}

// RefreshTokenState is where a refresh token is in its life, as far as the mount knows.
type RefreshTokenState string

// The states of a refresh token.
const (
	RefreshTokenInUse   RefreshTokenState = "in use"  // a role mints from it
	RefreshTokenRefused RefreshTokenState = "refused" // a role still has it, but Zoho does not take it any more
	RefreshTokenLeaving RefreshTokenState = "leaving" // no role has it; it is revoked when nobody leases its access tokens
	RefreshTokenEnding  RefreshTokenState = "ending"  // Zoho is being asked to revoke it
)

// RefreshTokenInfo is what is known of a refresh token, without it.
type RefreshTokenInfo struct {
	State       RefreshTokenState
	Roles       []string // that have it; if none has, the one that had it
	AccountsURL string
	DataCenter  string
	Advice      string
}

// Lookup tells of a token that was found somewhere: an access token, also if it ended less
// than a day ago, or a refresh token. The error is a *UserError if it is not, or no
// longer, known. A header's "Zoho-oauthtoken" before it does not matter.
func (e *Engine) Lookup(ctx context.Context, token secret.Value) (Found, error) {
	plain := strings.TrimSpace(token.Reveal())
	if at := strings.LastIndexByte(plain, ' '); at >= 0 {
		plain = plain[at+1:]
	}
	if plain == "" {
		return Found{}, settings.UserErrorf("token is empty; write the access token that was found")
	}
	if err := settings.CheckLength("token", plain, settings.MaxFieldLength); err != nil {
		return Found{}, err
	}
	found, err := e.find(ctx, plain)
	if err == nil && found == (Found{}) {
		err = settings.UserErrorf("This token is not known here: as an access token it was not handed out by this mount, or it ended more than a day ago; as a refresh token it is no role's, or was revoked. Try the other mounts; a token that Vault never had can be revoked at Zoho's Accounts server by whoever has the client.")
	}
	return found, err
}

func (e *Engine) find(ctx context.Context, plain string) (found Found, err error) {
	if found.Token, err = e.KnownToken(ctx, e.fingerprint("token", plain)); err != nil || found.Token != nil {
		return found, err
	}
	found.RefreshToken, err = e.findRefreshToken(ctx, plain)
	return found, err
}

// ExplainSecretInAddress is the error for a request whose address has one of Zoho's secrets
// in the place of an ID or a name: Vault has written it to its audit log in clear.
func (e *Engine) ExplainSecretInAddress(ctx context.Context, address string) error {
	found, err := e.find(ctx, settings.TokenForm.FindString(address))
	switch token := found.Token; {
	case err != nil:
		return err
	case token != nil && token.State == TokenEnded:
		return settings.UserErrorf("the address of the request has an access token itself, where an ID or a name belongs, so the token is in clear in Vault's audit log now. It is dead, and nothing is left to do: %s at %s. Its token_id is %s", token.EndedBy, token.EndedAt.UTC().Format(time.RFC3339), token.ID)
	case token != nil:
		return settings.UserErrorf("the address of the request has an access token itself, where an ID or a name belongs, so the token is in clear in Vault's audit log now. Its token_id is %s. End the token: vault delete <mount>/tokens/%s", token.ID, token.ID)
	case found.RefreshToken != nil:
		return settings.UserErrorf("the address of the request has a refresh token, where an ID or a name belongs, so it is in clear in Vault's audit log now. %s", found.RefreshToken.Advice)
	default:
		return settings.UserErrorf("the address of the request has what looks like a token, a grant code or a client secret of Zoho's, where an ID or a name belongs. It is in clear in Vault's audit log now, and this mount does not know it: revoke it at Zoho, or regenerate the client secret in Zoho's API console. To look a token up without leaving it in the log: vault write <mount>/tokens/lookup token=-")
	}
}

// HasSecret reports whether the address of a request has something in it of the form of
// Zoho's secrets. It looks at the first 4 KiB: each request is looked at, and who sends a
// megabyte has not pasted an ID.
func HasSecret(address string) bool { return settings.LooksSecret(address[:min(len(address), 4<<10)]) }

// findRefreshToken tells of a refresh token that a role has, or had and that waits to be
// revoked; nil if there is none.
func (e *Engine) findRefreshToken(ctx context.Context, plain string) (*RefreshTokenInfo, error) {
	servers, err := e.knownServers(ctx)
	if err != nil {
		return nil, err
	}
	for _, server := range servers {
		info, err := e.refreshTokenOf(ctx, e.refreshTokenQuotaID(server, plain))
		if err != nil {
			return nil, err
		}
		if info != nil {
			info.AccountsURL, info.DataCenter = server, dataCenterOf(server)
			return info, nil
		}
	}
	return nil, nil
}

// knownServers are the Accounts servers for which a role of the mount may have a refresh
// token.
func (e *Engine) knownServers(ctx context.Context) ([]string, error) {
	config, err := e.Config(ctx)
	if err != nil {
		return nil, err
	}
	servers := []string{config.AccountsURL()}
	for _, dc := range zoho.DataCenters() {
		servers = append(servers, dc.AccountsURL)
	}
	records, err := e.recordsWhere(ctx, func(r *refreshtoken.Record) bool { return !slices.Contains(servers, r.AccountsURL) })
	for _, r := range records {
		if !slices.Contains(servers, r.AccountsURL) {
			servers = append(servers, r.AccountsURL)
		}
	}
	return servers, err
}

// refreshTokenOf tells of the refresh token of a quota; nil if nobody has it and it does
// not wait to be revoked.
func (e *Engine) refreshTokenOf(ctx context.Context, quotaID string) (*RefreshTokenInfo, error) {
	record, err := e.record(ctx, quotaID)
	if err != nil || record == nil {
		return nil, err
	}
	roles, err := e.rolesWithRefreshToken(ctx, quotaID)
	holder := record.Holder()
	switch {
	case err != nil:
		return nil, err
	case record.IsEnding():
		info := &RefreshTokenInfo{State: RefreshTokenEnding, Roles: roles}
		if len(roles) == 0 {
			info.Roles = []string{holder}
		}
		info.Advice = fmt.Sprintf("It is being revoked at Zoho, and nobody gets its access tokens any more. The status of role %q tells how far that is, under pending_revocations. To ask Zoho now: vault write -f <mount>/roles/%s/deauthorize", holder, holder)
		return info, nil
	case len(roles) > 0:
		return e.refreshTokenInUse(ctx, roles)
	case record.Revoke && len(record.Roles) == 0:
		return &RefreshTokenInfo{
			State: RefreshTokenLeaving, Roles: []string{holder},
			Advice: fmt.Sprintf("Role %q had it, and it is revoked at Zoho as soon as nobody leases its access tokens. To revoke it now, with the role's present one: vault write -f <mount>/roles/%s/deauthorize", holder, holder),
		}, nil
	default:
		return nil, nil
	}
}

// refreshTokenInUse tells of a refresh token that roles have.
func (e *Engine) refreshTokenInUse(ctx context.Context, roles []string) (*RefreshTokenInfo, error) {
	// A role whose credentials never worked may not revoke what others have, too.
	revoking, refused := roles[0], 0
	for i, name := range slices.Backward(roles) {
		works, dead, err := e.worksWithRefreshToken(ctx, name)
		if err != nil {
			return nil, err
		}
		if dead {
			refused++
		}
		if works {
			revoking = roles[i]
		}
	}
	names := "role " + fmt.Sprintf("%q", roles[0])
	if len(roles) > 1 {
		names = "roles " + strings.Join(roles, ", ")
	}
	if refused == len(roles) {
		return &RefreshTokenInfo{
			State: RefreshTokenRefused, Roles: roles,
			Advice: fmt.Sprintf("It is the refresh token of %s. Zoho does not take it any more: it was revoked, or never was good, so nothing is left to revoke. Authorize each of its roles again, or delete it", names),
		}, nil
	}
	advice := fmt.Sprintf("It is the refresh token of %s. To revoke it at Zoho, with all its access tokens: vault write -f <mount>/roles/%s/deauthorize - Then authorize the role again", names, revoking)
	if len(roles) > 1 {
		advice = fmt.Sprintf("It is the refresh token of %s. To revoke it at Zoho, with all its access tokens: vault write <mount>/roles/%s/deauthorize force=true - Then authorize each of them again", names, revoking)
	}
	return &RefreshTokenInfo{State: RefreshTokenInUse, Roles: roles, Advice: advice}, nil
}

// worksWithRefreshToken reports whether a role has minted from its refresh token, and
// whether Zoho has refused that since.
func (e *Engine) worksWithRefreshToken(ctx context.Context, name string) (works, dead bool, err error) {
	role, err := e.Role(ctx, name)
	if IsBroken(err) || (err == nil && (role == nil || !role.IsAuthorized())) {
		return false, false, nil // or it is being written
	}
	if err != nil {
		return false, false, err
	}
	config, err := e.Config(ctx)
	if err != nil {
		return false, false, err
	}
	record, err := e.record(ctx, e.quotaID(role))
	if err != nil || record == nil {
		return false, false, err
	}
	state := record.Grants[e.grantID(role, config)]
	return record.IsProven(name), needsPerson(state.Failure), nil
}
