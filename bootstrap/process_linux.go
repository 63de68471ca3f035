package bootstrap

import "syscall"

// childAttributes puts a child in a process group of its own: an interrupt from the terminal then reaches only
// this program, which ends its children in order. Should this program be killed, or a test run out
// of time, no deferred call runs any more and the kernel ends the child instead.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
