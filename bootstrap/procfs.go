//go:build unix

package bootstrap

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// PluginProcess is a process in which the server runs the plugin.
type PluginProcess struct {
	PID int
	// CPU is the processor time that it has used.
	CPU time.Duration
}

// PluginProcess finds the server's plugin process; all mounts share one. It needs /proc, which only Linux has.
// Source: proc(5).
func (v *Vault) PluginProcess() (PluginProcess, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return PluginProcess{}, err
	}
	for _, file := range stats {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (name) state ppid ... utime stime: the name is cut to 15 bytes and may hold blanks.
		_, rest, _ := strings.Cut(string(content), "(")
		name, rest, _ := strings.Cut(rest, ") ")
		fields := strings.Fields(rest)
		const ppid, utime, stime = 1, 11, 12
		if name == "" || !strings.HasPrefix(PluginName, name) || len(fields) <= stime || fields[ppid] != strconv.Itoa(v.PID()) {
			continue
		}
		ticks := 0
		for _, field := range []string{fields[utime], fields[stime]} {
			n, err := strconv.Atoi(field)
			if err != nil {
				return PluginProcess{}, err
			}
			ticks += n
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		return PluginProcess{PID: pid, CPU: time.Duration(ticks) * 10 * time.Millisecond}, err
	}
	return PluginProcess{}, fmt.Errorf("no plugin process of server %d was found in /proc", v.PID())
}
