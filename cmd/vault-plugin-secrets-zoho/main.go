// Command vault-plugin-secrets-zoho is the plugin that Vault starts. By hand it
// only tells its version: vault-plugin-secrets-zoho -version.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/plugin"

	zohosecrets "vault-plugin-secrets-zoho"
)

func main() {
	// Before ServeMultiplex, which ends a process that Vault did not start.
	// Other arguments are ignored: old registrations pass some.
	for _, arg := range os.Args[1:] {
		if arg == "-version" || arg == "--version" {
			fmt.Println(zohosecrets.Version)
			return
		}
	}
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: os.Stderr, JSONFormat: true})
	var mounts zohosecrets.Mounts
	endWithVault(&mounts, logger)
	// No TLSProviderFunc: Vault 1.12 and newer bring the certificates themselves.
	err := plugin.ServeMultiplex(&plugin.ServeOpts{BackendFactoryFunc: survivingVault(mounts.Factory), Logger: logger})
	if err != nil {
		logger.Error("plugin shutting down", "error", err)
		os.Exit(1)
	}
}
