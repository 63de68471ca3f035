//go:build unix

package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/vault/api"
)

// Cluster is several servers with one raft storage. At any time one of them is active and the others are standbys, which pass on
// to it what they get.
type Cluster struct {
	Nodes []*Vault
}

// StartCluster starts a cluster of size nodes, each in a directory of its own below opts.Dir. All of them write the audit log of
// the first.
func StartCluster(ctx context.Context, opts VaultOptions, size int) (*Cluster, error) {
	c := &Cluster{}
	for i := range size {
		node := opts
		node.NodeID = fmt.Sprintf("node%d", i+1)
		node.Dir = filepath.Join(opts.Dir, node.NodeID)
		if err := os.MkdirAll(node.Dir, 0o700); err != nil {
			c.Kill()
			return nil, err
		}
		var v *Vault
		var err error
		if i == 0 {
			v, err = StartVault(ctx, node)
		} else {
			v, err = joinVault(ctx, c.Nodes[0], node)
		}
		if err != nil {
			c.Kill()
			return nil, err
		}
		c.Nodes = append(c.Nodes, v)
	}
	if err := c.awaitVoters(ctx); err != nil {
		c.Kill()
		return nil, err
	}
	return c, nil
}

// awaitVoters waits until every node has a vote: a new one gets it after some seconds of good conduct. Before that the cluster would
// not survive its leader.
func (c *Cluster) awaitVoters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	leader := c.Nodes[0].Client(c.Nodes[0].rootToken)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := leader.Sys().RaftAutopilotStateWithContext(ctx)
		if err == nil && len(state.Voters) == len(c.Nodes) {
			return nil
		}
		select {
		case <-ctx.Done():
			return c.Nodes[0].explain("give every node a vote", errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// joinVault starts a server that becomes a standby of leader.
func joinVault(ctx context.Context, leader *Vault, opts VaultOptions) (*Vault, error) {
	v, err := newVault(ctx, opts)
	if err != nil {
		return nil, err
	}
	v.rootToken, v.unsealKey = leader.rootToken, leader.unsealKey
	for attempt := 1; ; attempt++ {
		err := v.join(ctx, leader)
		if err == nil {
			return v, nil
		}
		v.Kill()
		if !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return nil, err
		}
	}
}

func (v *Vault) join(ctx context.Context, leader *Vault) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := v.launchFresh(ctx); err != nil {
		return err
	}
	// Otherwise a new node waits ten seconds for its vote.
	_, err := leader.Client(leader.rootToken).Logical().WriteWithContext(ctx, "sys/storage/raft/autopilot/configuration", map[string]any{"server_stabilization_time": "1s"})
	if err != nil {
		return leader.explain("shorten the wait for votes", err)
	}
	client := v.Client("")
	if _, err := client.Sys().RaftJoinWithContext(ctx, &api.RaftJoinRequest{LeaderAPIAddr: leader.Addr()}); err != nil {
		return v.explain("join the cluster", err)
	}
	if _, err := client.Sys().UnsealWithContext(ctx, v.unsealKey); err != nil {
		return v.explain("unseal", err)
	}
	return v.await(ctx, "to become a standby", func(health *api.HealthResponse) bool { return !health.Sealed && health.Standby })
}

// Active is the node that answers as the active one, once there is one. After the death of a leader that takes some seconds.
func (c *Cluster) Active(ctx context.Context) (*Vault, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	clients := make([]*api.Client, len(c.Nodes))
	for i, v := range c.Nodes {
		clients[i] = v.Client("")
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for i, client := range clients {
			health, err := client.Sys().HealthWithContext(ctx)
			if err == nil && !health.Sealed && !health.Standby {
				return c.Nodes[i], nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, errors.New("no node of the cluster has become active")
		case <-tick.C:
		}
	}
}

// Restart stops a node if it runs, starts it on the same data and the same ports, and unseals it. It does not wait for an active
// node: the others may be away, too.
func (c *Cluster) Restart(ctx context.Context, v *Vault) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := v.relaunch(ctx); err != nil {
		return err
	}
	if _, err := v.Client("").Sys().UnsealWithContext(ctx, v.unsealKey); err != nil {
		return v.explain("unseal", err)
	}
	return v.await(ctx, "to be unsealed", func(health *api.HealthResponse) bool { return !health.Sealed })
}

// Kill ends all nodes at once.
func (c *Cluster) Kill() {
	for _, v := range c.Nodes {
		v.Kill()
	}
}
