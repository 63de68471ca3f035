//go:build unix

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// processAt finds the working directory of the process that has a TCP connection from one address of
// 127.0.0.1 to another. It needs /proc, which only Linux has, and is empty without it.
// Source: proc(5).
func processAt(from, to net.Addr, dirs []string) string {
	inode := inodeOf(from, to)
	if inode == "" {
		return ""
	}
	processes, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, process := range processes {
		dir, err := os.Readlink(filepath.Join(process, "cwd"))
		if err != nil || !slices.Contains(dirs, dir) {
			continue // it has ended meanwhile, or is none of ours
		}
		files, err := os.ReadDir(filepath.Join(process, "fd"))
		if err != nil {
			continue
		}
		for _, file := range files {
			if target, err := os.Readlink(filepath.Join(process, "fd", file.Name())); err == nil && target == "socket:["+inode+"]" {
				return dir
			}
		}
	}
	return ""
}

// inodeOf finds the socket of a connection's first end.
func inodeOf(from, to net.Addr) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	local, remote := hexAddress(from), hexAddress(to)
	for line := range strings.Lines(string(table)) {
		// sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
		fields := strings.Fields(line)
		if len(fields) > 9 && fields[1] == local && fields[2] == remote {
			return fields[9]
		}
	}
	return ""
}

func hexAddress(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return ""
	}
	ip := tcp.IP.To4()
	if ip == nil {
		return ""
	}
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], tcp.Port)
}
