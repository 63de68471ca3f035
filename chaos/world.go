//go:build unix

package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/api"

	"vault-plugin-secrets-zoho/bootstrap"
	"vault-plugin-secrets-zoho/zohosim"
)

const (
	nodeCount = 3
	// budget and window are the engine's defaults and its shortest window; Zoho's are the same.
	budget = 10
	window = time.Minute
	// liveTokens is how many access tokens of a refresh token may live: so few that an exclusive role often has them all.
	liveTokens = 5
	// requestTimeout is how much later than it was counted a request may reach Zoho. No freeze is as long.
	requestTimeout = 10 * time.Second
	// callLimit is how long a reader or an operator waits for Vault.
	callLimit = 12 * time.Second
	// afterEffect is how long a request without an answer may still be carried out.
	afterEffect = 20 * time.Second
)

// world is the cluster, Zoho, and what is known of them.
type world struct {
	seed        uint64
	life        time.Duration // of an access token
	harder      bool          // Zoho counts the harder way
	cluster     *bootstrap.Cluster
	clients     []*api.Client // of the nodes
	network     *network
	sim         *zohosim.Sim
	url         string // of the Accounts server
	logs        *logScan
	totals      *totals
	grants      []*grant
	h           *history        // of the present round
	forgiven    map[string]bool // clients whose roles were restored from a snapshot, by their ID
	historyFile string          // empty: none
	evicted     int             // how many evictions are known

	rushUntil atomic.Int64 // in nanoseconds: see rush

	mu     sync.Mutex
	owners int
	broken error // the first rule that was broken

	answersLost func(ctx context.Context, mark string) bool // see answersWereLost
	stop        context.CancelFunc
}

// period is a time between two moments.
type period struct{ from, til time.Time }

func (p period) has(at time.Time) bool { return !at.Before(p.from) && !at.After(p.til) }

// random is one actor's random numbers.
func (w *world) random(actor string, round int) *rand.Rand {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%s %d", actor, round)
	return rand.New(rand.NewPCG(w.seed, hash.Sum64())) //nolint:gosec // They have to be the same for the same seed.
}

func newWorld(ctx context.Context, seed uint64, dir string) (*world, error) {
	w := &world{seed: seed, totals: newTotals(seed), forgiven: map[string]bool{}}
	rng := w.random("world", 0)
	w.life = time.Duration(60+rng.IntN(181)) * time.Second
	options := zohosim.Options{}
	if w.harder = rng.IntN(2) == 0; w.harder {
		options = zohosim.Hardest()
	}
	options.TokenLife, options.MaxLiveTokens = w.life, liveTokens
	options.Throttle.Limit, options.Throttle.Window, options.Throttle.Block = budget, window, window
	w.sim = zohosim.New(options)
	accounts, err := w.sim.Listen("us")
	if err != nil {
		return nil, err
	}
	w.url = accounts.URL
	if err := w.startCluster(ctx, dir); err != nil {
		w.close()
		return nil, err
	}
	if err := w.mount(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) startCluster(ctx context.Context, dir string) error {
	var dirs []string
	for i := range nodeCount {
		dirs = append(dirs, filepath.Join(dir, fmt.Sprintf("node%d", i+1)))
	}
	w.network = newNetwork(func(peer, proxy net.Addr) string {
		if found := processAt(peer, proxy, dirs); found != "" {
			return filepath.Base(found)
		}
		return ""
	})
	var err error
	// The lines of the leases are at debug, which tells more of a failure and may leak more.
	w.cluster, err = bootstrap.StartCluster(ctx, bootstrap.VaultOptions{Dir: dir, Audit: true, LogLevel: "debug", ClusterProxy: w.network.reach}, nodeCount)
	if err != nil {
		return err
	}
	var files []string
	for _, node := range w.cluster.Nodes {
		w.clients = append(w.clients, node.Client(w.cluster.Nodes[0].RootToken()))
		files = append(files, node.LogFile())
	}
	w.logs = newLogScan(append(files, w.cluster.Nodes[0].AuditLog())...)
	w.answersLost = w.answersWereLost
	return nil
}

func (w *world) mount(ctx context.Context) error {
	first := w.cluster.Nodes[0]
	plugin, err := bootstrap.BuildPlugin(ctx, first.PluginDir())
	if err != nil {
		return err
	}
	for _, node := range w.cluster.Nodes[1:] {
		if err := node.InstallPlugin(plugin); err != nil {
			return err
		}
	}
	if err := first.RegisterPlugin(ctx, plugin); err != nil {
		return err
	}
	if err := first.Mount(ctx, "zoho"); err != nil {
		return err
	}
	config := map[string]any{
		"accounts_url": w.url, "request_budget": budget, "request_window": int(window.Seconds()), "max_live_tokens": liveTokens,
		"request_timeout": int(requestTimeout.Seconds()), "client_id": "1000.NOBODY", "client_secret": "unused",
	}
	if w.harder {
		config["count_requests_per"] = "client"
	}
	_, err = w.clients[0].Logical().WriteWithContext(ctx, "zoho/config", config)
	return err
}

func (w *world) close() {
	if w.cluster != nil {
		w.heal()
		w.cluster.Kill()
	}
	if w.network != nil {
		w.network.stop()
	}
	w.sim.Close()
}

// fail notes that a rule is broken, and ends the run.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.broken = fmt.Errorf(format, args...)
	}
	if w.stop != nil {
		w.stop()
	}
}

func (w *world) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}
