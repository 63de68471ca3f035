//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanceledReads_AreThoseThatVaultHasAnsweredSo(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "audit.log")
	require.NoError(t, os.WriteFile(log, []byte(`{"type":"request","request":{"id":"a","path":"zoho/creds/books"}}
{"type":"response","error":"1 error occurred:\n\t* rpc error: code = Canceled desc = context canceled\n\n","request":{"id":"a","path":"zoho/creds/books"}}
{"type":"response","request":{"id":"b","path":"zoho/creds/books"}}
{"type":"response","error":"context canceled","request":{"id":"c","path":"zoho/roles/books"}}
`), 0o600))
	canceled, err := canceledReads(log)
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"a": true}, canceled)
}
