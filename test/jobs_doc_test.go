package test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/zohosim"
)

func TestJobsPage_EachCommandWorks(t *testing.T) {
	t.Parallel()
	r := newPageReader(t)
	r.follows("README.md", fromZero)
	r.paste["code"] = r.code(zohosim.CodeSpec{})
	r.follows("README.md", "With a Self Client")
	for _, command := range commandsOf(t, "docs/jobs.md") {
		require.NotEmpty(t, r.runs(command), command)
	}
}
