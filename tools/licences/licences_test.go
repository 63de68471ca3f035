package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	mit = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`
	gplHeader = `// This program is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// This program is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with this program.  If not, see <https://www.gnu.org/licenses/>.
`
)

// program makes a program that imports example.com/dep, of which it has the
// given files beside a Go file, and makes it the working directory.
func program(t *testing.T, dep map[string]string) {
	t.Helper()
	files := map[string]string{
		"LICENSE": mit,
		"go.mod": "module example.com/program\n\ngo 1.25.0\n\nrequire example.com/dep v1.2.3\n\n" +
			"replace example.com/dep => ./dep\n",
		"main.go":        "package main\n\nimport _ \"example.com/dep/inner\"\n\nfunc main() {}\n",
		"dep/go.mod":     "module example.com/dep\n\ngo 1.25.0\n",
		"dep/inner/a.go": "package inner\n",
	}
	for name, content := range dep {
		files["dep/"+name] = content
	}
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for name, value := range map[string]string{"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOWORK": "off"} {
		t.Setenv(name, value)
	}
}

func check(t *testing.T, platforms ...string) (output string, err error) {
	t.Helper()
	var out strings.Builder
	err = run(t.Context(), append([]string{"-o", "notices", "."}, platforms...), io.MultiWriter(&out, t.Output()), &out)
	return out.String(), err
}

func TestWhatIsPermissiveOrMPLPasses(t *testing.T) {
	mpl, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for name, dep := range map[string]map[string]string{
		"MIT":                        {"LICENSE": "MIT License\n\nCopyright (c) 2020 A. N. Other\n\n" + mit},
		"MPL-2.0":                    {"LICENSE": string(mpl)},
		"a header that permits":      {"LICENSE": mit, "inner/b.go": "// SPDX-License-Identifier: MIT\n\npackage inner\n"},
		"a choice with one good":     {"LICENSE": mit, "inner/b.go": "/* SPDX-License-Identifier: GPL-2.0-only OR MIT */\npackage inner\n"},
		"a bad file of a test":       {"LICENSE": mit, "inner/b_test.go": gplHeader + "\npackage inner\n"},
		"a bad file elsewhere":       {"LICENSE": mit, "other/b.go": gplHeader + "\npackage other\n"},
		"a bad licence elsewhere":    {"LICENSE": mit, "other/LICENSE": "Business Source License 1.1"},
		"a word in a string":         {"LICENSE": mit, "inner/b.go": "package inner\n\nconst s = \"SPDX-License-Identifier: BUSL-1.1\"\n"},
		"a program that names a GPL": {"LICENSE": mit, "inner/license.go": "package inner\n\n// GPL-3.0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			program(t, dep)
			out, err := check(t, "linux/amd64")
			if err != nil {
				t.Fatal(err, out)
			}
			notices, err := os.ReadFile("notices")
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"std go1.", "The Go Authors", "example.com/dep v1.2.3", dep["LICENSE"][len(dep["LICENSE"])-100:]} {
				if !strings.Contains(string(notices), strings.TrimSpace(part)) {
					t.Errorf("the notices lack %q", part)
				}
			}
		})
	}
}

func TestWhatMayNotBePassedOnFails(t *testing.T) {
	for name, row := range map[string]struct {
		says string
		dep  map[string]string
	}{
		"no licence":                {"example.com/dep v1.2.3: .: the module has no licence file", nil},
		"an unknown licence":        {"LICENSE: only 0 % of it is a known licence", map[string]string{"LICENSE": "You may use this on Sundays."}},
		"more than a known licence": {"LICENSE: only", map[string]string{"LICENSE": mit + strings.Repeat("But not for anything that earns money. ", 20)}},
		"BUSL":                      {"LICENSE: is BUSL-1.1", map[string]string{"LICENSE": "Business Source License 1.1\n\nParameters"}},
		"GPL":                       {"COPYING: is GPL", map[string]string{"COPYING": strings.ReplaceAll(gplHeader, "// ", "")}},
		"a bad one beside a good":   {"inner/LICENCE.md: is BUSL", map[string]string{"LICENSE": mit, "inner/LICENCE.md": "Business Source License 1.1"}},
		"only deeper down":          {"no licence file", map[string]string{"inner/LICENSE": mit}},
		"a BUSL file":               {"inner/b.go: its header says BUSL-1.1", map[string]string{"LICENSE": mit, "inner/b.go": "// SPDX-License-Identifier: BUSL-1.1\n\npackage inner\n"}},
		"a GPL file":                {"inner/b.go: its header says GPL-3.0", map[string]string{"LICENSE": mit, "inner/b.go": gplHeader + "\npackage inner\n"}},
		"both of two":               {"says MIT AND SSPL-1.0", map[string]string{"LICENSE": mit, "inner/b.go": "// SPDX-License-Identifier: MIT AND SSPL-1.0\n\npackage inner\n"}},
		"assembly":                  {"inner/b.s: its header says AGPL-3.0-only", map[string]string{"LICENSE": mit, "inner/b.s": "// SPDX-License-Identifier: AGPL-3.0-only\n"}},
		"on another platform only":  {"inner/b_windows.go: its header says LGPL-2.1-only", map[string]string{"LICENSE": mit, "inner/b_windows.go": "// SPDX-License-Identifier: LGPL-2.1-only\n\npackage inner\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			program(t, row.dep)
			out, err := check(t, "linux/amd64", "windows/amd64")
			if err == nil {
				t.Fatal("passed:", out)
			}
			if !strings.Contains(out, row.says) {
				t.Errorf("does not say %q: %s", row.says, out)
			}
			if _, err := os.Stat("notices"); err == nil {
				t.Error("notices of what must not be published")
			}
		})
	}
}

func TestWhatCannotBeListedFails(t *testing.T) {
	program(t, map[string]string{"LICENSE": mit})
	for _, args := range [][]string{nil, {"."}, {".", "linux"}, {".", "no/such"}, {"./other", "linux/amd64"}, {"-x"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Error("passed:", args)
		}
	}
}

func TestPermitsReadsSPDXExpressions(t *testing.T) {
	for expression, want := range map[string]bool{
		"MIT": true, "MPL-2.0": true, "BUSL-1.1": false, "": false, "NONE": false,
		"MIT OR GPL-2.0-only": true, "GPL-2.0-only OR AGPL-3.0-only": false, "MIT AND ISC": true, "MIT AND GPL-2.0-only": false,
		"Apache-2.0 WITH LLVM-exception": true, "GPL-2.0-only WITH Classpath-exception-2.0": false,
		"(MIT OR ISC) AND BSD-3-Clause": true, "(MIT OR GPL-2.0-only) AND BUSL-1.1": false,
	} {
		if got := permits(expression); got != want {
			t.Errorf("permits(%q) = %v", expression, got)
		}
	}
}

// The licences of everything that licensecheck was tested with: what copyleft
// licence there is must not be read as one of the list.
func TestCopyleftTextsAreNeverTakenForPermissiveOnes(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/licensecheck").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, family := range []string{"GPL-*", "AGPL-*", "LGPL-*", "SSPL-*", "CC-BY-NC-*", "CommonsClause*", "EUPL-*", "OSL-*"} {
		samples, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "testdata", family))
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range samples {
			content, err := os.ReadFile(sample)
			if err != nil {
				t.Fatal(err)
			}
			// Each begins with the expected result, up to an empty line.
			_, licence, _ := strings.Cut(string(content), "\n\n")
			seen++
			m := &module{path: "example.com/dep", dir: "/dep", texts: []text{{file: "/dep/LICENSE", content: licence}}}
			if reasons := m.judge(); len(reasons) == 0 {
				t.Errorf("%s passes", filepath.Base(sample))
			}
		}
	}
	if seen < 30 {
		t.Errorf("only %d samples", seen)
	}
}
