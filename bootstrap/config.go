//go:build unix

package bootstrap

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// config is the server's configuration file.
func (v *Vault) config() string {
	var b strings.Builder
	fmt.Fprintf(&b, "storage \"raft\" {\n  path = %q\n  node_id = %q\n  performance_multiplier = 1\n}\n\n", v.file("raft"), v.opts.NodeID)
	fmt.Fprintf(&b, "listener \"tcp\" {\n  address = %q\n  cluster_address = %q\n  tls_disable = true\n}\n\n", v.apiPort, v.clusterPort)
	fmt.Fprintf(&b, "api_addr = %q\n", v.Addr())
	fmt.Fprintf(&b, "cluster_addr = %q\n", "https://"+v.reachable)
	fmt.Fprintf(&b, "plugin_directory = %q\n", v.PluginDir())
	fmt.Fprintf(&b, "log_level = %q\n", v.opts.LogLevel)
	// A test server has nothing to hide from swap, and mlock takes a privilege that containers lack.
	b.WriteString("disable_mlock = true\n")
	if v.OpenBao() && v.opts.Audit {
		// OpenBao otherwise wants audit devices in its configuration file.
		b.WriteString("unsafe_allow_api_audit_creation = true\n")
	}
	b.WriteString(v.opts.Config)
	return b.String()
}

// freePorts gives two addresses on the loopback interface that are free now. Somebody may take them
// before the server does; the caller tries again then.
func freePorts(ctx context.Context) (first, second string, err error) {
	var lc net.ListenConfig
	var addrs [2]string
	for i := range addrs {
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		// Open until both are known, so that they differ.
		defer func() { _ = l.Close() }()
		addrs[i] = l.Addr().String()
	}
	return addrs[0], addrs[1], nil
}

// cleanEnv is the environment of a server or a command: what it needs to run and to reach the internet from behind
// a proxy, and nothing else. Vault hands its whole environment to its plugins, and the caller's may hold
// a VAULT_TOKEN, or a real Zoho secret.
func cleanEnv(dir string, extra ...string) []string {
	keep := []string{"PATH", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "GOCOVERDIR"}
	env := make([]string, 0, len(keep)+len(extra)+2)
	for _, name := range keep {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	// HOME keeps the CLI's token helper away from the user's own ~/.vault-token.
	env = append(env, "HOME="+dir)
	// Plugins listen on sockets in TMPDIR, which a killed server leaves behind: better in our directory.
	// But the path of a socket may not be longer than about a hundred bytes.
	if tmp := filepath.Join(dir, "tmp"); len(tmp) <= 55 {
		env = append(env, "TMPDIR="+tmp)
	}
	return append(env, extra...)
}
