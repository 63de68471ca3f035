package zohosecrets

import (
	"context"
	"strconv"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"vault-plugin-secrets-zoho/backend"
)

// eventTimeout bounds the sending of one event.
const eventTimeout = 5 * time.Second

// sendEvent hands an event to Vault, if that takes events: Vault's community
// edition throws them away, and OpenBao does not know them. So whether it has
// worked is of no interest.
func (b *zohoBackend) sendEvent(event backend.Event) {
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	name := operationPrefix + "/" + event.Type
	if event.Failed {
		name += "-fail"
	}
	metadata := []string{
		logical.EventMetadataPath, event.Path,
		logical.EventMetadataDataPath, event.Path,
		logical.EventMetadataOperation, event.Type,
		logical.EventMetadataModified, strconv.FormatBool(event.Modified),
	}
	for key, value := range event.Details {
		metadata = append(metadata, key, value)
	}
	if err := logical.SendEvent(ctx, b, name, metadata...); err != nil {
		b.Logger().Trace("an event was not taken", "event", name, "error", err)
	}
}
