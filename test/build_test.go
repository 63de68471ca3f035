package test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// On a laptop with another system than the server's. The simulator stands for the plugin
// here: the same script builds both, and this one in a second.
func TestBuild_ForAServerOfAnotherPlatform(t *testing.T) {
	t.Parallel()
	require.Contains(t, page(t, install), "$ GOOS=linux GOARCH=amd64 make build\n")
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		program := filepath.Join(t.TempDir(), "zoho-sim")
		build := exec.CommandContext(t.Context(), "../scripts/build", program, "zoho-sim")
		build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch)
		out, err := build.CombinedOutput()
		require.NoError(t, err, string(out))
		built, err := elf.Open(program)
		require.NoError(t, err)
		require.Equal(t, machine, built.Machine)
		require.NoError(t, built.Close())
	}
}
