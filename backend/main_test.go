package backend_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	checks := "150"
	if raceDetector { // ten times slower; scripts/test also runs these tests without it
		checks = "15"
	}
	// Long sequences find what short ones do not. Flags on the command line win.
	for name, value := range map[string]string{"rapid.steps": "100", "rapid.checks": checks, "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}
