package tokenserver

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
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

// Otherwise the one that lost serves a pair that its callers cannot read anywhere.
func TestPair_OfManyThatMakeTheFileAtOnceAllGetTheSame(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := t.TempDir()
		file := filepath.Join(dir, "client.env")
		pairs := make([]*Pair, 16)
		var wg sync.WaitGroup
		for i := range pairs {
			wg.Go(func() {
				pair, err := PairFromFile(file)
				assert.NoError(t, err)
				pairs[i] = pair
			})
		}
		wg.Wait()
		inFile, err := ReadPair(file)
		require.NoError(t, err)
		for _, pair := range pairs {
			require.Equal(t, inFile, pair)
		}
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, files, 1, "nothing is left behind")
	}
}

func TestPair_AFileIsNotTakenFromAnotherUserOrThroughALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real := filepath.Join(dir, "real.env")
	_, err := PairFromFile(real)
	require.NoError(t, err)
	for name, target := range map[string]string{"link": real, "relative": "real.env", "dangling": filepath.Join(dir, "nowhere")} {
		link := filepath.Join(dir, name)
		require.NoError(t, os.Symlink(target, link))
		_, err := PairFromFile(link)
		require.ErrorContains(t, err, "is a link", name)
		_, err = os.Lstat(link)
		require.NoError(t, err, "it stays as it is")
	}
	require.NoFileExists(t, filepath.Join(dir, "nowhere"))
	_, err = PairFromFile(dir)
	require.Error(t, err)
	foreign(t, real)
	_, err = PairFromFile(real)
	require.ErrorContains(t, err, "belongs to the user with ID 65534")
}

func TestPair_AFileIsNotKeptWhereOthersCouldReplaceIt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made")
	file := filepath.Join(dir, "client.env")
	_, err := PairFromFile(file)
	require.NoError(t, err, "a directory that is missing is made")
	for mode, good := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o775: false, 0o777: false, os.ModeSticky | 0o777: false} {
		require.NoError(t, os.Chmod(dir, mode))
		_, err := ReadPair(file)
		require.Equal(t, good, err == nil, "%04o: %v", mode, err)
	}
	require.NoError(t, os.Chmod(dir, 0o700))
	foreign(t, dir)
	_, err = ReadPair(file)
	require.ErrorContains(t, err, "belongs to the user with ID 65534")
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
