//go:build unix

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

const (
	// startTimeout bounds one start, from the process to an active node. It takes a second or two.
	startTimeout = 60 * time.Second
	// portAttempts is how often a start is tried again because somebody else has taken a port.
	portAttempts = 5
)

var errPortTaken = errors.New("somebody else has taken the port")

// VaultOptions says how to run a server. Only Dir is required.
type VaultOptions struct {
	// Bin is the server's binary, Vault's or OpenBao's. Empty: FindVault finds it, and may build it for six minutes.
	Bin string
	// Dir is an existing directory that takes all that the server writes. Removing it is the caller's business.
	// A short path (below 50 bytes) is better: see cleanEnv.
	Dir string
	// NodeID is the node's name in the raft cluster; default "node1".
	NodeID string
	// LogLevel is the server's; default "debug", at which it says what it does with plugins and leases.
	LogLevel string
	// Audit writes an audit log from the start, to AuditLog().
	Audit bool
	// Config is appended to the configuration file.
	Config string
	// ClusterProxy is told, before a node starts, the address at which it will listen for the other nodes, and gives the one by which
	// these are to reach it. Nil: the same.
	ClusterProxy func(nodeID, listens string) (reachable string, err error)
	// Env is added to the server's environment, and so to its plugins'; entries are NAME=value.
	Env []string
}

// Vault is one server: its data, its keys, and its process while it runs. Its methods are not safe for concurrent use, except
// Addr, Client, Command and CLI, which are as long as none of the others runs.
type Vault struct {
	opts                 VaultOptions
	product              string
	apiPort, clusterPort string
	reachable            string // by the other nodes of the cluster
	rootToken, unsealKey string
	process              *Process
	logStart             int64 // where in the log file the present process begins
}

// StartVault starts a server on free ports of 127.0.0.1, initializes and unseals it, and waits until it is active. It is the
// caller's duty to Stop it; ctx covers the start only.
func StartVault(ctx context.Context, opts VaultOptions) (*Vault, error) {
	v, err := newVault(ctx, opts)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		err := v.startFresh(ctx)
		if err == nil {
			return v, nil
		}
		if v.process != nil {
			v.process.Kill()
		}
		if !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return nil, err
		}
	}
}

func newVault(ctx context.Context, opts VaultOptions) (*Vault, error) {
	if opts.NodeID == "" {
		opts.NodeID = "node1"
	}
	if opts.LogLevel == "" {
		opts.LogLevel = "debug"
	}
	if opts.Bin == "" {
		bin, err := FindVault(ctx)
		if err != nil {
			return nil, err
		}
		opts.Bin = bin
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); opts.Dir == "" || err != nil || !info.IsDir() {
		return nil, fmt.Errorf("start vault: Dir %q is not an existing directory", opts.Dir)
	}
	opts.Dir = dir

	product, err := Product(ctx, opts.Bin)
	if err != nil {
		return nil, err
	}
	return &Vault{opts: opts, product: product}, nil
}

// Product is the name and version that the binary of a server says of itself, such as "Vault v1.21.1".
func Product(ctx context.Context, bin string) (string, error) {
	out, err := exec.CommandContext(ctx, bin, "version").Output()
	if err != nil {
		return "", fmt.Errorf("%s version: %w", bin, err)
	}
	product := regexp.MustCompile(`^(Vault|OpenBao) v[0-9][^\s,]*`).FindString(string(out))
	if product == "" {
		return "", fmt.Errorf("%s is neither Vault nor OpenBao: its version is %q", bin, out)
	}
	return product, nil
}

// startFresh makes a new server on new ports, with new data and new keys.
func (v *Vault) startFresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	if err := v.launchFresh(ctx); err != nil {
		return err
	}
	if err := v.initialize(ctx); err != nil {
		return v.explain("initialize", err)
	}
	if err := v.Unseal(ctx); err != nil {
		return err
	}
	if v.opts.Audit {
		return v.enableAudit(ctx)
	}
	return nil
}

// launchFresh starts a server without data on new ports.
func (v *Vault) launchFresh(ctx context.Context) error {
	var err error
	if v.apiPort, v.clusterPort, err = freePorts(ctx); err != nil {
		return err
	}
	v.reachable = v.clusterPort
	if v.opts.ClusterProxy != nil {
		if v.reachable, err = v.opts.ClusterProxy(v.opts.NodeID, v.clusterPort); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(v.file("raft")); err != nil {
		return err
	}
	return v.launch(ctx)
}

// launch starts the process on the ports that are set and waits until it listens.
func (v *Vault) launch(ctx context.Context) error {
	for _, dir := range []string{"raft", "plugins", "tmp"} {
		if err := os.MkdirAll(v.file(dir), 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(v.file("vault.hcl"), []byte(v.config()), 0o600); err != nil {
		return err
	}
	if info, err := os.Stat(v.LogFile()); err == nil {
		v.logStart = info.Size()
	}

	// Not ended with ctx, which covers the start only.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), v.opts.Bin, "server", "-config="+v.file("vault.hcl"))
	cmd.Dir = v.opts.Dir
	cmd.Env = cleanEnv(v.opts.Dir, v.opts.Env...)
	process, err := StartProcess(cmd, v.LogFile())
	if err != nil {
		return fmt.Errorf("start %s: %w", v.opts.Bin, err)
	}
	v.process = process
	// Asking the port instead would not do: another Vault may have taken it and answer in this one's place.
	if err := process.waitForLog(ctx, v.logStart, "server started!"); err != nil {
		process.Kill()
		return v.explain("start", err)
	}
	return nil
}

func (v *Vault) initialize(ctx context.Context) error {
	keys, err := v.Client("").Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return err
	}
	if len(keys.KeysB64) != 1 {
		return fmt.Errorf("asked for one key share, got %d", len(keys.KeysB64))
	}
	v.rootToken, v.unsealKey = keys.RootToken, keys.KeysB64[0]
	return nil
}

// Unseal unseals the server and waits until it is active.
func (v *Vault) Unseal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if _, err := v.Client("").Sys().UnsealWithContext(ctx, v.unsealKey); err != nil {
		return v.explain("unseal", err)
	}
	return v.await(ctx, "to become active", func(health *api.HealthResponse) bool { return !health.Sealed && !health.Standby })
}

// await waits for the server to be in a state.
func (v *Vault) await(ctx context.Context, state string, reached func(*api.HealthResponse) bool) error {
	client := v.Client("")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		health, err := client.Sys().HealthWithContext(ctx)
		if err == nil && reached(health) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("sealed: %t, standby: %t", health.Sealed, health.Standby)
		}
		select {
		case <-v.process.Done():
			return v.explain("wait for the node "+state, errors.New("the server has ended"))
		case <-ctx.Done():
			return v.explain("wait for the node "+state, err)
		case <-tick.C:
		}
	}
}

// Seal seals the server; Unseal undoes it.
func (v *Vault) Seal(ctx context.Context) error {
	return v.Client(v.rootToken).Sys().SealWithContext(ctx)
}

// Restart stops the server if it runs, starts it on the same data and the same ports, and unseals it.
func (v *Vault) Restart(ctx context.Context) error {
	if err := v.relaunch(ctx); err != nil {
		return err
	}
	return v.Unseal(ctx)
}

// relaunch stops the server if it runs, and starts it on the same data and the same ports. It is sealed then.
func (v *Vault) relaunch(ctx context.Context) error {
	if err := v.Stop(); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := v.launch(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return err
		}
		// The address must stay as it is, for those who know it: the port may come free again.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// Stop shuts the server down in order. Stopping twice, or after Kill, is harmless.
func (v *Vault) Stop() error {
	if v.process == nil {
		return nil
	}
	return v.process.Stop()
}

// Kill ends the server and its plugins at once, as a crash of the machine would; Restart brings it back.
func (v *Vault) Kill() {
	if v.process != nil {
		v.process.Kill()
	}
}

func (v *Vault) enableAudit(ctx context.Context) error {
	err := v.Client(v.rootToken).Sys().EnableAuditWithOptionsWithContext(ctx, "file", &api.EnableAuditOptions{
		Type:    "file",
		Options: map[string]string{"file_path": v.AuditLog()},
	})
	if err != nil {
		return v.explain("enable the audit log", err)
	}
	return nil
}

// explain adds to an error what the server itself said last.
func (v *Vault) explain(doing string, err error) error {
	log := readFrom(v.LogFile(), v.logStart)
	if strings.Contains(log, "address already in use") {
		// The port of the API is opened at the start, the one for the cluster on unsealing.
		err = errors.Join(errPortTaken, err)
	}
	return fmt.Errorf("%s %s: %w\nlast lines of its log:\n%s", filepath.Base(v.opts.Bin), doing, err, lastLines(log, 12))
}
