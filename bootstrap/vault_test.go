//go:build unix

package bootstrap_test

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"vault-plugin-secrets-zoho/bootstrap"
)

func TestStartVault_KeepsItsDataAcrossAStopAKillAndASeal(t *testing.T) {
	dir, err := os.MkdirTemp("", "vault")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ctx := t.Context()
	v, err := bootstrap.StartVault(ctx, bootstrap.VaultOptions{Dir: dir, Audit: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Kill)

	if _, _, err := v.CLI(ctx, v.RootToken(), "secrets", "enable", "-path=kv", "kv"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.CLI(ctx, v.RootToken(), "write", "kv/a", "b=c"); err != nil {
		t.Fatal(err)
	}
	check := func(after string) {
		t.Helper()
		out, _, err := v.CLI(ctx, v.RootToken(), "read", "-field=b", "kv/a")
		if err != nil || strings.TrimSpace(out) != "c" {
			t.Fatalf("after %s: kv/a is %q, %v", after, out, err)
		}
	}
	check("the write")

	if err := v.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	check("a restart")

	v.Kill()
	if err := v.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	check("a crash")

	if err := v.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := v.Unseal(ctx); err != nil {
		t.Fatal(err)
	}
	check("a seal and an unseal")

	if log, err := os.ReadFile(v.AuditLog()); err != nil || len(log) == 0 {
		t.Errorf("no audit log: %v", err)
	}
	pid := v.PID()
	if err := v.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Errorf("process %d is alive after Stop", pid)
	}
}

func TestStartVault_TwoSideBySideDoNotMeet(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		dir, err := os.MkdirTemp("", "vault")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		v, err := bootstrap.StartVault(t.Context(), bootstrap.VaultOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(v.Kill)
		seen[v.Addr()] = true
		if status, err := v.Client(v.RootToken()).Sys().Health(); err != nil || status.Sealed {
			t.Errorf("%s is not up: %v", v.Addr(), err)
		}
	}
	if len(seen) != 2 {
		t.Errorf("two servers, but %d addresses", len(seen))
	}
}

func TestClient_SeesAnAnswerAsTheServerGaveIt(t *testing.T) {
	dir, err := os.MkdirTemp("", "vault")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	v, err := bootstrap.StartVault(t.Context(), bootstrap.VaultOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Kill)
	resp, err := v.Client("not-a-token").Logical().ReadRaw("sys/mounts")
	if resp == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %v, %v, want 403", resp, err)
	}
	if resp != nil {
		_ = resp.Body.Close()
	}
}
