//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strings"
)

// answersWereLost reports whether a token is held only by reads whose readers hung up while the
// engine's answer was on its way to Vault. Vault drops the answer, so no lease is ever revoked,
// and the engine cannot know: such a holder stays until the token expires.
func (w *world) answersWereLost(ctx context.Context, mark string) bool {
	id := ""
	for _, l := range w.h.leases {
		if l.mark == mark {
			id = l.tokenID
		}
	}
	node, err := w.active(ctx)
	if err != nil {
		return false
	}
	named, unnamed, err := w.askHolders(ctx, node, id)
	if err != nil || unnamed > 0 || len(named) == 0 {
		return false
	}
	canceled, err := canceledReads(w.cluster.Nodes[0].AuditLog())
	if err != nil {
		return false
	}
	for requestID := range named {
		if !canceled[requestID] {
			return false
		}
	}
	return true
}

// canceledReads are the requests that the active node has audited as canceled: by their IDs.
func canceledReads(auditLog string) (map[string]bool, error) {
	file, err := os.Open(auditLog)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	canceled := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var entry struct {
			Type, Error string
			Request     struct{ ID, Path string }
		}
		if !strings.Contains(lines.Text(), "context canceled") || json.Unmarshal(lines.Bytes(), &entry) != nil {
			continue
		}
		if entry.Type == "response" && strings.HasPrefix(entry.Request.Path, "zoho/creds/") {
			canceled[entry.Request.ID] = true
		}
	}
	return canceled, lines.Err()
}
