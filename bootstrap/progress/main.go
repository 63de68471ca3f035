// The program behind scripts/progress: it runs `go build` or `go test` and says how far it is.
//
//	progress NAME go build [FLAGS] -o OUTPUT PACKAGE
//	progress NAME go test [FLAGS] [PACKAGES]
//
// First it asks `go list` which packages have to be compiled, which also downloads their modules. Then it counts what
// Go reports. On a terminal the count is one line that moves; in a log it is a line every thirty seconds. Both are on
// stderr. Everything else that Go prints appears as without this program, and the exit code is Go's.
//
// It imports the standard library alone, so that a machine with an empty cache builds it within seconds.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr *os.File) int {
	if len(args) < 3 || args[1] != "go" || (args[2] != "build" && args[2] != "test") {
		fmt.Fprintln(stderr, "progress: the arguments are NAME go build|test ...")
		return 2
	}
	name, command := args[0], args[1:]
	if streams(command) {
		return exitCode(start(&exec.Cmd{Stdin: os.Stdin, Stdout: stdout, Stderr: stderr}, command))
	}
	p := &printer{
		stdout: stdout,
		screen: screen{out: stderr, name: name, moves: isTerminal(stderr), now: time.Now, begun: time.Now()},
	}
	plan := p.plan(command)
	if command[1] == "build" {
		return p.follow(&build{plan: plan}, append([]string{"go", "build", "-v"}, command[2:]...))
	}
	if compile := plan.compileForTests(command); compile != nil {
		// Its errors are not shown: go test finds them again, and prints them as it always does.
		p.follow(&build{plan: plan, quiet: true}, compile)
	}
	tests := newTests(plan.packages)
	code := p.follow(tests, append([]string{"go", "test", "-json"}, command[2:]...))
	p.show(shown{stdout: tests.unfinished(), stderr: tests.summary(name, p.screen.elapsed())})
	return code
}

// isTerminal decides between a line that moves and one every thirty seconds.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	term := os.Getenv("TERM")
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && term != "" && term != "dumb" && os.Getenv("CI") == ""
}

// start runs a command to its end, and passes the signals on that are meant to end it.
func start(cmd *exec.Cmd, command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	cmd.Path, cmd.Args = path, command
	// Whatever still holds the command's output open after its end, such as a server that a test left behind, must not
	// keep this program.
	cmd.WaitDelay = 5 * time.Second
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s) // it may have ended just now
			case <-ended:
				return
			}
		}
	}()
	return cmd.Wait()
}

// exitCode is what a shell would report.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return 0
	case !errors.As(err, &exit):
		fmt.Fprintln(os.Stderr, "progress:", err)
		return 127
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exit.ExitCode()
}
