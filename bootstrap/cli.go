//go:build unix

package bootstrap

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Command is a command of the server's own CLI, ready to run, for instance
//
//	v.Command(ctx, v.RootToken(), "read", "zoho/creds/crm-sync")
//
// Its environment holds the address and the token and little else, and it runs in the server's directory.
func (v *Vault) Command(ctx context.Context, token string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, v.opts.Bin, args...)
	cmd.Dir = v.opts.Dir
	cmd.Env = cleanEnv(v.opts.Dir, "VAULT_ADDR="+v.Addr(), "VAULT_TOKEN="+token, "VAULT_CLI_NO_COLOR=1", "VAULT_MAX_RETRIES=0")
	return cmd
}

// CLI runs a command of the server's own CLI to its end. Warnings are on stderr, beside a result on stdout. An exit status
// other than 0 is an error that repeats stderr.
func (v *Vault) CLI(ctx context.Context, token string, args ...string) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	cmd := v.Command(ctx, token, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), errOut.String(), fmt.Errorf("vault %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), errOut.String(), nil
}

// StartCLI starts a command of the CLI that does not end by itself, such as "agent", "-config=...", with its output in
// the file name in the server's directory. The caller stops it.
func (v *Vault) StartCLI(ctx context.Context, token, logName string, args ...string) (*Process, error) {
	// Not ended with ctx: the caller stops it in order.
	return StartProcess(v.Command(context.WithoutCancel(ctx), token, args...), v.file(logName))
}
