package store

import (
	"context"
	"strings"
	"sync"

	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend/work"
)

// Storage is Vault's storage with a memory for keys that are in doubt. It can be used wherever
// logical.Storage can, by several at once. Whoever writes a key is the only one to do so at a
// time. Its errors are those of Vault's storage, unwrapped: Vault recognises a read-only
// storage by the error's text.
type Storage struct {
	logical.Storage
	settling work.Slots // by key: of write-backs, and of writes of a key in doubt

	mu      sync.Mutex
	inDoubt map[string]struct{}
}

// New returns storage without doubts.
func New(storage logical.Storage) *Storage {
	return &Storage{Storage: storage, inDoubt: make(map[string]struct{})}
}

// Put writes an entry.
func (s *Storage) Put(ctx context.Context, entry *logical.StorageEntry) error {
	return s.write(ctx, entry.Key, func() error { return s.Storage.Put(ctx, entry) })
}

// Delete deletes an entry.
func (s *Storage) Delete(ctx context.Context, key string) error {
	return s.write(ctx, key, func() error { return s.Storage.Delete(ctx, key) })
}

// Get reads an entry; nil if there is none. It first settles what is in doubt.
func (s *Storage) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	if !s.IsInDoubt(key) {
		return s.Storage.Get(ctx, key)
	}
	release, err := s.settling.Acquire(ctx, key)
	if err != nil {
		return nil, err
	}
	defer release()
	settled := !s.IsInDoubt(key) // somebody was faster
	entry, err := s.Storage.Get(ctx, key)
	if err != nil || settled {
		return entry, err
	}
	return entry, s.writeBack(ctx, key, entry)
}

// List names the entries below a prefix. It first settles what is in doubt there.
func (s *Storage) List(ctx context.Context, prefix string) ([]string, error) {
	for _, key := range s.doubtsBelow(prefix) {
		if _, err := s.Get(ctx, key); err != nil {
			return nil, err
		}
	}
	return s.Storage.List(ctx, prefix)
}

// IsInDoubt reports whether the latest write of a key has failed.
func (s *Storage) IsInDoubt(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, doubt := s.inDoubt[key]
	return doubt
}

// writeBack writes what was read. The caller has the key's slot.
func (s *Storage) writeBack(ctx context.Context, key string, entry *logical.StorageEntry) error {
	var err error
	if entry == nil {
		err = s.Storage.Delete(ctx, key)
	} else {
		err = s.Storage.Put(ctx, entry)
	}
	if isReadOnly(err) { // another node writes now
		s.settle(key)
		return nil
	}
	if err == nil {
		s.settle(key)
	}
	return err
}

// write writes a key, after a write-back of it that is under way.
func (s *Storage) write(ctx context.Context, key string, write func() error) error {
	if s.IsInDoubt(key) {
		release, err := s.settling.Acquire(ctx, key)
		if err != nil {
			return err
		}
		defer release()
	}
	switch err := write(); {
	case err == nil:
		s.settle(key)
		return nil
	case isReadOnly(err): // nothing was carried out
		return err
	default:
		s.doubt(key)
		return err
	}
}

func (s *Storage) settle(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inDoubt, key)
}

func (s *Storage) doubt(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inDoubt[key] = struct{}{}
}

func (s *Storage) doubtsBelow(prefix string) (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.inDoubt {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

// isReadOnly reports whether storage refuses writes. Over the plugin's connection the error
// arrives as its text.
func isReadOnly(err error) bool {
	return err != nil && strings.Contains(err.Error(), logical.ErrReadOnly.Error())
}
