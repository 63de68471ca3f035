// Package bootstrap makes a working environment for the plugin out of nothing: a real Vault (or OpenBao)
// server on free ports, and the plugin built, registered and mounted in it. The acceptance tests and
// the program in bootstrap/demo stand on it.
//
// A server is not Vault's -dev mode but what an operator runs: integrated storage on disk, a seal, a
// catalogue of plugins with checksums. It can be sealed, stopped, killed and started again on the same data.
//
// Everything that a server writes is below VaultOptions.Dir, which belongs to the caller, and every process is
// in a group of its own and is ended by its own id, so environments side by side do not disturb each other.
//
// The package needs the Vault API client and is never linked into the plugin.
package bootstrap
