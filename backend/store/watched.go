package store

import (
	"context"
	"errors"

	"github.com/hashicorp/vault/sdk/logical"
)

// Watch returns storage that tells failed of each operation that fails: list, get, put or
// delete. It tells neither that the caller gave up nor that this node may not write, which are
// no faults of the storage.
func Watch(storage logical.Storage, failed func(operation string)) logical.Storage {
	return &watched{storage, failed}
}

type watched struct {
	logical.Storage
	failed func(operation string)
}

func (w *watched) tell(operation string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) && !isReadOnly(err) {
		w.failed(operation)
	}
}

func (w *watched) List(ctx context.Context, prefix string) ([]string, error) {
	names, err := w.Storage.List(ctx, prefix)
	w.tell("list", err)
	return names, err
}

func (w *watched) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	entry, err := w.Storage.Get(ctx, key)
	w.tell("get", err)
	return entry, err
}

func (w *watched) Put(ctx context.Context, entry *logical.StorageEntry) error {
	err := w.Storage.Put(ctx, entry)
	w.tell("put", err)
	return err
}

func (w *watched) Delete(ctx context.Context, key string) error {
	err := w.Storage.Delete(ctx, key)
	w.tell("delete", err)
	return err
}
