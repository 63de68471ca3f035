// Package backend does the work of the engine's paths: it keeps the config and
// the roles, mints and shares access tokens, knows who holds them, and ends
// them at Zoho. It knows Vault's storage, and nothing of Vault's requests.
//
// # Words
//
// A role names a grant: what an access token is minted from, the client's secret
// included. Two roles with the same grant share its token and its failures; a role
// that lacks a part of it has another grant, which Zoho refuses. Each lease on a token
// is a holder.
//
// A quota is what Zoho counts together: token requests and live tokens per refresh
// token, and where there is none - client_credentials, the exchange of a grant
// code - per client. With count_requests_per=client a request counts in two: see quota.Quotas. No
// secret of the client is part of it, so several grants can draw on one quota.
//
// # Where to look
//
// What Vault's paths call - a use case each:
//
//	issue.go             a read of creds: serve a token, or wait for a mint; doubt.go says what
//	                     is amiss with the token
//	revoke.go            the revocation of a lease; the last one ends the token at Zoho, at
//	                     once or after a role's delay: revoke_delay.go
//	config_store.go      a write of the config; verify.go tries its new client secret
//	role_write.go        a write or deletion of a role; package settings checks what is written,
//	                     known_token.go finds a token that is none of its kind, role_slot.go
//	                     has the right to write it, role_entry.go enters and leaves the records
//	                     of its refresh tokens
//	exchange.go          the grant code of such a write; exchange_limits.go has Zoho's limits,
//	                     consent_given.go compares what it has brought with what the role asks
//	                     for, exchange_texts.go says what became of a refresh token that is not kept
//	consent.go           authorize; consent_complete.go is the callback, consent_check.go holds the
//	                     one against the other, consent_outcome.go has the words for each outcome
//	rotate.go            a new access token, and the end of the others
//	deauthorize.go       the end of a refresh token
//	status.go, tokens.go what an operator or auditor asks; found.go tells of a token that was found
//	tick.go              what is done once a minute; reconcile.go ends refresh tokens that no
//	                     role has, and looks once a day through all that is stored. What it asks Zoho
//	                     runs in the background, in a queue for each Accounts server: work.Retries
//
// How Zoho is asked, for all of them:
//
//	ask.go               one protocol for every token request: turn, admission, count, call, note
//	budget.go            may Zoho be asked for an access token? For a code: exchange_limits.go.
//	                     For what anybody can make up: claims.go. What Zoho allows is decided
//	                     in backend/quota: Quotas.Mint for access tokens, Record.Claim for made-up
//	                     ones, Record.Room for live tokens
//	make_room.go         ends the tokens that have to go before one more may live
//	mint.go              asks for an access token, once for all who wait
//	adopt.go             stores what Zoho gave, and makes it the current token: nothing else does
//	failure.go           remembers why Zoho gave none
//	plan.go              carries out what package refreshtoken plans, and asks Zoho to revoke
//
// The records that they work on:
//
//	records.go           the records of refresh tokens and clients; directory.go knows all of them
//	sharing.go           which roles share a grant, a refresh token or a budget
//	grant.go, token.go, ended.go, role_store.go, client_limit.go
//	store.go, memory.go: how they are kept in storage and in memory
//
// What is known of a refresh token, its states and who may change them, what storage has after
// a crash, and what becomes of it: package refreshtoken. Nothing else decides about one. Below
// are packages that know nothing of the engine, either: settings (what an operator writes, and
// its checks), store (entries, and writes that have
// failed), ledger (who holds a token),
// quota (what Zoho allows, as a pure decision), work (what runs once and is waited for, and
// what is tried until it succeeds), clock (how far a stored time is believed), zoho
// (HTTP, and Zoho's words), secret. What
// the engine promises is listed in docs/invariants.md.
//
// A new error word of Zoho's goes into lookupRemedy of zoho/errors.go, with its kind: mints,
// exchanges and revocations go by that. If the word blames what one role asks for and not
// the client, it goes into IsOfRole beside it as well. The table of docs/troubleshooting.md
// has each word. What Zoho answers to too many
// requests is no single word: answer.throttled in zoho/answer.go recognises it.
//
// # What a reader sees of a grant
//
//	           mint
//	  ┌────────────────────────┐
//	  ▼                        │
//	fresh ──half life──► stale ──less than min_ttl──► invalid
//	  served             served, and the next          the reader waits
//	                     token is minted ahead         for the mint
//
// # The life of a token
//
//	           newer mint
//	current ────────────────► superseded ◄─ is handed out while no new one can be had
//	   │                          │
//	   │ last holder released     │ last holder released, or had none
//	   ▼                          ▼
//	 ending ──── Zoho: revoked, or already gone ────► gone
//	   ╰────────────── expired (from any state) ────► gone
//
// A role's revoke_delay keeps a current token for a while after its last holder: a reader
// who comes in that time holds it again. See package ledger, and revoke_delay.go.
//
// An operator can decide that a token is ending whoever holds it. Its leases
// then have nothing left to give up.
//
// A token whose times a wrong clock wrote is never handed out: it lives for those
// who hold it.
//
// A token that was minted for a reader of an exclusive role never becomes current: it
// has its one holder, or, if that reader is gone, none, and is then ended like a
// superseded one. One that came of a trial or a grant code of such a role is ended at
// once. The same goes for a current token once no role uses its grant.
//
// # Who may change what
//
//   - A role changes under its slot, in one piece that goes on when the caller
//     hangs up: enter the record, try, store, leave the former record.
//   - What is asked of Zoho takes turns: one request at a time for each quota, so
//     that what is counted is counted before the next one looks at it (askZoho).
//   - A mint, a trial or the exchange of a code makes a token current (keepMinted,
//     exchangeCode). One mint is in flight for each grant ([Engine.Issue] waits for it; a
//     reader that gives up does not stop it).
//   - The record of a refresh token changes as package refreshtoken says (changeRecord).
//   - The token's ledger alone decides that a token is ending: see package ledger. From
//     then on no reader gets the token.
//   - The token's one revocation in flight makes it gone, or Tick when it has expired.
//
// # What is written, and when
//
// A token request is counted in the record before it is sent. A new
// token is stored before anybody gets it. A holder counts in the ledger before its reader gets
// the answer, by name or in a
// reserved place; concurrent holders of one token share a write. The decision to end a
// token is in the ledger before Zoho is asked. So at a crash between any two writes storage
// errs on the safe side: a request too many is counted, a holder too many is remembered,
// a revocation is repeated.
//
// # Locks
//
// Mutexes guard memory only. Read-modify-write of a stored record takes a
// named slot, which a waiter leaves when its context ends. They are taken in
// this order: a role's (or the config's), a turn of a quota, a record's.
package backend
