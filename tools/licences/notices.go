package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeNotices writes what most licences want to go with a binary: their texts,
// with the copyright lines, and the notices.
func writeNotices(file string, modules []*module) error {
	var b bytes.Buffer
	b.WriteString("The plugin is built from the modules below. Each is under the licence that follows its name.\n" +
		"The source of a module is public under its path and version.\n")
	for _, m := range modules {
		if m.version == "" {
			continue // the plugin's own, which has its LICENSE beside it
		}
		fmt.Fprintf(&b, "\n%s\n%s %s\n", strings.Repeat("=", 78), m.path, m.version)
		for _, t := range m.texts {
			m.print(&b, t.file, t.content)
		}
		for _, notice := range m.notices {
			content, err := os.ReadFile(notice) // #nosec G304 -- a file of the module cache
			if err != nil {
				return err
			}
			m.print(&b, notice, string(content))
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644) // #nosec G306 -- it is to be published
}

func (m *module) print(b *bytes.Buffer, file, content string) {
	fmt.Fprintf(b, "\n--- %s\n\n%s\n", m.within(file), strings.TrimSpace(strings.ReplaceAll(content, "\r\n", "\n")))
}
