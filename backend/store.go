package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"
)

// Where things are in Vault's storage: one entry per thing. SealWrapped names
// all of them.
const (
	keyConfig           = "config"
	keySalt             = "salt"
	prefixRoles         = "roles/"
	prefixRefreshTokens = "refresh-tokens/" // the record of each refresh token
	prefixClients       = "clients/"        // what is known of each client beside that
	prefixRefused       = "refused/"        // credentials of each role that Zoho has refused lately
	prefixTokens        = "tokens/"
	prefixHolders       = "holders/"
	prefixLastConsents  = "last-consents/" // the latest authorization of each role that has not succeeded
	prefixDevices       = "devices/"       // begun with a user code, by role; polled until the person has decided
	prefixConsent       = "consents/"      // begun in a browser, and not yet come back
	prefixEnded         = "ended/"         // what is known of access tokens that are dead
)

// SealWrapped lists every key and prefix that the engine writes, for
// logical.Paths.SealWrapStorage: an exact key, or a prefix with its slash.
func SealWrapped() []string {
	return []string{
		keyConfig, keySalt, prefixRoles, prefixRefreshTokens, prefixClients, prefixRefused, prefixTokens, prefixHolders,
		prefixConsent, prefixDevices, prefixLastConsents, prefixEnded,
	}
}

// jsonStorage reads and writes JSON entries. Its errors are not wrapped: Vault
// recognises a read-only storage by the error's text.
type jsonStorage struct{ logical.Storage }

func (s jsonStorage) put(ctx context.Context, key string, value any) error {
	entry, err := logical.StorageEntryJSON(key, value)
	if err != nil {
		return err
	}
	return s.Put(ctx, entry)
}

// deleteWhere deletes the entries below prefix whose names match.
func (s jsonStorage) deleteWhere(ctx context.Context, prefix string, match func(name string) bool) error {
	names, err := s.List(ctx, prefix)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names {
		if match(name) {
			failed = append(failed, s.Delete(ctx, prefix+name))
		}
	}
	return errors.Join(failed...)
}

// get decodes the entry of key; nil if there is none.
func get[T any](ctx context.Context, s jsonStorage, key string) (*T, error) {
	entry, err := s.Get(ctx, key)
	if err != nil || entry == nil {
		return nil, err
	}
	value := new(T)
	if err := entry.DecodeJSON(value); err != nil {
		return nil, &undecodable{key} // the decoder's error may quote what it read
	}
	return value, nil
}

// undecodable is a stored entry that makes no sense. What depends on it fails,
// but it can be written again, or deleted.
type undecodable struct{ key string }

func (e *undecodable) Error() string {
	remedy := "restore it from a backup"
	if e.key == keyConfig || strings.HasPrefix(e.key, prefixRoles) { // an operator writes them
		remedy = "write it again, in full, or delete it, or " + remedy
	}
	return fmt.Sprintf("the stored entry %q cannot be decoded; %s", e.key, remedy)
}

// IsBroken reports whether err says of a stored entry that it is there and
// cannot be decoded.
func IsBroken(err error) bool {
	_, broken := errors.AsType[*undecodable](err)
	return broken
}

// orNone takes what cannot be decoded for absent: for those who replace it.
func orNone[T any](value *T, err error) (*T, error) {
	if IsBroken(err) {
		return nil, nil
	}
	return value, err
}
