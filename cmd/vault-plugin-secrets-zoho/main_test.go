package main

import (
	"os"
	"testing"

	"github.com/hashicorp/vault/sdk/plugin"
	"go.uber.org/goleak"
)

// TestMain is the plugin itself in a process that a test starts as Vault would.
func TestMain(m *testing.M) {
	if os.Getenv(plugin.HandshakeConfig.MagicCookieKey) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m,
		// Started by the init of a package that the SDK links; it never ends.
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}
