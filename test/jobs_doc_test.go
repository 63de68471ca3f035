package test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJobsPage_EachCommandWorks(t *testing.T) {
	t.Parallel()
	r := newPageReader(t)
	r.follows("README.md", fromZero)
	for _, command := range commandsOf(t, "docs/jobs.md") {
		require.NotEmpty(t, r.runs(command), command)
	}
}
