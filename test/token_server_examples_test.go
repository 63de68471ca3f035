package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// takesFlags requires that the token server has these flags.
func takesFlags(t *testing.T, args ...string) {
	t.Helper()
	program, err := buildTokenServer()
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), program, append(slices.Clone(args), "-version")...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// The unit is read by systemd itself, with the program in its place, and judged by
// what systemd says of its hardening (0 is the least exposure, 10 the most).
func TestExamples_SystemdTakesTheUnitAndFindsItHardened(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(examplesDir, "systemd", "zoho-token-server.service"))
	require.NoError(t, err)
	command := regexp.MustCompile(`(?m)^ExecStart=(\S+) (.*)$`).FindStringSubmatch(string(content))
	require.NotNil(t, command)
	takesFlags(t, strings.Fields(command[2])...)

	_, err = exec.LookPath("systemd-analyze")
	needs(t, "REQUIRE_SYSTEMD", "systemd-analyze (Debian: apt-get install systemd)", err)
	program, err := buildTokenServer()
	require.NoError(t, err)
	unit := filepath.Join(t.TempDir(), "zoho-token-server.service")
	inPlace := strings.Replace(string(content), "ExecStart="+command[1], "ExecStart="+program, 1)
	require.NoError(t, os.WriteFile(unit, []byte(inPlace), 0o600))
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", unit).CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotContains(t, string(out), "zoho-token-server.service:", "systemd warns of something")
	out, err = exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=20", unit).CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestExamples_TheTokenServersSidecarIsWellFormed(t *testing.T) {
	t.Parallel()
	spec, ok := manifests(t, "token-server-sidecar.yaml")["Pod"].(*pod)
	require.True(t, ok)
	require.Len(t, spec.InitContainers, 1)
	sidecar := spec.InitContainers[0]
	require.Equal(t, "Always", sidecar.RestartPolicy, "or the pod waits for its end")
	takesFlags(t, sidecar.Args...)
	probe := sidecar.StartupProbe.Exec.Command
	require.Equal(t, sidecar.Command[0], probe[0])
	takesFlags(t, probe[1:]...)
	require.Contains(t, sidecar.Args, probe[2], "the probe asks where it listens")
	require.True(t, sidecar.SecurityContext.ReadOnlyRootFilesystem)
	require.Equal(t, []string{"ALL"}, sidecar.SecurityContext.Capabilities.Drop)

	shared := sidecar.VolumeMounts[0]
	require.Contains(t, sidecar.Args, "-client-file="+shared.MountPath+"/client.env")
	require.Equal(t, shared.Name, spec.Containers[0].VolumeMounts[0].Name)
	require.True(t, spec.Containers[0].VolumeMounts[0].ReadOnly)
	require.Equal(t, shared.Name, spec.Volumes[0].Name)
	require.Equal(t, "Memory", spec.Volumes[0].EmptyDir.Medium, "the client secret goes to no disk")
}
