package main

import (
	"os"
	"os/exec"
	"time"
)

// follow runs a command, shows its output and how far it is, and gives its exit code.
func (p *printer) follow(f follower, command []string) int {
	stdout := &lines{mu: &p.mu, take: func(line string) { p.show(f.fromStdout(line)) }}
	stderr := &lines{mu: &p.mu, take: func(line string) { p.show(f.fromStderr(line)) }}
	stop := p.keepUpdated(f)
	err := start(&exec.Cmd{Stdin: os.Stdin, Stdout: stdout, Stderr: stderr}, command)
	stop()
	stdout.close()
	stderr.close()
	p.screen.clear()
	return exitCode(err)
}

// keepUpdated shows the status every half second until it is stopped.
func (p *printer) keepUpdated(f follower) (stop func()) {
	ended, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(time.Second / 2)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.mu.Lock()
				p.screen.update(f.status())
				p.mu.Unlock()
			case <-ended:
				return
			}
		}
	}()
	return func() {
		close(ended)
		<-stopped
	}
}
