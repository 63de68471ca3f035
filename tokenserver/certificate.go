package tokenserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// A Certificate is that of the TCP listeners. It is read again when its files have
// changed, so that its renewal ends no lease. While the new files make no sense, for
// example because only one of them is there, the former certificate stays in use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	version fileVersions // of the files that were read last
}

// fileVersions tell whether files have changed.
type fileVersions [2]struct {
	at   time.Time
	size int64
}

// NewCertificate reads a certificate with its chain, and its key, in PEM.
func NewCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	version, err := c.versions()
	if err != nil {
		return nil, err
	}
	if c.current, err = c.read(); err != nil {
		return nil, err
	}
	c.version = version
	return c, nil
}

// Encrypt has the TCP listeners speak TLS. A Unix socket needs none.
func (c *Certificate) Encrypt(listeners []net.Listener) []net.Listener {
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: c.get}
	encrypted := make([]net.Listener, len(listeners))
	for i, l := range listeners {
		if encrypted[i] = l; IsTCP(l) {
			encrypted[i] = tls.NewListener(l, config)
		}
	}
	return encrypted
}

func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version, err := c.versions()
	if err != nil || version == c.version {
		return c.current, nil // the files may be on their way
	}
	c.version = version
	renewed, err := c.read()
	if err != nil {
		c.log.Warn("the changed certificate cannot be used; the former one stays", "error", err)
		return c.current, nil
	}
	c.log.Info("uses the changed certificate", "ends", renewed.Leaf.NotAfter)
	c.current = renewed
	return renewed, nil
}

func (c *Certificate) versions() (v fileVersions, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return v, err
		}
		v[i].at, v[i].size = info.ModTime(), info.Size()
	}
	return v, nil
}

func (c *Certificate) read() (*tls.Certificate, error) {
	certPEM, err := os.ReadFile(c.certFile) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	keyPEM, err := readKey(c.keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s with %s: %w", c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

// readKey reads a key that no other user can read. It may be a link, as Kubernetes
// makes them.
func readKey(name string) (content []byte, err error) {
	file, err := os.Open(name) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	const others fs.FileMode = 0o027
	if err := checkAccess(name, info, others); err != nil {
		return nil, err
	}
	return io.ReadAll(file)
}
