package test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// placeholders replaces what differs from run to run by what does not: secrets
// and Vault's address by what was named for them, IDs by made-up ones - the same ID
// always by the same -, times by others as far from each other.
type placeholders struct {
	known []string          // pairs of old and new
	ids   map[string]string // made-up IDs by the true ones, and by themselves
	start time.Time

	// Made-up IDs follow from where they occur first, so that one exchange more
	// does not change those of the others.
	where string
	count int
}

func newPlaceholders(m *mount) *placeholders {
	p := &placeholders{ids: map[string]string{}, start: time.Now()}
	p.add(m.server.Addr(), "https://vault.example.com")
	p.add(url.QueryEscape(m.server.Addr()), url.QueryEscape("https://vault.example.com"))
	p.add(env.plugin.Version, "v1.2.3")
	return p
}

func (p *placeholders) add(value, placeholder string) {
	p.known = append(p.known, value, placeholder)
}

// begin is the heading of an exchange.
func (p *placeholders) begin(where string) { p.where, p.count = where, 0 }

// in is the text with placeholders.
func (p *placeholders) in(text string) string {
	text = strings.NewReplacer(p.known...).Replace(text)
	for pattern, placeholder := range map[string]string{
		`("commit": )"[^"]*"`:               `${1}"0123456789abcdef0123456789abcdef01234567"`,
		`("lease_duration": )3[0-9]{3}\b`:   "${1}3599",
		`(creds/[a-z-]+/)[0-9A-Za-z]{24}\b`: "${1}Ir2x76FVv9Jv8FvtpNgWGTbI",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, placeholder)
	}
	// About half of a token's life, another moment for each token.
	text = regexp.MustCompile(`("next_refresh": )"[^"]+"`).ReplaceAllString(text, `${1}"`+p.start.Add(30*time.Minute).UTC().Format(time.RFC3339)+`"`)
	text = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`).ReplaceAllStringFunc(text, p.time)
	return regexp.MustCompile(`\b([0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})\b`).ReplaceAllStringFunc(text, p.id)
}

// time keeps the distances between times, to ten minutes: what happens within
// the test happens at once.
func (p *placeholders) time(text string) string {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	begin := time.Date(2026, 11, 17, 9, 0, 0, 0, time.UTC)
	return begin.Add(t.Sub(p.start).Round(10 * time.Minute)).Format(time.RFC3339)
}

// id is the made-up ID that stands for one.
func (p *placeholders) id(id string) string {
	if instead, ok := p.ids[id]; ok {
		return instead
	}
	p.count++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", p.where, p.count))
	instead := hex.EncodeToString(sum[:16])
	if strings.Contains(id, "-") {
		instead = strings.Join([]string{instead[:8], instead[8:12], instead[12:16], instead[16:20], instead[20:]}, "-")
	}
	p.ids[id], p.ids[instead] = instead, instead
	return instead
}
