package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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

const (
	systemdService = "zoho-token-server.service"
	systemdSocket  = "zoho-token-server.socket"
)

func systemdUnit(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(examplesDir, "systemd", name))
	require.NoError(t, err)
	return string(content)
}

// The units are read by systemd itself, with the program in its place, and judged by
// what systemd says of their hardening (0 is the least exposure, 10 the most).
func TestExamples_SystemdTakesTheUnitsAndFindsThemHardened(t *testing.T) {
	t.Parallel()
	service, socket := systemdUnit(t, systemdService), systemdUnit(t, systemdSocket)
	command := regexp.MustCompile(`(?m)^ExecStart=(\S+) (.*)$`).FindStringSubmatch(service)
	require.NotNil(t, command)
	takesFlags(t, strings.Fields(command[2])...)
	for _, line := range []string{"Requires=" + systemdSocket, "StartLimitIntervalSec=0"} {
		require.Contains(t, service, "\n"+line+"\n", "or systemd closes the socket at some time")
	}
	require.Contains(t, socket, "\nTriggerLimitIntervalSec=0\n")
	require.Contains(t, socket, "\nSocketMode=0600\n", "systemd's default lets everybody in")
	extra := regexp.MustCompile(`(?m)^#   (-client-file=\S+)$`).FindStringSubmatch(service)
	require.NotNil(t, extra)
	takesFlags(t, extra[1])

	_, err := exec.LookPath("systemd-analyze")
	needs(t, "systemd-analyze (Debian: apt-get install systemd)", err)
	program, err := buildTokenServer()
	require.NoError(t, err)
	service = strings.Replace(service, "ExecStart="+command[1], "ExecStart="+program, 1)
	ports := strings.ReplaceAll(socket, "#ListenStream=", "ListenStream=")
	require.Equal(t, 3, strings.Count(ports, "\nListenStream="))
	for name, variant := range map[string][2]string{
		"as they are":   {service, socket},
		"with the port": {strings.Replace(service, " -listen=", " "+extra[1]+" -listen=", 1), ports},
	} {
		dir := t.TempDir()
		units := []string{filepath.Join(dir, systemdService), filepath.Join(dir, systemdSocket)}
		for i, unit := range units {
			require.NoError(t, os.WriteFile(unit, []byte(variant[i]), 0o600))
		}
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"verify"}, units...)...).CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
		require.NotContains(t, string(out), "zoho-token-server.", "systemd warns of something")
		out, err = exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--threshold=20", units[0]).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

// The program with the flags of the unit, and a socket that systemd's own tool passes in.
func TestExamples_TheServiceAnswersOnTheSocketOfItsUnit(t *testing.T) {
	t.Parallel()
	activate, err := exec.LookPath("systemd-socket-activate")
	needs(t, "systemd-socket-activate (Debian: apt-get install systemd)", err)
	installed(t, "curl")
	program, err := buildTokenServer()
	require.NoError(t, err)
	flags := regexp.MustCompile(`(?m)^ExecStart=\S+ (.*)$`).FindStringSubmatch(systemdUnit(t, systemdService))
	path := regexp.MustCompile(`(?m)^ListenStream=(/.+)$`).FindStringSubmatch(systemdUnit(t, systemdSocket))
	require.NotNil(t, flags)
	require.NotNil(t, path)
	e := newExample(t, "node", time.Hour)
	dir, err := os.MkdirTemp("", "zoho") // of mode 0700, with a short name
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	token := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(token, []byte(e.vaultToken()), 0o600))
	socket := filepath.Join(dir, filepath.Base(path[1]))
	command := strings.Join([]string{
		"umask 077; exec", activate, "-l", socket, "-E VAULT_ADDR", program, strings.Replace(flags[1], "/run/vault-agent/token", token, 1),
	}, " ")
	log := e.start("", "sh", "-c", command)
	eventually(t, "systemd to listen", func() bool { said, _ := os.ReadFile(log); return strings.Contains(string(said), socket) })
	out, err := e.command(t.Context(), "", "curl", "-sS", "--unix-socket", socket, "-d", "grant_type=refresh_token", "-d", "refresh_token=crm-sync", "http://localhost/oauth/v2/token").Output()
	require.NoError(t, err)
	answer := regexp.MustCompile(`"access_token":"([^"]+)"`).FindSubmatch(out)
	require.NotNil(t, answer, "%s", out)
	keepSecret("access token", string(answer[1]))
	require.True(t, e.sim.Alive(string(answer[1])))
}

// The commands of the page, in their order, with a port and a directory of the
// test's own.
func TestTokenServer_TheCommandsOfUsingWork(t *testing.T) {
	t.Parallel()
	installed(t, "curl")
	program, err := buildTokenServer()
	require.NoError(t, err)
	e := newExample(t, "node", time.Hour)
	token := e.vaultToken()
	run, err := os.MkdirTemp("", "zoho") // the path of a socket has to be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	own := strings.NewReplacer("127.0.0.1:8269", freePort(t), "/run/crm-sync", run)
	answers := 0
	for _, command := range section(t, using, "Token server") {
		if flags, starts := strings.CutPrefix(command, "zoho-token-server "); starts {
			log := e.start(token, program, strings.Fields(own.Replace(flags))...)
			eventually(t, "the token server to listen", func() bool {
				said, err := os.ReadFile(log)
				return err == nil && strings.Contains(string(said), "msg=listening")
			})
			continue
		}
		out, err := e.command(t.Context(), "", "sh", "-c", own.Replace(command)).Output()
		require.NoError(t, err, command)
		answer := regexp.MustCompile(`^{"access_token":"([^"]+)","api_domain":"[^"]+","token_type":"Bearer","expires_in":35\d\d}$`).FindSubmatch(out)
		require.NotNil(t, answer, "%s", out)
		keepSecret("access token", string(answer[1]))
		require.True(t, e.sim.Alive(string(answer[1])))
		answers++
	}
	require.Equal(t, 2, answers)
}

// The page has all flags and their defaults, and no others.
func TestUsing_NamesTheFlagsOfTheTokenServer(t *testing.T) {
	t.Parallel()
	program, err := buildTokenServer()
	require.NoError(t, err)
	help, err := exec.CommandContext(t.Context(), program, "-help").CombinedOutput()
	require.NoError(t, err)
	named := func(pattern, text string) (names []string) {
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			names = append(names, found[1])
		}
		slices.Sort(names)
		return names
	}
	flags := named(`(?m)^  (-[a-z-]+)( |$)`, string(help))
	require.NotEmpty(t, flags)
	require.Equal(t, flags, named("(?m)^\\| `(-[a-z-]+)` \\|", page(t, using)))
	for _, standard := range []string{"127.0.0.1:8269", "0600", "zoho"} {
		require.Regexp(t, `default "?`+standard, string(help))
		require.Regexp(t, "default `?"+standard, page(t, using))
	}
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
	clientFile := "-client-file=" + shared.MountPath + "/private/client.env"
	require.Contains(t, sidecar.Args, clientFile, "in a directory of its own: everybody can write an emptyDir")
	require.Contains(t, probe, clientFile)
	require.Equal(t, shared.Name, spec.Containers[0].VolumeMounts[0].Name)
	require.True(t, spec.Containers[0].VolumeMounts[0].ReadOnly)
	require.Equal(t, shared.Name, spec.Volumes[0].Name)
	require.Equal(t, "Memory", spec.Volumes[0].EmptyDir.Medium, "the client secret goes to no disk")
}
