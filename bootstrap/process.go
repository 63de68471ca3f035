//go:build unix

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a process may take to end by itself after SIGTERM. Vault needs well below a second.
const stopGrace = 15 * time.Second

// Process is a running child whose output goes to a file.
type Process struct {
	cmd     *exec.Cmd
	logFile string
	done    chan struct{} // closed when the process has ended, after err is set
	err     error
}

// StartProcess starts cmd with its output appended to logFile. The process does not end with a context, unless cmd was made
// with one: Stop and Kill end it, and on Linux the death of the process that started it.
func StartProcess(cmd *exec.Cmd, logFile string) (*Process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	// The child has its own copy of the descriptor.
	defer func() { _ = log.Close() }()

	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, logFile: logFile, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogFile is the file that holds its output.
func (p *Process) LogFile() string { return p.logFile }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the process to end, and kills it when it does not within stopGrace. Stopping twice is harmless.
func (p *Process) Stop() error {
	if p.ended() {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		p.killGroup()
		return nil
	case <-time.After(stopGrace):
		p.Kill()
		return fmt.Errorf("process %d did not end within %s of SIGTERM and was killed; see %s", p.PID(), stopGrace, p.logFile)
	}
}

// Kill ends the process, and everything that it started, at once, as a crash of the machine would.
func (p *Process) Kill() {
	if p.ended() {
		return
	}
	p.killGroup()
	<-p.done
}

// killGroup ends what the process started. A Vault that dies without a chance to clean up leaves its plugin processes behind.
func (p *Process) killGroup() {
	// The only error to expect says that no one is left.
	_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// waitForLog waits until text appears in the log after offset; it fails when the process ends first.
func (p *Process) waitForLog(ctx context.Context, offset int64, text string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ended := p.ended() // before reading, so that the last words of a dying process are not missed
		if strings.Contains(readFrom(p.logFile, offset), text) {
			return nil
		}
		if ended {
			return fmt.Errorf("process %d ended (%w)", p.PID(), p.exitError())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (p *Process) exitError() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// readFrom is the text of a file from offset on, empty when it cannot be read.
func readFrom(file string, offset int64) string {
	b, err := os.ReadFile(file)
	if err != nil || int64(len(b)) < offset {
		return ""
	}
	return string(b[offset:])
}

// lastLines is the end of a text, for error messages.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
