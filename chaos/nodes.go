//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// event is one kind of bad luck. It may have an effect until it returns, also when ctx ends before.
type event struct {
	name   string
	weight int
	happen func(ctx context.Context, rng *rand.Rand) error
}

// befall lets events happen one after another until ctx ends.
func (w *world) befall(ctx context.Context, rng *rand.Rand, from, til time.Duration, events []event) {
	sum := 0
	for _, e := range events {
		sum += e.weight
	}
	for wait(ctx, between(rng, from, til)) {
		pick := rng.IntN(sum)
		for _, e := range events {
			if pick -= e.weight; pick >= 0 {
				continue
			}
			switch err := e.happen(ctx, rng); {
			case err == nil:
				w.totals.add(e.name, 1)
			case ctx.Err() == nil:
				w.h.note("%s did not work: %.200q", e.name, err.Error())
				w.totals.add("events that did not come about", 1)
			}
			break
		}
	}
}

func (w *world) nodeEvents(run context.Context) []event {
	return []event{
		{"node killed with -9", 4, func(ctx context.Context, rng *rand.Rand) error { return w.killNode(ctx, run, rng) }},
		{"node frozen", 3, func(ctx context.Context, rng *rand.Rand) error { return w.freeze(ctx, rng, false) }},
		{"plugin frozen", 2, func(ctx context.Context, rng *rand.Rand) error { return w.freeze(ctx, rng, true) }},
		{"leader asked to step down", 3, w.stepDown},
		{"node cut off", 3, w.cutOff},
		{"plugin killed with -9", 3, w.killPlugin},
		{"plugin reloaded", 1, w.reload},
	}
}

// victim is mostly the active node, and sometimes another.
func (w *world) victim(ctx context.Context, rng *rand.Rand) (int, error) {
	other := rng.IntN(nodeCount)
	if rng.IntN(4) == 0 {
		return other, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return w.active(ctx)
}

// killNode kills a server with or without its plugin, which then ends by itself, and starts it again.
func (w *world) killNode(ctx, run context.Context, rng *rand.Rand) error {
	i, err := w.victim(ctx, rng)
	if err != nil {
		return err
	}
	node, alone, away := w.cluster.Nodes[i], rng.IntN(2) == 0, between(rng, 0, 4*time.Second)
	w.rush(ctx, rng)
	w.recall(rng, i)
	wait(ctx, between(rng, 0, 2*checkEvery))
	c := w.h.beginCrash("the death of " + name(i))
	if alone {
		if err := syscall.Kill(node.PID(), syscall.SIGKILL); err != nil {
			return err
		}
		<-node.Done()
	} else {
		node.Kill()
	}
	w.h.endCrash(c, time.Second)
	wait(ctx, away)
	err = w.cluster.Restart(run, node)
	w.h.note("%s is there again", name(i))
	return err
}

// freeze stops the plugin of a node, its server, or both, for less than requestTimeout.
func (w *world) freeze(ctx context.Context, rng *rand.Rand, pluginOnly bool) error {
	i, err := w.victim(ctx, rng)
	if err != nil {
		return err
	}
	node, how := w.cluster.Nodes[i], rng.IntN(2)
	for_ := between(rng, 500*time.Millisecond, 6*time.Second)
	pid, what := node.PID(), "the freeze of the server of "+name(i)
	switch {
	case pluginOnly:
		process, err := node.PluginProcess()
		if err != nil {
			return err
		}
		pid, what = process.PID, "the freeze of the plugin of "+name(i)
	case how == 0:
		pid, what = -pid, "the freeze of "+name(i) // with its plugin, which is in its process group
	}
	c := w.h.beginCrash(what)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	wait(ctx, for_)
	defer w.h.endCrash(c, leaderChange)
	return syscall.Kill(pid, syscall.SIGCONT)
}

// leaderChange is how long after an event the active node may still lose its office because of it.
const leaderChange = 3 * time.Second

func (w *world) stepDown(ctx context.Context, rng *rand.Rand) error {
	i, err := w.active(ctx)
	if err != nil {
		return err
	}
	w.rush(ctx, rng)
	c := w.h.beginCrash("the step down of " + name(i))
	defer w.h.endCrash(c, leaderChange)
	_, err = w.write(ctx, i, "sys/step-down", nil)
	return err
}

func (w *world) cutOff(ctx context.Context, rng *rand.Rand) error {
	i, err := w.victim(ctx, rng)
	if err != nil {
		return err
	}
	w.rush(ctx, rng)
	c := w.h.beginCrash("the cut of " + name(i))
	w.network.cutOff(name(i))
	w.recall(rng, i)
	wait(ctx, between(rng, time.Second, 8*time.Second))
	w.network.cutOff("")
	w.h.endCrash(c, leaderChange)
	return nil
}

// recall lets all readers but the hurried ones give their tokens back at once, or at other times none, so that the end of
// tokens meets what happens to a node, or to Zoho. At times they ask only once: then it is the next reader of the token who
// finds out what has become of it.
func (w *world) recall(rng *rand.Rand, node int) {
	if rng.IntN(5) == 0 {
		return
	}
	tries := []int{1, nodeCount}[rng.IntN(2)]
	for _, g := range w.grants {
		if g.roles[0] != hurriedRole {
			w.h.recall(g.roles, node, tries)
		}
	}
}

func (w *world) killPlugin(ctx context.Context, rng *rand.Rand) error {
	i, err := w.active(ctx)
	if err != nil {
		return err
	}
	process, err := w.cluster.Nodes[i].PluginProcess()
	if err != nil {
		return err
	}
	w.rush(ctx, rng)
	c := w.h.beginCrash("the death of the plugin of " + name(i))
	defer w.h.endCrash(c, time.Second)
	return syscall.Kill(process.PID, syscall.SIGKILL)
}

func (w *world) reload(ctx context.Context, rng *rand.Rand) error {
	c := w.h.beginCrash("a reload of the plugin")
	defer w.h.endCrash(c, time.Second)
	_, err := w.write(ctx, rng.IntN(nodeCount), "sys/plugins/reload/backend", map[string]any{"mounts": []string{"zoho/"}})
	return err
}

// heal undoes what may be left of bad luck, but starts nothing.
func (w *world) heal() {
	w.network.cutOff("")
	for _, node := range w.cluster.Nodes {
		select {
		case <-node.Done(): // the number may be another process's by now
		default:
			_ = syscall.Kill(-node.PID(), syscall.SIGCONT) // a failure says that it has ended since
		}
	}
	w.calmZoho()
}

func name(node int) string { return []string{"node1", "node2", "node3"}[node] }
