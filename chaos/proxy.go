//go:build unix

package main

import (
	"context"
	"net"
	"sync"
)

// network stands between the nodes: each one is reached by the others through a proxy of its own, so
// that one can be cut off while the others still see each other. (A ready-made proxy does not do: three nodes at
// one address look the same to it, so it can keep others from a node, and not that node from the others.)
type network struct {
	ctx   context.Context
	close context.CancelFunc
	who   func(peer, proxy net.Addr) string // the node that has dialled; empty if it is not known

	mu      sync.Mutex
	targets map[string]string // where each node listens
	entries map[string]net.Listener
	cut     string // the node that is cut off; empty: none
	changed chan struct{}
	serving sync.WaitGroup
}

func newNetwork(who func(peer, proxy net.Addr) string) *network {
	ctx, cancel := context.WithCancel(context.Background())
	return &network{ctx: ctx, close: cancel, who: who, targets: map[string]string{}, entries: map[string]net.Listener{}, changed: make(chan struct{})}
}

// reach gives the address by which the other nodes reach one that listens at an address: see bootstrap.VaultOptions.
func (n *network) reach(node, listens string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.targets[node] = listens
	if entry := n.entries[node]; entry != nil {
		return entry.Addr().String(), nil
	}
	var lc net.ListenConfig
	entry, err := lc.Listen(n.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	n.entries[node] = entry
	n.serving.Go(func() { n.serve(node, entry) })
	return entry.Addr().String(), nil
}

// cutOff lets nothing through to or from a node any more; heal with "" undoes it. What is sent meanwhile is
// held back, as on a line that drops all packets: it arrives later, unless the senders have given up.
func (n *network) cutOff(node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = node
	close(n.changed)
	n.changed = make(chan struct{})
}

// pass waits until a line is open.
func (n *network) pass(from, to string) error {
	for {
		n.mu.Lock()
		closed, changed := n.cut != "" && (n.cut == from || n.cut == to), n.changed
		n.mu.Unlock()
		if !closed {
			return n.ctx.Err()
		}
		select {
		case <-changed:
		case <-n.ctx.Done():
			return n.ctx.Err()
		}
	}
}

func (n *network) serve(node string, entry net.Listener) {
	for {
		conn, err := entry.Accept()
		if err != nil {
			return // closed by stop
		}
		n.serving.Go(func() { n.connect(conn, n.who(conn.RemoteAddr(), conn.LocalAddr()), node) })
	}
}

func (n *network) connect(conn net.Conn, from, to string) {
	defer func() { _ = conn.Close() }()
	if n.pass(from, to) != nil {
		return
	}
	n.mu.Lock()
	target := n.targets[to]
	n.mu.Unlock()
	var dialer net.Dialer
	onward, err := dialer.DialContext(n.ctx, "tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = onward.Close() }()
	defer context.AfterFunc(n.ctx, func() { _, _ = conn.Close(), onward.Close() })()
	var both sync.WaitGroup
	both.Go(func() { n.copy(onward, conn, from, to) })
	both.Go(func() { n.copy(conn, onward, from, to) })
	both.Wait()
}

// copy ends both directions when one of them ends, as Vault's connections do.
func (n *network) copy(dst, src net.Conn, from, to string) {
	defer func() { _, _ = dst.Close(), src.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		size, err := src.Read(buffer)
		if size > 0 {
			if n.pass(from, to) != nil {
				return
			}
			if _, err := dst.Write(buffer[:size]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (n *network) stop() {
	n.close()
	n.mu.Lock()
	for _, entry := range n.entries {
		_ = entry.Close()
	}
	n.mu.Unlock()
	n.serving.Wait()
}
