//go:build unix

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTable_HasAColumnForEachSizeAndTheFirstRowAsItsHeading(t *testing.T) {
	t.Parallel()
	var table table
	for _, size := range []int{10, 20} {
		table.begin()
		table.add("roles", count(size))
		table.add("calls", count(1))
		table.add("calls", count(size)) // the same words again are another row
		table.add("took", millis(time.Duration(size)*time.Millisecond/2))
	}
	require.Equal(t, `| roles | 10 | 20 |
|---|--:|--:|
| calls | 1 | 1 |
| calls | 10 | 20 |
| took | 5.0 ms | 10 ms |
`, table.markdown())
}
