// Package store keeps entries in Vault's storage and in memory. It knows what a failed write
// means, and nothing of what it stores.
//
// # A write that failed
//
// may have been carried out, or may be later: a leader that lost contact, or a context that
// ended, gives an error for a write that is on its way. What was read after it can change
// once more by itself. So the key is in doubt from then on:
//
//	             a write fails
//	certain ───────────────────────► in doubt
//	   ▲                                │ whoever needs the entry next
//	   │    written                     ▼
//	   ╰──────────────────── reads it, and writes back what was read,
//	                         or deletes the entry if there is none
//
// The write-back comes after the failed write in the order that storage keeps, so what was
// read stays. Until it has succeeded, the entry cannot be read: nothing is decided from a
// value in doubt. A write needs no write-back, since it comes after the failed one itself.
//
// A new process has no doubts, because storage has settled the order of what came before. Nor
// has one that may not write: another node is active.
//
// # Memory
//
// [Entries] keeps what was read and written. A value is never changed in place, so several can
// use it, and memory may drop it at any time. It drops an entry whose write failed.
package store
