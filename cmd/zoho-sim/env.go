package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"vault-plugin-secrets-zoho/zohosim"
)

// demoScopes are what the simulated user agrees to: all that the resource API has.
// Zoho's SDKs look the user up after a refresh.
func demoScopes() []string {
	return []string{"ZohoCRM.modules.ALL", "ZohoCRM.org.READ", "ZohoCRM.users.READ"}
}

// assignments need no quoting: IDs, tokens and URLs are free of characters that
// mean something to a shell.
func assignments(sim *zohosim.Sim, client *zohosim.Client, dataCenter, url string) string {
	lines := []string{
		"ACCOUNTS_URL=" + url,
		"API_DOMAIN=" + url,
		"ZOHO_CLIENT_ID=" + client.ID,
		"ZOHO_CLIENT_SECRET=" + client.Secret(dataCenter),
		"ZOHO_REFRESH_TOKEN=" + sim.Consent(client, dataCenter, "user@example.com", demoScopes()),
	}
	return strings.Join(lines, "\n") + "\n"
}

func writeAssignments(path string, stdout io.Writer, text string) error {
	if path == "" {
		_, err := io.WriteString(stdout, text)
		return err
	}
	if err := writeFileAtomically(path, text); err != nil {
		return fmt.Errorf("-env: %w", err)
	}
	return nil
}

// writeFileAtomically makes path appear with all of its content, so that a
// script may wait for it to exist. A temporary file has mode 0600 from its
// creation on, and is removed when it cannot take its place.
func writeFileAtomically(path, text string) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, writeErr := file.WriteString(text)
	if err := errors.Join(writeErr, file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
