package test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// browser is a real Chromium without a window, with a profile of its own.
type browser struct {
	t    *testing.T
	page context.Context
}

// newBrowser starts Chromium. The test needs one.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	binary, err := findChromium()
	needs(t, noChromium, err)
	worksWith(t, "Chromium", binary, "--version")
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(binary), chromedp.WindowSize(800, 600)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "disable-dev-shm-usage", "hide-scrollbars", // no-sandbox: root may be all there is
		"no-first-run", "disable-background-networking", "disable-component-update", "disable-sync", // it calls nobody by itself
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	process, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(end)
	silent := func(string, ...any) {} // it reports events that are newer than the library
	page, closePage := chromedp.NewContext(process, chromedp.WithErrorf(silent))
	t.Cleanup(closePage)
	require.NoError(t, chromedp.Do(page)) // starts it; a time limit here would end it later
	return &browser{t: t, page: page}
}

// noChromium is what to install, or to name.
const noChromium = "Chromium (Debian: apt-get install chromium; CHROMIUM_BIN names another one)"

func findChromium() (path string, err error) {
	for _, name := range []string{os.Getenv("CHROMIUM_BIN"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", err
}

// shown is a page as a person sees it.
type shown struct {
	status int
	url    string
	title  string
	text   string
}

func (b *browser) open(url string) shown { return b.do(chromedp.Navigate(url)) }

func (b *browser) reload() shown { return b.do(chromedp.Reload()) }

// click clicks what leads to another page.
func (b *browser) click(selector string) shown {
	return b.do(chromedp.Click(chromedp.CSS(selector)))
}

// do does what loads a page, and waits for the page.
func (b *browser) do(action chromedp.Action[chromedp.Void]) shown {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.page, time.Minute)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, action)
	require.NoError(b.t, err)
	return shown{
		status: int(answer.Status),
		url:    ask(ctx, b.t, chromedp.Location()),
		title:  ask(ctx, b.t, chromedp.Title()),
		text:   ask(ctx, b.t, chromedp.Text(chromedp.CSS("body"))),
	}
}

// ask has the page do something, and returns its result.
func ask[T any](ctx context.Context, t *testing.T, action chromedp.Action[T]) T {
	t.Helper()
	result, err := chromedp.Run(ctx, action)
	require.NoError(t, err)
	return result
}

// requireReadableOn demands that a screen of that width, of a phone if it is narrow, shows
// everything without scrolling sideways, and in letters that are large enough.
func (b *browser) requireReadableOn(width int64) {
	b.t.Helper()
	metrics := emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 844, DeviceScaleFactor: 1, Mobile: width < 800}
	_, err := chromedp.Call(b.page, emulation.SetDeviceMetricsOverride, metrics)
	require.NoError(b.t, err)
	needed := ask(b.page, b.t, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
	require.LessOrEqual(b.t, needed, width)
	shown := ask(b.page, b.t, chromedp.Evaluate[int64]("window.innerWidth"))
	require.Equal(b.t, width, shown, "without a viewport a phone makes the page as wide as a desktop, and its letters tiny")
}

// requireDarkIfWanted demands that the page follows a browser that is set to be dark.
func (b *browser) requireDarkIfWanted() {
	b.t.Helper()
	b.prefer("dark")
	text := ask(b.page, b.t, chromedp.Evaluate[string]("getComputedStyle(document.body).color"))
	require.Equal(b.t, "rgb(255, 255, 255)", text)
}

// prefer sets the browser to be dark or light.
func (b *browser) prefer(scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.page, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(b.t, err)
}

// picture saves the whole page, if SCREENSHOTS names a directory.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	png := ask(b.page, b.t, chromedp.FullScreenshot(100))
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}
