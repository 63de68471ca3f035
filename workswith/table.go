//go:build unix

package main

import (
	"fmt"
	"slices"
	"strings"
)

const (
	tableBegin = "<!-- written by make works-with -->\n"
	tableEnd   = "<!-- end -->\n"
	tableHead  = "| with | run on | tests passed | skipped | took part in tests that passed |\n|---|---|--:|---|---|\n"
)

// withRow puts a row into the table that a document has between two marks. It replaces the row of the same name, and
// leaves those of other names as they are.
func withRow(document []byte, row string) ([]byte, error) {
	before, rest, found := strings.Cut(string(document), tableBegin)
	table, after, ends := strings.Cut(rest, tableEnd)
	if !found || !ends {
		return nil, fmt.Errorf("there is no place for the table: %s%s", tableBegin, tableEnd)
	}
	rows := []string{row}
	for line := range strings.Lines(strings.TrimPrefix(table, tableHead)) {
		if nameIn(line) != nameIn(row) {
			rows = append(rows, line)
		}
	}
	slices.Sort(rows)
	return []byte(before + tableBegin + tableHead + strings.Join(rows, "") + tableEnd + after), nil
}

// nameIn is the first cell of a row.
func nameIn(row string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
	return name
}
