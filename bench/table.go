//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
)

// table has a column for each size, and a row for each figure.
type table struct {
	columns int
	rows    []row
}

type row struct {
	what   string
	values []string
}

// begin starts a column.
func (t *table) begin() { t.columns++ }

// add puts a figure into the present column.
func (t *table) add(what, value string) {
	at := slices.IndexFunc(t.rows, func(r row) bool { return r.what == what && len(r.values) < t.columns })
	if at < 0 {
		at = len(t.rows)
		t.rows = append(t.rows, row{what: what})
	}
	t.rows[at].values = append(t.rows[at].values, value)
}

// markdown has the first row as its heading.
func (t *table) markdown() string {
	var b strings.Builder
	for i, r := range t.rows {
		fmt.Fprintf(&b, "| %s | %s |\n", r.what, strings.Join(r.values, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|---%s|\n", strings.Repeat("|--:", t.columns))
		}
	}
	return b.String()
}
