package backend

import "context"

// What becomes of a refresh token that a role gives up and that Zoho is not asked to
// revoke: somebody has to be told that it lives on.

// leaveAtZoho cancels the revocation of a refresh token that a role gives up and that
// lives on at Zoho, as the operator is told. It does not if other roles have the refresh
// token: a note is about those. Until release is called, when the role is stored without
// it, no other role gives it up in this way: of two at once each would take the other for
// one that has it.
func (e *Engine) leaveAtZoho(ctx context.Context, role *Role) (alone bool, release func(), err error) {
	release, err = e.writes.Acquire(ctx, prefixQuotaRoles+e.quotaID(role))
	if err != nil {
		return false, nil, err
	}
	if alone, err = e.isLastWith(ctx, role); alone {
		err = e.cancelRevocation(ctx, role)
	}
	if err != nil {
		release()
		return false, nil, err
	}
	return alone, release, nil
}

// perhapsLost says, if a write has failed after leaveAtZoho, what became of the refresh
// token if storage has carried the write out all the same: nobody would ever know.
func perhapsLost(err error, alone bool) error {
	if !alone {
		return err
	}
	return appendText(err, "If Vault's storage has carried that out although it reported a failure, the refresh token that the role had lives on at Zoho, and Vault no longer knows it: read the role, and if it is another by now, remove it there, under Connected Apps of the user who consented")
}

// isLastWith reports whether no other role is stored with a role's refresh token, and its
// revocation is not decided. One that is only being written may come to nothing.
func (e *Engine) isLastWith(ctx context.Context, role *Role) (bool, error) {
	quotaID := e.quotaID(role)
	pending, err := e.loadRevocation(ctx, quotaID)
	if err != nil || role.RefreshToken.IsZero() || pending != nil && pending.Decided {
		return false, err
	}
	stored, err := e.rolesWhere(ctx, quotaID, func(name string, r *Role) (bool, error) {
		return name != role.Name && (r == nil || e.quotaID(r) == quotaID), nil
	})
	return err == nil && len(stored) == 0, err
}
