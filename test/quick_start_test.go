package test

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// What the README says below "See it work" for whoever has a vault, and no make. The port is
// another one, so that nothing that runs on the usual one is in the way.
func TestREADME_TheQuickStartNeedsNoMake(t *testing.T) {
	t.Parallel()
	r := pageReader{newReader(t, zohosim.SelfClient)}
	commands := section(t, "README.md", "See it work")
	require.Equal(t, "make demo", commands[0], "not run here: other tests have what it does")
	require.Len(t, commands, 5)

	build := strings.Fields(commands[1]) // go build -o plugins/... ./cmd/...
	require.Equal(t, []string{"go", "build", "-o"}, build[:3])
	build[3] = filepath.Join(r.dir, build[3])
	cmd := exec.CommandContext(t.Context(), "go", build[1:]...)
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	const serves = "vault server "
	require.True(t, strings.HasPrefix(commands[2], serves))
	server := exec.Command("sh", "-c", "exec vault server -dev-listen-address="+address+" "+strings.TrimPrefix(commands[2], serves)) // stopped below
	server.Dir = r.dir
	server.Env = []string{"PATH=" + filepath.Join(r.dir, "bin"), "HOME=" + r.dir}
	process, err := bootstrap.StartProcess(server, filepath.Join(r.dir, "dev.log"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, process.Stop()) })

	assignments, isExport := strings.CutPrefix(commands[3], "export ")
	require.True(t, isExport)
	for assignment := range strings.FieldsSeq(assignments) {
		r.others = append(r.others, strings.Replace(assignment, "127.0.0.1:8200", address, 1))
	}
	eventually(t, "the server", func() bool { _, err := r.tries("vault status"); return err == nil })
	r.runs(commands[4])
	require.Contains(t, r.runs("vault read zoho/info"), "version")
}
