package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

const manUsage = `usage: countersign man [COMMAND]
       countersign man --out DIR

man writes the manual in the form that man reads: one page for each command, and
one for all. The pages are made of the texts that --help shows.

  --out  a folder for all the pages, countersign.1 and so on; it is made if need
         be

Worked examples:

  countersign man verify >countersign-verify.1
  countersign man --out man/man1

To read one at once: countersign man verify | man -l -

Exit status: 0 done, 1 not done, 2 wrong arguments.
`

func man(args []string, t terminal) error {
	flags := newFlags("man")
	dir := flags.String("out", "", "")
	operands, err := parse(flags, args)
	switch {
	case err != nil:
		return err
	case *dir != "":
		if err := none(operands); err != nil {
			return err
		}
		return writePages(*dir, t)
	}
	page := commandOverview()
	if len(operands) > 0 {
		name, err := one(operands, "command")
		if err != nil {
			return err
		}
		v, err := find(name)
		if err != nil {
			return err
		}
		page = readManual(v)
	}
	_, err = t.out.Write(page.roff())
	return err
}

// writePages makes no page before it knows that it can make all.
func writePages(dir string, t terminal) error {
	pages := []manual{commandOverview()}
	for _, v := range verbs() {
		pages = append(pages, readManual(v))
	}
	for _, m := range pages {
		if err := absent(filepath.Join(dir, m.page()+".1")); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, m := range pages {
		if err := writeNew(filepath.Join(dir, m.page()+".1"), m.roff(), 0o644); err != nil {
			return err
		}
	}
	t.field("wrote", "%d pages in %s", len(pages), dir)
	return nil
}

// page is the name by which man finds it.
func (m *manual) page() string {
	if m.name == "countersign" {
		return m.name
	}
	return "countersign-" + m.name
}

// roff is the page in the macros of man(7).
func (m *manual) roff() []byte {
	var b strings.Builder
	build, _ := debug.ReadBuildInfo()
	if build == nil {
		build = new(debug.BuildInfo)
	}
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"countersign %s\"\n", escaped(strings.ToUpper(m.page())), escaped(cmp.Or(build.Main.Version, "unknown")))
	b.WriteString(".nh\n.ad l\n") // names of files and commands stay whole
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", escaped(m.page()), text(m.about))
	b.WriteString(".SH SYNOPSIS\n.nf\n")
	for _, line := range m.synopsis {
		b.WriteString(marked(line) + "\n")
	}
	b.WriteString(".fi\n.SH DESCRIPTION\n")
	for _, p := range m.body {
		p.roff(&b)
	}
	m.seeAlso(&b)
	return []byte(b.String())
}

// roff writes a paragraph, before it the heading of a section where one begins.
func (p *part) roff(b *strings.Builder) {
	heading, rest, _ := strings.Cut(p.text, ": ")
	switch {
	case heading == "Exit status":
		fmt.Fprintf(b, ".SH EXIT STATUS\n%s\n", text(rest))
	case strings.HasPrefix(p.text, "A worked example"), strings.HasPrefix(p.text, "Worked examples"):
		fmt.Fprintf(b, ".SH EXAMPLES\n%s\n", text(p.text))
	case p.text != "":
		fmt.Fprintf(b, ".PP\n%s\n", text(p.text))
	case p.literal != nil:
		b.WriteString(".PP\n.EX\n")
		for _, line := range p.literal {
			b.WriteString(literal(line) + "\n")
		}
		b.WriteString(".EE\n")
	}
	for _, t := range p.terms {
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", escaped(t.name), text(t.meaning))
	}
}

// seeAlso names the other pages.
func (m *manual) seeAlso(b *strings.Builder) {
	all := []string{"countersign"}
	for _, v := range verbs() {
		all = append(all, "countersign-"+v.name)
	}
	all = slices.DeleteFunc(all, func(page string) bool { return page == m.page() })
	b.WriteString(".SH SEE ALSO\n")
	for i, page := range all {
		end := ","
		if i == len(all)-1 {
			end = ""
		}
		fmt.Fprintf(b, ".BR %s (1)%s\n", escaped(page), end)
	}
}

// escaped is s without a meaning to roff: ASCII, in which a hyphen is one that can be copied.
func escaped(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r == '\'':
			b.WriteString(`\(aq`)
		case r == '`':
			b.WriteString("\\(ga")
		case r == '^':
			b.WriteString(`\(ha`)
		case r == '~':
			b.WriteString(`\(ti`)
		case r == '"':
			b.WriteString(`\(dq`)
		case r > '~':
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// literal is a line as it stands: one that begins with a dot or a quote is no request.
func literal(line string) string {
	line = escaped(line)
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}

// marked is a line with its flags in bold.
func marked(line string) string {
	var b strings.Builder
	for line != "" {
		at := flagName.FindStringIndex(line)
		if at == nil {
			break
		}
		b.WriteString(escaped(line[:at[0]]) + `\fB` + escaped(line[at[0]:at[1]]) + `\fR`)
		line = line[at[1]:]
	}
	b.WriteString(escaped(line))
	if s := b.String(); strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return b.String()
}

// text is a paragraph that roff fills. It is one line, so that no line begins with a dot by chance.
func text(s string) string { return marked(s) }
