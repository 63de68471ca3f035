// Command vulnerabilities reads what govulncheck found, and fails when a
// program reaches a known vulnerability:
//
//	govulncheck -format json PACKAGE... | vulnerabilities [-max-age DAYS] EXCEPTIONS GO [DATE]
//
// GO is the version of Go that builds the programs, such as go1.26.11. DATE is
// the day of the database, such as 2026-11-05, if the database does not know it.
// Standard input may hold the output of several runs, one after another: one for
// each platform.
//
// It fails for every vulnerability that a program reaches and that EXCEPTIONS
// does not list, for every exception that is no longer right, and for input that
// proves nothing because govulncheck did not look at the code. A vulnerability
// that has no fix fails, too: a person has to look at it, and write down the
// reason for an exception.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

var errFound = errors.New("a release may not have these vulnerabilities")

func main() {
	if err := run(os.Args[1:], time.Now(), os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "vulnerabilities:", err)
		os.Exit(1)
	}
}

func run(args []string, now time.Time, in io.Reader, out, errs io.Writer) error {
	flags := flag.NewFlagSet("vulnerabilities", flag.ContinueOnError)
	flags.SetOutput(errs)
	maxAge := flags.Int("max-age", 0, "refuse a database that is older than so many days; 0 accepts any")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < 2 || flags.NArg() > 3 {
		return errors.New("usage: govulncheck -format json PACKAGE... | vulnerabilities [-max-age DAYS] EXCEPTIONS GO [DATE]")
	}
	list, err := os.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	exceptions, err := parseExceptions(string(list))
	if err != nil {
		return fmt.Errorf("%s: %w", flags.Arg(0), err)
	}
	found, date, err := read(in, flags.Arg(1))
	if err != nil {
		return err
	}
	if given := flags.Arg(2); given != "" {
		if date, err = time.Parse(time.DateOnly, given); err != nil {
			return fmt.Errorf("the database's date: %w", err)
		}
	}
	days := int(now.Sub(date) / (24 * time.Hour))
	fmt.Fprintf(out, "the database is of %s, %d days old\n", date.Format(time.DateOnly), days)
	if *maxAge > 0 && days > *maxAge {
		return fmt.Errorf("the database is %d days old, and may be %d: what became known since is not in it. Run this where vuln.go.dev or an up-to-date Go module proxy can be reached, or set VULNDB to a mirror", days, *maxAge)
	}
	objections, accepted := judge(found, exceptions)
	for _, line := range accepted {
		fmt.Fprintln(out, line)
	}
	for _, line := range objections {
		fmt.Fprintln(errs, line)
	}
	if len(objections) > 0 {
		return errFound
	}
	return nil
}
