package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"time"

	"vault-plugin-secrets-zoho/tokenserver"
)

// settings are the program's flags.
type settings struct {
	listen     string
	socketMode fs.FileMode
	mount      string
	roles      []string
	clientFile string
	tokenFile  string
	answers    answerSettings
	tlsCert    string
	tlsKey     string
	metrics    string
	check      bool
	ready      bool
	version    bool
}

// answerSettings are flags that change what callers get.
type answerSettings struct {
	maxAge         time.Duration
	plainAPIDomain bool
	revokeOnExit   bool
}

func (a *answerSettings) register(flags *flag.FlagSet) {
	flags.DurationVar(&a.maxAge, "max-age", 0, "`longest` time for which a caller is told that its token is good, such as 10m;\nthe token may live for longer. 0: as long as the token lives")
	flags.BoolVar(&a.plainAPIDomain, "plain-api-domain", false, "answer with api_domain as Zoho does, without a port. It makes Zoho's SDKs\nask Zoho's own Accounts server at their second refresh")
	flags.BoolVar(&a.revokeOnExit, "revoke-on-exit", false, "give every lease back at the end, also those on tokens that callers still use")
}

const usage = `zoho-token-server answers programs on this machine as Zoho's Accounts server
does, with access tokens that it leases from Vault's Zoho secrets engine. Tell a
program its address as that of the token endpoint, http://HOST:PORT/oauth/v2/token,
and the name of a role as the refresh token.

Vault is found as every Vault client finds it: VAULT_ADDR, VAULT_CACERT,
VAULT_NAMESPACE and so on. The Vault token comes from -token-file, from
VAULT_TOKEN, or from a Vault Agent or Proxy that adds it.

Flags:

`

func parseFlags(args []string, stderr io.Writer) (settings, error) {
	s := settings{socketMode: 0o600}
	flags := flag.NewFlagSet("zoho-token-server", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.listen, "listen", "127.0.0.1:8269", "`address`: unix:PATH, a loopback address HOST:PORT, localhost:PORT for all of them,\nor systemd for the sockets of a .socket unit")
	flags.Func("socket-mode", "`mode` of a Unix socket, in octal (default 0600)", func(text string) error {
		mode, err := strconv.ParseUint(text, 8, 9)
		s.socketMode = fs.FileMode(mode)
		return err
	})
	flags.StringVar(&s.mount, "mount", "zoho", "`path` where the secrets engine is mounted")
	flags.Func("role", "`name` of a role that may be asked for; can be given again.\nWithout it all that the policy allows may be asked for", func(name string) error {
		s.roles = append(s.roles, name)
		return nil
	})
	flags.StringVar(&s.clientFile, "client-file", "", "`file` with the client ID and secret that callers have to send; made with a new\npair, and mode 0600, if it is not there. Without it "+tokenserver.EnvClientID+" and\n"+tokenserver.EnvClientSecret+" count. A Unix socket needs neither")
	flags.StringVar(&s.tokenFile, "token-file", "", "`file` with the Vault token, read again when it changes")
	s.answers.register(flags)
	flags.StringVar(&s.tlsCert, "tls-cert", "", "`file` with a certificate and its chain, read again when it changes: TCP callers\nhave to use https")
	flags.StringVar(&s.tlsKey, "tls-key", "", "`file` with the key of -tls-cert")
	flags.StringVar(&s.metrics, "metrics", "", "`address` at which Prometheus reads /metrics, of its own: a loopback address HOST:PORT, or\nunix:PATH with -socket-mode. Whoever can connect may read it; it has no secret.\nWithout it there is none")
	flags.BoolVar(&s.check, "check", false, "ask whether the token server at -listen is well and knows the client ID and\nsecret, and end")
	flags.BoolVar(&s.ready, "ready", false, "with -check: ask whether callers would get a token")
	flags.BoolVar(&s.version, "version", false, "say the version, and end")
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, usage) // if this fails there is nobody to tell
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	}
	if s.ready && !s.check {
		return s, errors.New("-ready says what -check is to ask; give both")
	}
	if s.answers.maxAge != 0 && s.answers.maxAge < time.Second {
		return s, fmt.Errorf("-max-age %s is less than a second", s.answers.maxAge)
	}
	if (s.tlsCert == "") != (s.tlsKey == "") && !s.check {
		return s, errors.New("-tls-cert and -tls-key go together")
	}
	if s.metrics == tokenserver.Inherited || s.metrics != "" && s.metrics == s.listen {
		return s, fmt.Errorf("-metrics %s is where callers are answered; give it an address of its own", s.metrics)
	}
	for _, name := range s.roles {
		if !tokenserver.IsRoleName(name) {
			return s, fmt.Errorf("-role %q is not the name of a role: letters, digits, '_', and '-' and '.' inside", name)
		}
	}
	return s, nil
}

// pair returns what callers have to send; nil if none is given, and only those can
// connect whom the mode of a Unix socket lets in.
func (s settings) pair(listeners []net.Listener) (*tokenserver.Pair, error) {
	if s.clientFile != "" {
		pair, err := tokenserver.PairFromFile(s.clientFile)
		if err != nil {
			return nil, fmt.Errorf("-client-file: %w", err)
		}
		return pair, nil
	}
	pair, err := s.knownPair()
	if pair != nil || err != nil {
		return pair, err
	}
	for _, l := range listeners {
		if who := tokenserver.OpenTo(l); who != "" {
			return nil, fmt.Errorf("callers need a client ID and secret, since %s: name a file with -client-file, set %s and %s, or listen on a Unix socket (-listen unix:PATH) of the mode 0600 or 0660",
				who, tokenserver.EnvClientID, tokenserver.EnvClientSecret)
		}
	}
	return nil, nil
}

// knownPair returns the pair that is there already; nil if none is given.
func (s settings) knownPair() (*tokenserver.Pair, error) {
	if s.clientFile != "" {
		pair, err := tokenserver.ReadPair(s.clientFile)
		if err != nil {
			return nil, fmt.Errorf("-client-file: %w", err)
		}
		return pair, nil
	}
	id, value := os.Getenv(tokenserver.EnvClientID), os.Getenv(tokenserver.EnvClientSecret)
	if id == "" && value == "" {
		return nil, nil
	}
	return tokenserver.ParsePair(id, value)
}
