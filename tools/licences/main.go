// Command licences fails when anything that is linked into a program has a
// licence that may not be there, and writes the licence texts that have to go
// with the program:
//
//	licences [-o FILE] PACKAGE GOOS/GOARCH...
//
// It is run in the directory of the program's module. A module's licence is
// what the files beside its linked packages say, and a single file's what its
// header says: a module under one licence may hold files under another, as
// HashiCorp's SDK does from v0.24.0 on.
//
// Standard output has a line for each linked module: path, version, licences.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
)

var errForbidden = errors.New("the program links what it may not")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "licences:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("licences", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.Usage = func() { fmt.Fprintln(errs, "usage: licences [-o FILE] PACKAGE GOOS/GOARCH...") }
	notices := flags.String("o", "", "write the licence texts to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < 2 {
		flags.Usage()
		return errors.New("name a package and at least one platform, such as linux/amd64")
	}
	modules, err := linked(ctx, flags.Arg(0), flags.Args()[1:])
	if err != nil {
		return err
	}

	var forbidden []string
	files := 0
	for _, m := range modules {
		files += len(m.files)
		forbidden = append(forbidden, m.judge()...)
	}
	if len(forbidden) > 0 {
		fmt.Fprintf(errs, "licences: %s links what has no licence on the list:\n", flags.Arg(0))
		for _, reason := range forbidden {
			fmt.Fprintln(errs, "  "+reason)
		}
		fmt.Fprintln(errs, "Take another version or another library; `go mod why PACKAGE` tells who needs it.\n"+
			"The list is `allowed` in tools/licences/texts.go; only permissive licences and MPL-2.0 belong there.")
		return errForbidden
	}
	for _, m := range modules {
		fmt.Fprintf(out, "%s %s %s\n", m.path, cmp.Or(m.version, "(devel)"), strings.Join(m.names(), ","))
	}
	fmt.Fprintf(errs, "licences: %d modules, %d files compiled on %s: all permissive or MPL-2.0\n",
		len(modules), files, strings.Join(flags.Args()[1:], ", "))
	if *notices == "" {
		return nil
	}
	return writeNotices(*notices, modules)
}
