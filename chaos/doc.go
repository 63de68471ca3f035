//go:build unix

// Command chaos runs the engine on three real Vault nodes against a simulated Zoho, lets
// bad things happen to all of them by a seed, and checks what readers got.
//
//	make chaos FOR=1h SEED=7
//
// # A round
//
//	prepared ──► disturbed ──► restored from a snapshot ──► healed ──► checked ──► next round
//	                 │          (every third round)                       │
//	                 ╰──────────── a rule is broken ──────────────────────┴─────► exit 1
//
// In each round every role gets new credentials, so that no round is judged by the
// unknown outcomes of the one before. While a round is disturbed, six kinds of actors work at
// the same time, each with random numbers of its own from the seed:
//
//   - an auditor compares the engine's count of a token's holders with the leases that are known;
//   - a watcher looks at Zoho when each token dies, also if nobody holds it;
//   - readers read a role through any node, alone or in a crowd, look at Zoho whether the token
//     lives as long as they hold it, and give it back, or let its lease run out; at times they give up before the
//     answer is there; two of them are in a hurry, so that a crash often meets a crowd;
//   - the operator writes, rotates, deauthorizes, authorizes again and deletes roles, and ends tokens;
//   - bad luck with nodes: see nodeEvents;
//   - bad luck with Zoho: see zohoEvents.
//
// What the seed decides is what each actor does and in which order; when exactly it meets what
// the others do depends on the machine.
//
// # The rules
//
//  1. No token is dead while a lease on it is held. A lease is held from the answer to the read
//     until the reader begins to give it back, at most until the time at which the read was sent plus
//     the lease's TTL, which is before the lease's end. Exceptions are an operator's word only: see act.
//     And no read is answered with a token that was dead before it was sent, whatever an operator has said, but
//     after a restore.
//  2. No quota gets more token requests in any window than the budget.
//  3. Zoho throttles nothing. (An "Access Denied" that was injected is no throttle.) It evicts nothing but tokens that
//     nobody ever got, since its answer was lost, and those that all have given back, and that it has refused to end.
//  4. After all leases are gone, every token that was handed out is dead at Zoho. It may take until the next
//     round of background work, which is within tickGrace, where a revocation has failed at Zoho,
//     or a read failed after it may have become a holder. Exceptions: see crash; and a token that is held
//     only by reads whose readers hung up after the engine had answered, as the audit log says (see answersWereLost).
//  5. No lease is irrevocable, and all can be revoked.
//  6. No log holds anything that looks like a token or a grant code, or a client's secret.
//  7. No log tells of a panic.
//  8. The engine forgets no holder of a token: it knows each by name, or as one of those whose names a crash has
//     taken. This is asked all the time, and shows a holder that was lost long before its token is ended under it.
//
// # Restoring a snapshot
//
// As docs/operating.md says, a restored Vault knows nothing of what came after the snapshot.
// From the beginning of the restore until a role has been rotated, its readers may get dead tokens, and
// leases from before may be on dead tokens. Tokens that were read between the snapshot and the restore
// may live until they expire. Vault does not know of them, and of the requests of the time between, so with the
// clients of that time Zoho may throttle and evict. In the next round all roles have other clients.
package main
