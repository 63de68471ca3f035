package device_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vault-plugin-secrets-zoho/backend/device"
	"vault-plugin-secrets-zoho/backend/secret"
)

const timeout = 10 * time.Second

func begin() (device.Pending, time.Time) {
	now := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	return device.Begin(secret.New("1004.code.code"), now, 5*time.Second, 5*time.Minute), now
}

func TestPending_EndsAfterFiveMinutesWhateverZohoSays(t *testing.T) {
	_, now := begin()
	for _, life := range []time.Duration{0, -time.Hour, time.Hour, 5 * time.Minute} {
		p := device.Begin(secret.New("c"), now, 0, life)
		require.False(t, p.IsOver(now.Add(5*time.Minute-time.Second)), life)
		require.True(t, p.IsOver(now.Add(5*time.Minute)), life)
	}
	require.True(t, device.Begin(secret.New("c"), now, 0, time.Minute).IsOver(now.Add(time.Minute)), "a shorter life counts")
}

func TestPending_IsNotPolledFasterThanThirtySecondsOrTheAnswersInterval(t *testing.T) {
	p, now := begin()
	require.False(t, p.Due(now))
	require.True(t, p.Due(now.Add(5*time.Second)), "before the first poll there is none that it could follow too soon")
	for _, interval := range []time.Duration{0, 5 * time.Second, 40 * time.Second} {
		p := device.Begin(secret.New("c"), now, interval, 0).Ask(now, timeout).Answered(now, false)
		require.False(t, p.Due(now.Add(max(interval, 30*time.Second))), "and a moment more, as requests take their time")
		require.True(t, p.Due(now.Add(max(interval, 30*time.Second)+time.Second)))
	}
}

func TestPending_EachSlowDownLengthensTheInterval(t *testing.T) {
	p, now := begin()
	p = p.Ask(now, timeout).Answered(now, true)
	require.False(t, p.Due(now.Add(35*time.Second)))
	require.True(t, p.Due(now.Add(36*time.Second)))
	p = p.Answered(now, true).Answered(now, false)
	require.False(t, p.Due(now.Add(40*time.Second)), "also after an answer without one")
}

func TestPending_APollOfWhichNothingIsHeardIsNotRepeatedTooSoonAndIsRemembered(t *testing.T) {
	p, now := begin()
	p = p.Ask(now, timeout)
	require.False(t, p.Due(now.Add(timeout+30*time.Second)), "it may have arrived as late as that")
	require.True(t, p.Due(now.Add(timeout+31*time.Second)))
	require.Equal(t, now, p.Unanswered)
	require.Equal(t, now, p.Failed(now.Add(timeout), false, time.Time{}).Unanswered, "an answer that was lost may have had tokens")
	require.Zero(t, p.Failed(now.Add(timeout), true, time.Time{}).Unanswered)
	require.Zero(t, p.Answered(now, false).Unanswered, "who still waits has given nothing")
}

func TestPending_LeavesZohoAloneWhileItThrottles(t *testing.T) {
	p, now := begin()
	p = p.Ask(now, timeout).Failed(now, true, now.Add(10*time.Minute))
	require.False(t, p.Due(now.Add(4*time.Minute)))
	require.Equal(t, 5*time.Minute, p.Wait(now), "then it ends")
}

func TestPending_AWrongClockHoldsNothingUp(t *testing.T) {
	p, now := begin()
	before := now.Add(-24 * time.Hour)
	require.True(t, p.IsOver(before))
	require.True(t, p.Due(before))
	require.Positive(t, p.Wait(now.Add(time.Hour)))
}

func TestPending_IsStoredWithItsCodeAndPrintedWithout(t *testing.T) {
	p, now := begin()
	p = p.Ask(now, timeout)
	stored, err := json.Marshal(p)
	require.NoError(t, err)
	require.Contains(t, string(stored), "1004.code.code")
	require.Less(t, len(stored), 512)
	var again device.Pending
	require.NoError(t, json.Unmarshal(stored, &again))
	require.Equal(t, p, again)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", p, p, p, p), "1004.code.code")
}
