package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every page has the sections that man readers look for, every request is one of man(7), and no text is taken for one.
func TestManPages(t *testing.T) {
	pages := []manual{commandOverview()}
	for _, v := range verbs() {
		pages = append(pages, readManual(v))
	}
	request := regexp.MustCompile(`^\.(TH|SH|PP|TP|B|BR|EX|EE|nf|fi|nh|ad l)( |$)`)
	for _, m := range pages {
		page := string(m.roff())
		at := 0
		for _, section := range []string{".TH ", ".SH NAME\n" + escaped(m.page()) + ` \- `, ".SH SYNOPSIS\n.nf\n", ".SH DESCRIPTION\n", ".SH SEE ALSO\n"} {
			next := strings.Index(page[at:], section)
			if next < 0 {
				t.Fatalf("%s: no %q after byte %d", m.page(), section, at)
			}
			at += next
		}
		if m.about == "" || len(m.about) > 80 {
			t.Errorf("%s: it says of itself %q", m.page(), m.about)
		}
		for line := range strings.SplitSeq(page, "\n") {
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !request.MatchString(line) {
				t.Errorf("%s: %q is a request to roff", m.page(), line)
			}
			for _, r := range line {
				if r > '~' || r < ' ' {
					t.Errorf("%s: %q is not ASCII", m.page(), line)
				}
			}
		}
		if strings.Count(page, ".EX\n") != strings.Count(page, ".EE\n") {
			t.Errorf("%s: an example has no end", m.page())
		}
		if !strings.Contains(page, ".SH EXAMPLES\n") && m.name != "countersign" && strings.Contains(page, "orked example") {
			t.Errorf("%s: no examples", m.page())
		}
	}
}

// What a page shows is what --help says: no word is lost or added on the way.
func TestManPagesSayWhatHelpSays(t *testing.T) {
	for _, v := range verbs() {
		m := readManual(v)
		shown := unroff(string(m.roff()))
		for field := range strings.FieldsSeq(strings.TrimPrefix(v.usage, "usage:")) {
			if !strings.Contains(shown, field) && field != "status:" && field != "Exit" {
				t.Errorf("%s: %q is missing", m.page(), field)
			}
		}
		help := strings.Join(strings.Fields(v.usage), "")
		_, body, _ := strings.Cut(shown, "DESCRIPTION")
		body, _, _ = strings.Cut(body, "SEE ALSO")
		body = strings.NewReplacer(" EXAMPLES ", " ", " EXIT STATUS ", " Exit status: ").Replace(strings.Join(strings.Fields(body), " "))
		if got := strings.ReplaceAll(body, " ", ""); !strings.HasSuffix(help, got) {
			t.Errorf("%s: the page says\n%s\nthe help ends in\n%s", m.page(), got, help[max(0, len(help)-len(got)):])
		}
	}
}

var request = regexp.MustCompile(`(?m)^\.(TH|SH|PP|TP|BR|B|EX|EE|nf|fi|nh|ad l) ?`)

// unroff undoes what roff writes.
func unroff(page string) string {
	page = request.ReplaceAllString(page, " ")
	page = regexp.MustCompile(`\\\[u([0-9A-F]{4})]`).ReplaceAllStringFunc(page, func(s string) string {
		return string(rune(must(strconv.ParseUint(s[3:7], 16, 32))))
	})
	return strings.NewReplacer(`\-`, "-", `\(aq`, "'", `\(ga`, "`", `\(ha`, "^", `\(ti`, "~", `\(dq`, `"`, `\fB`, "", `\fR`, "", `\&`, "", `\e`, `\`).Replace(page)
}

// The formatter itself finds nothing to warn of, where there is one.
func TestManPagesFormat(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command(filepath.Join(binaries, "countersign"), "man", "--out", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files := must(filepath.Glob(filepath.Join(dir, "*.1")))
	if len(files) != len(verbs())+1 {
		t.Fatalf("%d pages for %d verbs", len(files), len(verbs()))
	}
	for _, file := range files {
		for _, formatter := range [][]string{
			{"man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"},
			{"groff", "-man", "-Tutf8", "-ww", "-z"},
			{"mandoc", "-T", "lint", "-W", "warning"},
		} {
			if _, err := exec.LookPath(formatter[0]); err != nil {
				t.Logf("%s is not here", formatter[0])
				continue
			}
			run := exec.Command(formatter[0], append(formatter[1:], file)...)
			var warnings bytes.Buffer
			run.Stderr = &warnings
			run.Env = append(os.Environ(), "MANWIDTH=80")
			if err := run.Run(); err != nil || warnings.Len() > 0 {
				t.Errorf("%s %s: %v %s", formatter[0], filepath.Base(file), err, warnings.Bytes())
			}
		}
	}
}

// Text that looks like a request, an escape or a flag comes out as it went in.
func TestRoffEscapes(t *testing.T) {
	for given, want := range map[string]string{
		".SH not a section":     `\&.SH not a section`,
		"'so /etc/passwd":       `\(aqso /etc/passwd`,
		`a\fBc`:                 `a\efBc`,
		"…":                     `\[u2026]`,
		`"quoted" ~/x ^ --purl`: `\(dqquoted\(dq \(ti/x \(ha \-\-purl`,
	} {
		if got := literal(given); got != want {
			t.Errorf("literal(%q) = %q, want %q", given, got, want)
		}
	}
	for given, want := range map[string]string{".a --b-c": `\&.a \fB\-\-b\-c\fR`, "a": "a", "": ""} {
		if got := marked(given); got != want {
			t.Errorf("marked(%q) = %q, want %q", given, got, want)
		}
	}
}
