package test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

// monitoring is a Prometheus that scrapes a mount, both as examples/monitoring has them.
type monitoring struct {
	*mount
	dir     string // a copy of examples/monitoring, adapted
	address string // of Prometheus
	token   string // the file with the Vault token
}

// tenMinutes live the tokens: less than the 15 minutes before their end at which an alert begins.
const tenMinutes = 10 * time.Minute

// newMonitoring starts a Vault with TLS, and a Prometheus with the files of the example, in which nothing is
// changed but addresses, paths and how long things take.
func newMonitoring(t *testing.T) *monitoring {
	t.Helper()
	dir, err := os.MkdirTemp("", "zoho")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &monitoring{dir: filepath.Join(dir, "monitoring"), token: filepath.Join(dir, "vault-token")}
	require.NoError(t, os.CopyFS(p.dir, os.DirFS("../examples/monitoring")))

	certificate, trusted := certificateOf(t, "localhost")
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	require.NoError(t, err)
	ca, keyFile, secure := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "key.pem"), freePort(t)
	require.NoError(t, os.WriteFile(ca, trusted, 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
	p.mount = mountAsDocumentedOn(t, ownServerWith(t, bootstrap.VaultOptions{Dir: filepath.Join(dir, "vault"), Config: fmt.Sprintf(
		"listener \"tcp\" {\n  address = %q\n  cluster_address = %q\n  tls_cert_file = %q\n  tls_key_file = %q\n}\n", secure, freePort(t), ca, keyFile)}), zohosim.Options{TokenLife: tenMinutes})
	p.policy("zoho-monitor", "monitor.hcl")
	p.newToken()

	p.adapt("prometheus.yml", "vault.example.com:8200", strings.Replace(secure, "127.0.0.1", "localhost", 1), "/etc/prometheus/vault-token", p.token, "/etc/prometheus/vault-ca.pem", ca,
		"scrape_interval: 30s", "scrape_interval: 500ms", "evaluation_interval: 30s", "evaluation_interval: 500ms")
	p.start(filepath.Join(dir, "data"))
	return p
}

// adapt replaces texts in a file of the example, each of which has to be there.
func (p *monitoring) adapt(file string, replacements ...string) {
	p.t.Helper()
	path := filepath.Join(p.dir, file)
	content, err := os.ReadFile(path)
	require.NoError(p.t, err)
	for i := 0; i < len(replacements); i += 2 {
		require.Contains(p.t, string(content), replacements[i], file)
	}
	require.NoError(p.t, os.WriteFile(path, []byte(strings.NewReplacer(replacements...).Replace(string(content))), 0o600))
}

// newToken puts a Vault token into the file that Prometheus reads.
func (p *monitoring) newToken() {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(p.token, []byte(p.as("zoho-monitor").Token()+"\n"), 0o600))
}

func (p *monitoring) start(data string) {
	p.t.Helper()
	// What an alert waits for in minutes would make the test wait, too. promtool test rules has seen to that.
	p.adapt("zoho.rules.yml", "for: 5m", "for: 0s", "for: 1m", "for: 0s", "timestamp_seconds > 900", "timestamp_seconds > 1")
	p.address = freePort(p.t)
	cmd := exec.CommandContext(context.WithoutCancel(p.t.Context()), tool(p.t, "prometheus", "prometheus"),
		"--config.file="+filepath.Join(p.dir, "prometheus.yml"), "--storage.tsdb.path="+data, "--web.listen-address="+p.address, "--log.level=warn")
	cmd.Dir = p.dir
	process, err := bootstrap.StartProcess(cmd, filepath.Join(p.t.TempDir(), "log"))
	require.NoError(p.t, err)
	p.t.Cleanup(func() {
		process.Kill()
		if p.t.Failed() {
			log, _ := os.ReadFile(process.LogFile())
			p.t.Logf("Prometheus says:\n%s", log)
		}
	})
	eventually(p.t, "Prometheus to have scraped the mount", func() bool { return len(p.query(`up{job="zoho"} == 1`)) == 1 })
}

// sample is one of the answer to a query.
type sample struct {
	Metric map[string]string `json:"metric"`
	Value  []any             `json:"value"`
}

// query evaluates an expression now; nil if Prometheus does not answer yet.
func (p *monitoring) query(expression string) (samples []sample) {
	p.t.Helper()
	var found struct {
		Data struct {
			Result []sample `json:"result"`
		} `json:"data"`
	}
	if !p.ask("query?query="+url.QueryEscape(expression), &found) {
		return nil
	}
	return found.Data.Result
}

func (p *monitoring) ask(path string, answer any) bool {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "curl", "-sf", "--max-time", "5", "http://"+p.address+"/api/v1/"+path)
	out, err := cmd.Output()
	return err == nil && json.Unmarshal(out, answer) == nil
}

// alerts are the alerts that fire, by name; values are those of all their labels.
func (p *monitoring) alerts() map[string][]string {
	p.t.Helper()
	var found struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string `json:"labels"`
				State  string            `json:"state"`
			} `json:"alerts"`
		} `json:"data"`
	}
	firing := map[string][]string{}
	if p.ask("alerts", &found) {
		for _, a := range found.Data.Alerts {
			if a.State == "firing" {
				firing[a.Labels["alertname"]] = append(firing[a.Labels["alertname"]], slices.Collect(maps.Values(a.Labels))...)
			}
		}
	}
	return firing
}

// fires waits until alerts fire, each for the value of one of its labels.
func (p *monitoring) fires(want map[string]string) {
	p.t.Helper()
	watch(p.t, fmt.Sprintf("%v to fire, and there is %v", want, p.alerts()), 30*time.Second, func() bool {
		firing := p.alerts()
		for name, label := range want {
			if !slices.Contains(firing[name], label) {
				return false
			}
		}
		return true
	})
}

// stops waits until no alert fires.
func (p *monitoring) stops() {
	p.t.Helper()
	watch(p.t, fmt.Sprintf("no alert to fire, and there is %v", p.alerts()), 30*time.Second, func() bool {
		return len(p.alerts()) == 0 && len(p.query(`up{job="zoho"} == 1`)) == 1
	})
}

// rejects reads a token of a role and takes it for dead, so that the next one has to be minted.
func (m *mount) rejects(role string, times int) {
	m.t.Helper()
	for range times {
		id, _ := m.read(role).Data["token_id"].(string)
		_, _ = m.root.Logical().ReadWithDataWithContext(m.t.Context(), m.path+"/creds/"+role, map[string][]string{"reject": {id}})
	}
}

func TestMonitoring_TheRulesAreWhatPromtoolAccepts(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "prometheus", "promtool")
	for _, args := range [][]string{{"check", "rules", "--lint-fatal", "zoho.rules.yml"}, {"check", "config", "--syntax-only", "prometheus.yml"}, {"test", "rules", "zoho.rules.test.yml"}} {
		cmd := exec.CommandContext(t.Context(), promtool, args...)
		cmd.Dir = "../examples/monitoring"
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
	}
}

// alertNames are those of the rules.
func alertNames(t *testing.T) (names []string) {
	t.Helper()
	rules, err := os.ReadFile("../examples/monitoring/zoho.rules.yml")
	require.NoError(t, err)
	for _, match := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		names = append(names, match[1])
	}
	return names
}

// Whoever is woken follows the link.
func TestMonitoring_EachAlertHasARunbookThatIsThereAndATest(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile("../examples/monitoring/zoho.rules.yml")
	require.NoError(t, err)
	links := regexp.MustCompile(`runbook_url: (\S+\.md)#(\S+)`).FindAllStringSubmatch(string(rules), -1)
	require.Len(t, links, len(alertNames(t)))
	for _, link := range links {
		page, err := os.ReadFile(filepath.Join("..", link[1]))
		require.NoError(t, err)
		var anchors []string
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(page), -1) {
			anchors = append(anchors, strings.ReplaceAll(regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(heading[1]), ""), " ", "-"))
		}
		require.Contains(t, anchors, link[2], link[1])
	}
	tests, err := os.ReadFile("../examples/monitoring/zoho.rules.test.yml")
	require.NoError(t, err)
	for _, name := range alertNames(t) {
		require.Contains(t, string(tests), "alertname: "+name, "promtool test rules")
	}
}

// expressions are the queries of the dashboard, as Grafana would send them for the mount.
func expressions(t *testing.T) (queries []string) {
	t.Helper()
	content, err := os.ReadFile("../examples/monitoring/dashboard.json")
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			Type    string `json:"type"`
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	require.NoError(t, json.Unmarshal(content, &board))
	for _, panel := range board.Panels {
		require.Equal(t, panel.Type == "row", len(panel.Targets) == 0, panel.Title)
		for _, target := range panel.Targets {
			queries = append(queries, strings.NewReplacer("$__rate_interval", "1m", "$job", "zoho", "$mount", "zoho").Replace(target.Expr))
		}
	}
	require.Greater(t, len(queries), 20)
	return queries
}

// Each alert of the example is made to fire by breaking the simulated Zoho in its way, and stops when that is mended.
func TestMonitoring_ARealPrometheusScrapesVaultAndEachAlertFiresAndStops(t *testing.T) {
	t.Parallel()
	installed(t, "curl")
	p := newMonitoring(t)
	roles := []string{"refused", "busy", "ends", "revoked"}
	for i := range 12 {
		roles = append(roles, fmt.Sprintf("other-%d", i))
	}
	refreshTokens := map[string]string{}
	for _, role := range roles {
		refreshTokens[role] = p.consent()
		p.write("roles/"+role, map[string]any{"refresh_token": refreshTokens[role]})
	}
	p.read("crm-sync")
	p.read("ends")
	revoked := p.read("revoked")
	p.stops()

	fired := p.breaks(refreshTokens["refused"], revoked)
	p.fires(fired)
	p.mends(revoked)
	p.stops()

	monitor, err := os.ReadFile(p.token)
	require.NoError(t, err)
	require.NoError(t, p.root.Auth().Token().RevokeTreeWithContext(t.Context(), strings.TrimSpace(string(monitor))))
	p.fires(map[string]string{"ZohoMetricsMissing": "zoho"})
	p.newToken()
	p.stops()
	require.ElementsMatch(t, alertNames(t), append(slices.Collect(maps.Keys(fired)), "ZohoMetricsMissing"), "each alert has to fire here")

	for _, expression := range expressions(t) {
		samples := p.query(expression)
		require.NotEmpty(t, samples, expression)
		require.NotContains(t, fmt.Sprint(samples), "NaN", expression)
	}
}

// breaks breaks the simulated Zoho, or what it is asked, in the way of each alert but ZohoMetricsMissing. It returns
// which alerts have to fire, each with one of its labels.
func (p *monitoring) breaks(refused string, revoked creds) (fired map[string]string) {
	p.t.Helper()
	for _, role := range []string{"eighteenth", "nineteenth"} { // one of the twenty is killed below
		p.write("roles/"+role, map[string]any{"refresh_token": p.consent()})
	}
	p.write("roles/empty", map[string]any{"refresh_token": p.consent(), "verify": false})
	p.rejects("busy", 6)
	p.read("refused")
	require.True(p.t, p.sim.Kill(refused))
	p.rejects("refused", 1)
	p.sim.SetDown(true)
	p.rejects("ends", 1)
	_, err := p.readAs(p.t.Context(), p.root, "empty")
	require.Error(p.t, err)
	require.Error(p.t, p.root.Sys().RevokeWithOptionsWithContext(p.t.Context(), &api.RevokeOptions{LeaseID: revoked.LeaseID, Sync: true}))
	return map[string]string{
		"ZohoRoleRefused": "refused", "ZohoRoleHasNoToken": "empty", "ZohoTokenEndsWithoutSuccessor": "ends",
		"ZohoBudgetNearlyUsedUp": "busy", "ZohoRevocationWaits": "access", "ZohoClientNearlyFull": p.client.ID,
	}
}

// mends does what the pages say that somebody does.
func (p *monitoring) mends(revoked creds) {
	p.t.Helper()
	p.sim.SetDown(false)
	p.write("roles/refused", map[string]any{"refresh_token": p.consent()})
	p.read("refused")
	p.write("config", map[string]any{"request_budget": 20})
	for _, role := range []string{"eighteenth", "nineteenth", "other-0"} {
		p.write("roles/"+role+"/deauthorize", nil)
	}
	require.NoError(p.t, p.root.Sys().RevokeWithOptionsWithContext(p.t.Context(), &api.RevokeOptions{LeaseID: revoked.LeaseID, Sync: true}))
	watch(p.t, "the pause after failures to be over", time.Minute, func() bool {
		p.rejects("ends", 1)
		_, err := p.readAs(p.t.Context(), p.root, "empty")
		return err == nil && p.status("ends")["state"] == "ready"
	})
}

func TestMonitoringPage_EachCommandWorks(t *testing.T) {
	t.Parallel()
	installed(t, "curl")
	r := newPageReader(t)
	r.follows("README.md", fromZero)
	r.paste["code"] = r.code(zohosim.CodeSpec{})
	r.follows("README.md", "With a Self Client")
	r.read("crm-sync")
	for _, command := range commandsOf(t, "docs/monitoring.md") {
		if strings.HasPrefix(command, "promtool ") { // TestMonitoring_TheRulesAreWhatPromtoolAccepts, and there is no /etc/prometheus here
			continue
		}
		printed := r.runs(command)
		if !strings.Contains(command, "> vault-token") {
			require.NotEmpty(t, printed, command)
			continue
		}
		token, err := os.ReadFile(filepath.Join(r.dir, "vault-token"))
		require.NoError(t, err)
		keepSecret("Vault token", strings.TrimSpace(string(token)))
	}
}

// The page has each alert with two commands, and each metric.
func TestMonitoringPage_HasEachAlertAndEachMetric(t *testing.T) {
	t.Parallel()
	m := newMount(t, zohosim.Options{})
	m.read("crm-sync")
	content, err := os.ReadFile("../docs/monitoring.md")
	require.NoError(t, err)
	for _, name := range alertNames(t) {
		require.Len(t, section(t, "docs/monitoring.md", name), 2, name)
	}
	_, _, body := m.scrapes(t.Context(), "GET", m.server.Addr(), m.root.Token())
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(body, -1) {
		require.Contains(t, string(content), "`"+match[1]+"`")
	}
	for _, match := range regexp.MustCompile("`(zoho_[a-z_]+)`").FindAllStringSubmatch(string(content), -1) {
		if !strings.HasPrefix(match[1], "zoho_token_server_") && match[1] != "zoho_client_refresh_tokens" && match[1] != "zoho_oldest_waiting_revocation_timestamp_seconds" { // there are none here
			require.Contains(t, body, "# TYPE "+match[1]+" ")
		}
	}
}
