package tokenserver

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	overTCP  = ""
	oneOnly  = "uid=1000 pid=1"
	crmSync  = "crm-sync"
	soonDead = 10 * time.Second
)

// Its token is dead, its call got 401, and it refreshes: what every SDK does.
func TestRetry_ACallerWhoseTokenIsDeadGetsAnother(t *testing.T) {
	for name, process := range map[string]string{"a process on a Unix socket": oneOnly, "somebody over TCP": overTCP} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				dead := w.answers(process, crmSync)
				w.clock.advance(soonDead)
				another := w.answers(process, crmSync)
				require.NotEqual(t, dead.TokenID, another.TokenID)
				require.Equal(t, []string{dead.TokenID}, w.vault.rejections())
				require.Equal(t, 3590, another.ExpiresIn)
				require.Contains(t, w.log.String(), "may be dead")

				w.clock.advance(time.Minute)
				require.Equal(t, another.TokenID, w.answers("uid=1 pid=1", crmSync).TokenID, "so do the others")
				require.True(t, w.vault.isLeased(dead.Token.Reveal()), "and who finds the former one good keeps it")
			})
		})
	}
}

func TestRetry_WithAShortExpiresInIsSeen(t *testing.T) {
	for name, shorten := range map[string]func(w *world){
		"-max-age": func(w *world) { w.leases.MaxAge = 10 * time.Minute },
		"ttl":      func(w *world) { w.vault.ttl = 10 * time.Minute },
	} {
		inBubbleOf(t, name, func(w *world) {
			shorten(w)
			dead := w.answers(oneOnly, crmSync)
			w.clock.advance(2 * time.Minute)
			require.NotEqual(t, dead.TokenID, w.answers(oneOnly, crmSync).TokenID)
		})
	}
}

// The picture in the package's documentation has these lines. An engine that mints nothing
// ahead has the same token until its end, and nothing else tells a habit.
func TestRetry_TheTimesOfThePicture(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		told, after time.Duration
		isRetry     bool
	}{
		{time.Hour, 0, false},
		{time.Hour, settled - 1, false},
		{time.Hour, settled, true},
		{time.Hour, 44*time.Minute - 1, true},
		{time.Hour, 44 * time.Minute, false},
		{time.Hour, 2 * time.Hour, false},
		{10 * time.Minute, 150*time.Second - 1, true},
		{10 * time.Minute, 150 * time.Second, false},
		{70 * time.Second, 10*time.Second - 1, true},
		{70 * time.Second, 10 * time.Second, false},
		{time.Minute, settled, false},
	} {
		for _, process := range []string{oneOnly, overTCP} {
			var known callers
			now := time.Now()
			known.tell(process, told{tokenID: "id-1", at: now, until: now.Add(c.told)})
			require.Equal(t, c.isRetry, known.came(process, "id-1", now.Add(c.after)), "%s after %s", c.told, c.after)
			require.False(t, known.came(process, "id-2", now.Add(c.after)), "it had another token")
			require.False(t, known.came("another", "id-1", now.Add(c.after)))
		}
	}
}

// What explained one visit does not explain the next.
func TestRetry_AfterAHabitualRefreshIsSeen(t *testing.T) {
	for _, process := range []string{oneOnly, overTCP} {
		inBubbleOf(t, "of "+process, func(w *world) {
			for range 3 {
				told := w.answers(process, crmSync)
				w.clock.advance(time.Duration(told.ExpiresIn-5) * time.Second)
			}
			dead := w.answers(process, crmSync)
			w.clock.advance(soonDead)
			require.NotEqual(t, dead.TokenID, w.answers(process, crmSync).TokenID)
		})
	}
}

// The other callers had not asked for another one.
func TestRetry_OfManyCostsOneTokenRequest(t *testing.T) {
	inBubble(t, func(w *world) {
		dead := w.answers("uid=0 pid=0", crmSync)
		for pid := range 20 {
			w.answers(fmt.Sprintf("uid=0 pid=%d", pid), crmSync)
		}
		w.clock.advance(10 * time.Minute)
		for pid := range 20 {
			require.NotEqual(t, dead.TokenID, w.answers(fmt.Sprintf("uid=0 pid=%d", pid), crmSync).TokenID)
		}
		require.Equal(t, 2, w.vault.mints())
	})
}

func TestRetry_AProcessThatAsksOnceAtItsStartIsNone(t *testing.T) {
	inBubble(t, func(w *world) {
		for pid := range 500 {
			w.answers(fmt.Sprintf("uid=1000 pid=%d", pid), crmSync)
			w.clock.advance(2 * time.Second)
		}
		require.Empty(t, w.vault.rejections())
		require.Equal(t, 1, w.vault.mints())
	})
}

// Over TCP nobody knows which process asks.
func TestRetry_ProcessesThatStartTogetherAreNoneAlsoOverTCP(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 16 {
			w.answers(overTCP, crmSync)
			w.clock.advance(settled / 17)
		}
		require.Empty(t, w.vault.rejections())
	})
}

func TestRetry_ThreadsOfAProcessThatAskTogetherAreNone(t *testing.T) {
	inBubble(t, func(w *world) {
		for pid := range 10 {
			for range 8 {
				w.answers(fmt.Sprintf("uid=1000 pid=%d", pid), crmSync)
				w.clock.advance(time.Millisecond)
			}
			w.clock.advance(time.Minute)
		}
		require.Empty(t, w.vault.rejections())
	})
}

// Each comes back when its token is nearly over: by five seconds, as Zoho's SDKs, up to a
// quarter of an hour, as Nango.
func TestRetry_AHabitualRefreshIsNone(t *testing.T) {
	for _, skew := range []time.Duration{0, 5 * time.Second, 100 * time.Second, 10 * time.Minute, 15 * time.Minute} {
		for name, processes := range map[string][]string{
			"one process":        {oneOnly},
			"three of them":      {oneOnly, "uid=1000 pid=2", "uid=1000 pid=3"},
			"one over TCP":       {overTCP},
			"idle for a day":     {oneOnly, "idle"},
			"idle, and over TCP": {overTCP, "idle"},
		} {
			t.Run(fmt.Sprint(name, skew), func(t *testing.T) {
				inBubble(t, func(w *world) {
					next := map[string]time.Time{}
					for i, process := range processes {
						next[process] = w.clock.Now().Add(time.Duration(i) * 17 * time.Minute)
					}
					for range 30 * 12 {
						for _, process := range processes {
							if process == "idle" || w.clock.Now().Before(next[process]) {
								continue
							}
							told := w.answers(process, crmSync).ExpiresIn
							next[process] = w.clock.Now().Add(time.Duration(told)*time.Second - skew)
							if processes[len(processes)-1] == "idle" {
								next[process] = next[process].Add(20 * time.Hour)
							}
						}
						w.clock.advance(5 * time.Minute)
					}
					require.Empty(t, w.vault.rejections())
				})
			})
		}
	}
}

// Nothing but what they were told in former lives tells them apart.
func TestRetry_TheHabitualRefreshesOfManyOverTCPAreNoneOnceEachHasStarted(t *testing.T) {
	inBubble(t, func(w *world) {
		next := make([]time.Time, 8)
		for i := range next {
			next[i] = w.clock.Now().Add(time.Duration(i) * 7 * time.Minute)
		}
		day := func() {
			for range 24 * 60 {
				for i := range next {
					if !w.clock.Now().Before(next[i]) {
						told := w.answers(overTCP, crmSync).ExpiresIn
						next[i] = w.clock.Now().Add(time.Duration(told-60) * time.Second)
					}
				}
				w.clock.advance(time.Minute)
			}
		}
		day()
		began := len(w.vault.rejections())
		require.LessOrEqual(t, began, 4, "each start looks like a retry, and the pauses bound what that costs")
		day()
		require.Len(t, w.vault.rejections(), began)
	})
}

// A program that keeps no token asks for each call. What that costs the role is bounded.
func TestRetry_AProgramThatKeepsNoTokenCostsLittle(t *testing.T) {
	for name, process := range map[string]string{"over TCP": overTCP, "a process": oneOnly} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				requests := func(d time.Duration) int {
					before := len(w.vault.rejections())
					for end := w.clock.Now().Add(d); w.clock.Now().Before(end); w.clock.advance(10 * time.Second) {
						w.answers(process, crmSync)
					}
					return len(w.vault.rejections()) - before
				}
				require.LessOrEqual(t, requests(10*time.Minute), 2)
				require.LessOrEqual(t, requests(50*time.Minute), 2)
				require.LessOrEqual(t, requests(9*time.Hour), 9)
			})
		})
	}
}

// It asks, gets 401, asks again, gives up, and another process does the same a minute later.
func TestRetry_OfProgramsThatRunForASecondIsSeen(t *testing.T) {
	inBubble(t, func(w *world) {
		dead := w.answers("uid=1000 pid=1", crmSync)
		w.clock.advance(20 * time.Minute)
		w.answers("uid=1000 pid=2", crmSync)
		w.clock.advance(300 * time.Millisecond)
		require.Equal(t, dead.TokenID, w.answers("uid=1000 pid=2", crmSync).TokenID, "threads may be as slow")
		w.clock.advance(time.Minute)
		w.answers("uid=1000 pid=3", crmSync)
		w.clock.advance(300 * time.Millisecond)
		require.NotEqual(t, dead.TokenID, w.answers("uid=1000 pid=3", crmSync).TokenID)
	})
}

// Its budget is used up, say. Then a caller is no worse off than if it had not been
// understood: what it has may be good.
func TestRetry_WithoutAnotherTokenTheCallerGetsWhatThereIs(t *testing.T) {
	for status, later := range map[int]string{http.StatusTooManyRequests: "throttled", http.StatusBadRequest: "refused", http.StatusServiceUnavailable: "Zoho is away"} {
		t.Run(later, func(t *testing.T) {
			inBubble(t, func(w *world) {
				had := w.answers(oneOnly, crmSync)
				w.vault.set(func() { w.vault.rejects = status })
				w.clock.advance(soonDead)
				require.Equal(t, had.TokenID, w.answers(oneOnly, crmSync).TokenID)
				require.Contains(t, w.log.String(), "there is no other")
				require.Len(t, w.vault.rejections(), 1)
				w.clock.advance(soonDead)
				w.answers(oneOnly, crmSync)
				require.Len(t, w.vault.rejections(), 1, "Vault is not asked at each visit")

				w.vault.set(func() { w.vault.rejects = 0 })
				w.clock.advance(maxRetry)
				require.NotEqual(t, had.TokenID, w.answers(oneOnly, crmSync).TokenID, "once there is another one")
			})
		})
	}
}

// The Vault token was revoked, and with it the lease and Zoho's token.
func TestRetry_ThatFindsTheVaultTokenDeadSaysSo(t *testing.T) {
	inBubble(t, func(w *world) {
		w.answers(oneOnly, crmSync)
		w.vault.set(func() { w.vault.accepted = []string{"another"} })
		w.clock.advance(soonDead)
		_, err := w.leases.Token(w.t.Context(), crmSync, oneOnly)
		require.True(t, isOfKind(err, NotLetIn), "%v", err)
	})
}

func TestRetry_AnEngineThatRepeatsTheTokenIsAskedOnceInAWhile(t *testing.T) {
	inBubble(t, func(w *world) {
		had := w.answers(oneOnly, crmSync)
		w.vault.set(func() { w.vault.ignores = true })
		for range 3 {
			w.clock.advance(soonDead)
			require.Equal(t, had.TokenID, w.answers(oneOnly, crmSync).TokenID)
		}
		require.Len(t, w.vault.rejections(), 1)
		require.Len(t, w.vault.living(), 1, "the former lease on it is given back")
	})
}

// A caller of whom Vault takes its time waits as long as one whose token is nearly over.
func TestRetry_DoesNotWaitLongForAHangingVault(t *testing.T) {
	inBubble(t, func(w *world) {
		had := w.answers(oneOnly, crmSync)
		hang := make(chan struct{})
		w.vault.set(func() { w.vault.hang = hang })
		w.clock.advance(soonDead)
		got := make(chan Answer, 1)
		go func() { got <- w.answers(oneOnly, crmSync) }()
		synctest.Wait()
		require.Empty(t, got)
		w.clock.advance(patience)
		require.Equal(t, had.TokenID, (<-got).TokenID)
		close(hang)
		synctest.Wait()
		require.NotEqual(t, had.TokenID, w.answers(oneOnly, crmSync).TokenID)
	})
}

// A reading that was under way when the caller came back brings the dead token.
func TestRetry_DuringAReadingIsNotLost(t *testing.T) {
	inBubble(t, func(w *world) {
		dead := w.answers(oneOnly, crmSync)
		hang := make(chan struct{})
		w.vault.set(func() { w.vault.hang = hang })
		w.clock.advance(maxUntilRead)
		synctest.Wait()
		got := make(chan Answer, 1)
		go func() { got <- w.answers(oneOnly, crmSync) }()
		synctest.Wait()
		close(hang)
		require.NotEqual(t, dead.TokenID, (<-got).TokenID)
		require.Equal(t, 2, w.vault.mints())
	})
}

func TestRetry_ATokenThatLivesForSecondsIsReplacedByTimeAlone(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() { w.vault.life = 40 * time.Second })
		for range 600 {
			w.answers(overTCP, crmSync)
			w.clock.advance(time.Second)
		}
		require.Empty(t, w.vault.rejections())
	})
}

func TestRetry_WhatIsKeptOfCallersIsBounded(t *testing.T) {
	t.Parallel()
	c, now := callers{}, time.Now()
	tell := func(process string) {
		now = now.Add(time.Second)
		c.tell(process, told{at: now, until: now.Add(time.Hour)})
	}
	kept := func() (n int) {
		for _, list := range c.told {
			n += len(list)
		}
		require.Equal(t, n, c.count)
		return n
	}
	for i := range 3 * maxTold {
		tell(fmt.Sprint(i))
		tell("one")
	}
	require.Equal(t, maxTold, kept())
	require.LessOrEqual(t, len(c.told["one"]), maxToldOne)
	now = now.Add(time.Hour + toldFor)
	tell("one")
	require.Len(t, c.told["one"], 1)
}

func TestRetry_ThePausesGrowAndShrink(t *testing.T) {
	t.Parallel()
	var trust trust
	now := time.Now()
	for _, pause := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, time.Hour} {
		require.True(t, trust.allows(now))
		trust.spent(now)
		require.False(t, trust.allows(now.Add(pause-1)))
		now = now.Add(pause)
	}
	now = now.Add(longestPause)
	trust.spent(now)
	require.True(t, trust.allows(now.Add(firstPause)))
}

func TestRetry_ProcessesAreKnownByTheKernelAlone(t *testing.T) {
	t.Parallel()
	for caller, process := range map[string]string{
		"uid=1000 pid=42": "uid=1000 pid=42", "uid=1000 pid=0": "", "unix": "", "127.0.0.1:4711": "", "[::1]:4711": "",
	} {
		require.Equal(t, process, processOf(caller))
	}
}

func TestVault_WarnsAndTheServerPassesItOnOnceAndToWhoeverMonitors(t *testing.T) {
	inBubble(t, func(w *world) {
		w.vault.set(func() {
			w.vault.warnings = []string{"Zoho has refused the credentials of crm-sync (invalid_code) since this token was minted."}
		})
		health := func() string {
			return w.send(probe("/healthz")).Body.String()
		}
		w.takes()
		const said = "Zoho has refused the credentials of ROLE (invalid_code)"
		require.Contains(t, health(), `"warnings":["`+said)
		w.clock.advance(15 * time.Minute)
		require.Greater(t, w.vault.readings(), 2)
		require.Equal(t, 1, strings.Count(w.log.String(), said))
		w.vault.set(func() { w.vault.warnings = nil })
		w.clock.advance(maxUntilRead)
		require.NotContains(t, health(), "warnings")
		w.vault.set(func() { w.vault.warnings = []string{said} })
		w.clock.advance(maxUntilRead)
		require.Equal(t, 2, strings.Count(w.log.String(), said), "it is refused again")
		w.clock.advance(24 * time.Hour)
		require.NotContains(t, health(), "warnings", "nobody has such a token any more")
	})
}
