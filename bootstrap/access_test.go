//go:build unix

package bootstrap

import "testing"

func TestBefore_ComparesVaultsByNumberAndLeavesOpenBaoOut(t *testing.T) {
	for _, c := range []struct {
		product, release string
		want             bool
	}{
		{"Vault v1.12.2", "1.12.3", true},
		{"Vault v1.12.3", "1.12.3", false},
		{"Vault v1.9.10", "1.12.3", true},
		{"Vault v1.21.1", "1.14.0", false},
		{"Vault v1.21.1+ent", "1.21.1", false},
		{"Vault v1.13.2-rc1", "1.14.0", true},
		{"Vault v2.0.0", "1.16.0", false},
		{"OpenBao v2.4.0", "9.0.0", false},
	} {
		if got := (&Vault{product: c.product}).Before(c.release); got != c.want {
			t.Errorf("%s is before %s: %t", c.product, c.release, got)
		}
	}
}
