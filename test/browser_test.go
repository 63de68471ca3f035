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

// requireReadableOn demands that a window of that width shows everything without
// scrolling sideways.
func (b *browser) requireReadableOn(width int64) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.page, chromedp.EmulateViewport(width, 844)))
	needed := ask(b.page, b.t, chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
	require.LessOrEqual(b.t, needed, width)
}

// requireDarkIfWanted demands that the page follows a browser that is set to be dark.
func (b *browser) requireDarkIfWanted() {
	b.t.Helper()
	_, err := chromedp.Call(b.page, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
	require.NoError(b.t, err)
	text := ask(b.page, b.t, chromedp.Evaluate[string]("getComputedStyle(document.body).color"))
	require.Equal(b.t, "rgb(255, 255, 255)", text)
}

// picture saves what is to be seen, if SCREENSHOTS names a directory.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	png := ask(b.page, b.t, chromedp.CaptureScreenshot())
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}
