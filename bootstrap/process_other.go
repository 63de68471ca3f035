//go:build unix && !linux

package bootstrap

import "syscall"

// childAttributes puts a child in a process group of its own: an interrupt from the terminal then reaches only
// this program, which ends its children in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
