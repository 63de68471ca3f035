package backend

import (
	"context"
	"maps"
	"sync"

	"vault-plugin-secrets-zoho/backend/refreshtoken"
	"vault-plugin-secrets-zoho/backend/settings"
	"vault-plugin-secrets-zoho/backend/zoho"
)

// directory is what memory knows of all refresh tokens of the mount: their records without
// secrets and without what they count. Whoever writes or reads a record notes it; the first
// who needs all of them reads those that are missing.
type directory struct {
	mu        sync.Mutex
	entries   map[string]*refreshtoken.Record // by ID
	complete  bool
	noted     map[string]bool   // while all are read, those written meanwhile: what was read of them is old; nil otherwise
	unsettled map[string]string // Reconcile has something to do for these, or may soon; with their Accounts servers
}

func newDirectory() directory {
	return directory{entries: make(map[string]*refreshtoken.Record), unsettled: make(map[string]string)}
}

// written enters a record as it was written; nil for one that is gone. What has failed may have
// been written.
func (d *directory) written(id string, r *refreshtoken.Record, failed error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if failed != nil {
		d.forgetLocked(id)
		return
	}
	d.noteLocked(id)
	d.enterLocked(id, r)
}

func (d *directory) noteLocked(id string) {
	if d.noted != nil {
		d.noted[id] = true
	}
}

func (d *directory) enterLocked(id string, r *refreshtoken.Record) {
	if r == nil {
		delete(d.entries, id)
		delete(d.unsettled, id)
		return
	}
	d.entries[id] = r.Summary()
	if r.IsEnding() || len(r.Roles) == 0 {
		d.unsettled[id] = r.AccountsURL
	}
}

// forget drops what another node has written. If this node is the active one next, it has to
// know what to go on with.
func (d *directory) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetLocked(id)
}

func (d *directory) forgetLocked(id string) {
	d.unsettleLocked(id, "")
	d.noteLocked(id)
	d.complete = false
	delete(d.entries, id)
}

// unsettle remembers that Reconcile has to look at a record. server is its Accounts server, if
// the caller knows it.
func (d *directory) unsettle(id, server string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsettleLocked(id, server)
}

func (d *directory) unsettleLocked(id, server string) {
	if known := d.entries[id]; known != nil {
		server = known.AccountsURL
	}
	d.unsettled[id] = server
}

func (d *directory) isUnsettled(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, unsettled := d.unsettled[id]
	return unsettled
}

// settle takes back that Reconcile has to look at a record, which has found nothing to do now.
func (d *directory) settle(id string, r *refreshtoken.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r != nil && (r.IsEnding() || len(r.Roles) == 0) {
		d.unsettled[id] = r.AccountsURL // a look at a former state may have taken it back
		return
	}
	delete(d.unsettled, id)
}

// known returns the refresh tokens that memory knows, by quota ID, and whether these are all.
func (d *directory) known() (known map[string]*refreshtoken.Record, complete bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string]*refreshtoken.Record, len(d.entries))
	for id, r := range d.entries {
		all[prefixRefreshTokens+id] = r
	}
	return all, d.complete
}

// allUnsettled returns the records that Reconcile has to look at, with their Accounts servers.
func (d *directory) allUnsettled() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.unsettled)
}

// missing begins to read all records: it returns the IDs that are not known yet, and forgets
// those that are not stored.
func (d *directory) missing(stored []string) (ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := make(map[string]bool, len(stored))
	for _, id := range stored {
		if known[id] = true; d.entries[id] == nil {
			ids = append(ids, id)
		}
	}
	maps.DeleteFunc(d.entries, func(id string, _ *refreshtoken.Record) bool { return !known[id] && !d.noted[id] })
	return ids
}

// fill enters the records that were missing.
func (d *directory) fill(read map[string]*refreshtoken.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, r := range read {
		if !d.noted[id] {
			d.enterLocked(id, r)
		}
	}
	d.complete, d.noted = true, nil
}

// readAllRecords completes the directory.
func (e *Engine) readAllRecords(ctx context.Context) error {
	d := &e.directory
	isComplete := func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.complete
	}
	if isComplete() {
		return nil
	}
	release, err := e.writes.Acquire(ctx, prefixRefreshTokens)
	if err != nil {
		return err
	}
	defer release()
	if isComplete() {
		return nil
	}
	d.mu.Lock()
	d.noted = make(map[string]bool)
	d.mu.Unlock()
	stored, err := e.refreshTokens.Names(ctx)
	if err != nil {
		return err
	}
	read := make(map[string]*refreshtoken.Record)
	for _, id := range d.missing(stored) {
		if read[id], err = e.peekRecord(ctx, id); err != nil {
			return err
		}
	}
	d.fill(read)
	return nil
}

// peekRecord is record for those who go through all of them, and keep none in memory.
func (e *Engine) peekRecord(ctx context.Context, id string) (*refreshtoken.Record, error) {
	entry, err := e.store.Get(ctx, prefixRefreshTokens+id)
	if err != nil || entry == nil {
		return nil, err
	}
	if r, err := refreshtoken.Decode(entry.Value, e.now()); err == nil {
		return r, nil
	}
	return e.refreshTokens.Get(ctx, id) // which rebuilds it
}

// recordsWhere returns what the directory has of the refresh tokens that match, by quota ID.
func (e *Engine) recordsWhere(ctx context.Context, match func(*refreshtoken.Record) bool) (map[string]*refreshtoken.Record, error) {
	if err := e.readAllRecords(ctx); err != nil {
		return nil, err
	}
	e.directory.mu.Lock()
	defer e.directory.mu.Unlock()
	found := make(map[string]*refreshtoken.Record)
	for id, r := range e.directory.entries {
		if match(r) {
			found[prefixRefreshTokens+id] = r
		}
	}
	return found, nil
}

// recordsOf returns the refresh tokens of a client that count for Zoho's limit of twenty.
func (e *Engine) recordsOf(ctx context.Context, client settings.Pin) (map[string]*refreshtoken.Record, error) {
	return e.recordsWhere(ctx, func(r *refreshtoken.Record) bool { return r.CountsForClient() && pinOf(r) == client })
}

// pinOf is the client of a refresh token: the one that minted last.
func pinOf(r *refreshtoken.Record) settings.Pin {
	return settings.Pin{AccountsURL: r.AccountsURL, ClientID: r.ClientID}
}

func pinOfApp(app zoho.App) settings.Pin {
	return settings.Pin{AccountsURL: app.AccountsURL, ClientID: app.ClientID}
}
