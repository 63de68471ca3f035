//go:build unix

package bootstrap

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/api"
)

// Addr is the server's address, to be given to clients as VAULT_ADDR.
func (v *Vault) Addr() string { return "http://" + v.apiPort }

// RootToken is the token from initialization.
func (v *Vault) RootToken() string { return v.rootToken }

// UnsealKey is the only key share, in base64.
func (v *Vault) UnsealKey() string { return v.unsealKey }

// Bin is the path of the server's binary, which is its CLI too.
func (v *Vault) Bin() string { return v.opts.Bin }

// OpenBao says whether the server is OpenBao and not Vault.
func (v *Vault) OpenBao() bool { return strings.HasPrefix(v.product, "OpenBao ") }

// Before says whether the server is a Vault that is older than a release, such as "1.14.0". OpenBao counts its releases anew, and
// began with what Vault 1.14 was.
func (v *Vault) Before(release string) bool {
	own, ok := strings.CutPrefix(v.product, "Vault v")
	return ok && slices.Compare(numbers(own), numbers(release)) < 0
}

// numbers are those of a version, without what may follow on the third, such as "-rc1" or "+ent".
func numbers(version string) []int {
	version, _, _ = strings.Cut(version, "-")
	version, _, _ = strings.Cut(version, "+")
	var parts []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part)
		parts = append(parts, n)
	}
	return parts
}

// Product is the server's name and version, such as "Vault v1.21.1".
func (v *Vault) Product() string { return v.product }

// Dir is the directory that takes all that the server writes.
func (v *Vault) Dir() string { return v.opts.Dir }

// LogFile is the server's own log. The plugin's log lines are in it.
func (v *Vault) LogFile() string { return v.file("vault.log") }

// AuditLog is where VaultOptions.Audit writes to.
func (v *Vault) AuditLog() string { return v.file("audit.log") }

// PluginDir is the server's plugin_directory.
func (v *Vault) PluginDir() string { return v.file("plugins") }

// Done is closed when the server's process has ended. Every start makes a new one.
func (v *Vault) Done() <-chan struct{} { return v.process.Done() }

// PID is the server's process id.
func (v *Vault) PID() int { return v.process.PID() }

// Client is a new API client. It sends each request once, so that an answer is seen as the server gave it,
// and it looks at no environment variable.
func (v *Vault) Client(token string) *api.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64} // no proxy: the server is on this machine
	client, err := api.NewClient(&api.Config{
		Address:    v.Addr(),
		Timeout:    startTimeout,
		HttpClient: &http.Client{Transport: transport},
	})
	if err != nil {
		// Only an address that cannot be parsed leads here, and this one is our own.
		panic(fmt.Sprintf("client for %s: %v", v.Addr(), err))
	}
	client.SetToken(token)
	client.ClearNamespace()
	return client
}

// file is a path in the server's directory.
func (v *Vault) file(name string) string { return filepath.Join(v.opts.Dir, name) }
