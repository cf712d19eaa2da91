package main

import (
	"regexp"
	"slices"
	"strings"
)

// manual is a usage text with its parts told apart. What a person reads after --help is also what completions and man
// pages say: there is no second text that could differ.
type manual struct {
	name     string
	about    string   // from the overview, without what it continues
	synopsis []string // lines, without "usage:"
	body     []part
}

// part is a paragraph: text, a literal block, or a list of terms with what they mean.
type part struct {
	text    string
	literal []string
	terms   []term
}

type term struct{ name, meaning string }

// commandOverview is the first page, which has no synopsis.
func commandOverview() manual {
	m := manual{name: "countersign", synopsis: []string{"countersign COMMAND [ARGUMENT …]", "countersign COMMAND --help"}, body: parts(usage)}
	m.about = strings.TrimSuffix(strings.TrimPrefix(m.body[0].text, "countersign "), ".")
	return m
}

func readManual(v verb) manual {
	head, rest, _ := strings.Cut(v.usage, "\n\n")
	m := manual{name: v.name, body: parts(rest)}
	for i, line := range strings.Split(head, "\n") {
		if i == 0 {
			line = strings.Replace(line, "usage:", "      ", 1)
		}
		m.synopsis = append(m.synopsis, strings.TrimPrefix(line, "       "))
	}
	for _, p := range parts(usage) {
		for _, t := range p.terms {
			if t.name == v.name {
				m.about = strings.TrimPrefix(t.meaning, "… ")
			}
		}
	}
	return m
}

// parts tells the paragraphs of a text apart: what is not indented is text, what is indented is a list if its first
// line has a gap of two spaces, and literal otherwise.
func parts(text string) []part {
	var all []part
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		lines := strings.Split(paragraph, "\n")
		switch {
		case !strings.HasPrefix(paragraph, "  "):
			all = append(all, part{text: strings.Join(lines, " ")})
		case termLine.MatchString(lines[0]):
			all = append(all, part{terms: terms(lines)})
		default:
			all = append(all, part{literal: lines})
		}
	}
	return all
}

var termLine = regexp.MustCompile(`^  (\S+(?: \S+)*)  +(\S.*)$`)

// terms reads a list. Lines that are indented further go on with the meaning of the last term.
func terms(lines []string) []term {
	var all []term
	for _, line := range lines {
		if m := termLine.FindStringSubmatch(line); m != nil {
			all = append(all, term{m[1], m[2]})
		} else if !strings.HasPrefix(line, "   ") { // a term that leaves no room beside it
			all = append(all, term{strings.TrimSpace(line), ""})
		} else if last := &all[len(all)-1]; true {
			last.meaning = strings.TrimSpace(last.meaning + " " + strings.TrimSpace(line))
		}
	}
	return all
}

var flagName = regexp.MustCompile(`--[a-z][a-z-]*`)

// flagMeaning says briefly what a flag is for, or "".
func (m *manual) flagMeaning(name string) string {
	for _, p := range m.body {
		for _, t := range p.terms {
			if slices.Contains(flagName.FindAllString(t.name, -1), "--"+name) {
				return brief(t.meaning)
			}
		}
	}
	return ""
}

var clauseEnd = regexp.MustCompile(`[.;:] `)

// brief is the first clause of a text.
func brief(text string) string {
	if at := clauseEnd.FindStringIndex(text); at != nil {
		text = text[:at[0]]
	}
	return strings.TrimSuffix(text, ".")
}

var alternatives = regexp.MustCompile(`^[a-z]+(\|[a-z]+)+$`)

// values are the words that a flag takes, as the synopsis has them, or nil.
func (m *manual) values(flag string) []string {
	fields := strings.Fields(strings.NewReplacer("[", " ", "]", " ").Replace(strings.Join(m.synopsis, " ")))
	for i := 1; i < len(fields); i++ {
		if fields[i-1] == "--"+flag && alternatives.MatchString(fields[i]) {
			return strings.Split(fields[i], "|")
		}
	}
	return nil
}

var (
	bracketed = regexp.MustCompile(`\[[^\[\]]*\]`)
	plainWord = regexp.MustCompile(`^[a-z][a-z-]*(\|[a-z-]+)*$`)
)

// words are the operands that the synopsis has literally: what a verb can be told to do.
func (m *manual) words() []string {
	var words []string
	for _, line := range m.synopsis {
		rest, isStart := strings.CutPrefix(line, "countersign "+m.name+" ")
		if !isStart {
			continue
		}
		before := ""
		for _, field := range strings.Fields(bracketed.ReplaceAllString(rest, "")) {
			if plainWord.MatchString(field) && !strings.HasPrefix(before, "--") {
				for word := range strings.SplitSeq(field, "|") {
					if !slices.Contains(words, word) {
						words = append(words, word)
					}
				}
			}
			before = field
		}
	}
	return words
}
