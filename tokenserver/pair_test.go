package tokenserver

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPair_IsMadeOnceInAFileThatOnlyItsUserCanRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "client.env")
	made, err := PairFromFile(file)
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("ZOHO_CLIENT_ID=%s\nZOHO_CLIENT_SECRET=%s\n", made.ID, made.Secret.Reveal()), string(content))

	again, err := PairFromFile(file)
	require.NoError(t, err)
	require.Equal(t, made, again, "programs that have read it go on working after a restart")
	other, err := NewPair()
	require.NoError(t, err)
	require.NotEqual(t, made.Secret, other.Secret)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", made, made, made), made.Secret.Reveal())
}

func TestPair_AFileThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "client.env")
	_, err := PairFromFile(file)
	require.NoError(t, err)
	for mode, good := range map[os.FileMode]bool{0o400: true, 0o600: true, 0o640: true, 0o644: false, 0o660: false, 0o601: false, 0o606: false} {
		require.NoError(t, os.Chmod(file, mode))
		_, err := PairFromFile(file)
		require.Equal(t, good, err == nil, "%04o: %v", mode, err)
	}
}

func TestPair_AChosenOneIsLongAndPlain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "client.env")
	for content, says := range map[string]string{
		"":                   "have to be set",
		"ZOHO_CLIENT_ID=x\n": "have to be set",
		"ZOHO_CLIENT_ID=x\nZOHO_CLIENT_SECRET=short\n":                           "16 characters",
		"ZOHO_CLIENT_ID=x\nZOHO_CLIENT_SECRET=0123456789abcde:\n":                "letters, digits",
		"# a comment\n\nZOHO_CLIENT_ID=x\r\nZOHO_CLIENT_SECRET=0123456789abcdef": "",
	} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		pair, err := PairFromFile(file)
		if says == "" {
			require.NoError(t, err)
			require.True(t, pair.isSame("x", "0123456789abcdef"))
			continue
		}
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "0123456789abcde")
	}
}

func TestPair_BothPartsHaveToBeRight(t *testing.T) {
	t.Parallel()
	pair, err := NewPair()
	require.NoError(t, err)
	require.True(t, pair.isSame(pair.ID, pair.Secret.Reveal()))
	require.False(t, pair.isSame(pair.ID, ""))
	require.False(t, pair.isSame("", pair.Secret.Reveal()))
	require.False(t, pair.isSame(pair.Secret.Reveal(), pair.ID))
	require.False(t, pair.isSame(pair.ID, pair.Secret.Reveal()+"x"))
}
