package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	zohosecrets "vault-plugin-secrets-zoho"
)

const (
	// lookInterval is how often the process looks whether Vault is still there.
	lookInterval = time.Second

	// finishLimit is longer than a mount takes to end what is under way. It
	// ends the process when a mount hangs.
	finishLimit = 10 * time.Second
)

// endWithVault ends the process, after what is under way, when Vault has died
// without ending it. Nothing else would: go-plugin waits for an order that only
// Vault can give. So each crash of Vault would leave a process behind, with
// secrets in its memory. It has to be called before ServeMultiplex.
func endWithVault(mounts *zohosecrets.Mounts, logger hclog.Logger) {
	if runtime.GOOS == "windows" {
		return // Windows tells the former parent's ID for ever
	}
	// Vault lives now, or else ServeMultiplex will end the process: nobody reads
	// the address that it writes to standard output.
	vault := os.Getppid()
	go func() {
		waitForOtherParent(vault, os.Getppid, time.Tick(lookInterval))
		logger.Warn("Vault has died without ending this plugin process; it ends itself", "vault_pid", vault)
		if !finishWithin(finishLimit, mounts.Close) {
			logger.Error("what was under way has not ended in time", "limit", finishLimit)
		}
		os.Exit(1)
	}()
}

// waitForOtherParent returns when parentID no longer answers parent: on every
// Unix a process whose parent dies gets another one at once.
func waitForOtherParent(parent int, parentID func() int, look <-chan time.Time) {
	for parentID() == parent {
		<-look
	}
}

// finishWithin waits for finish to return, for limit at the most.
func finishWithin(limit time.Duration, finish func()) (finished bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		finish()
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

// survivingVault lets the process live on without Vault until endWithVault ends
// it: by default Go ends a process that writes a log line which nobody can read
// any more, and so in the middle of what is under way.
//
// It does so with the first mount and not at the start: before Vault has read
// the address from standard output, that default is what ends the process.
func survivingVault(factory logical.Factory) logical.Factory {
	return func(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
		signal.Ignore(syscall.SIGPIPE)
		return factory(ctx, conf)
	}
}
