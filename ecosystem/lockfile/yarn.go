package lockfile

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// yarnLock reads what the two clients called Yarn write under one name: the classic one a format of its own, the
// berry one YAML.
var yarnLock = format{
	name:      "yarn.lock",
	ecosystem: "npm",
	match:     called("yarn.lock"),
	read:      readYarn,
}

var (
	classicMark = regexp.MustCompile(`(?im)^#\s+yarn\s+lockfile\s+v1\s*$`)
	berryMark   = regexp.MustCompile(`(?m)^["']?__metadata["']?\s*:`)
)

func readYarn(s *source) (list, error) {
	classic, berry := classicMark.Match(s.text), berryMark.Match(s.text)
	switch {
	case classic && berry:
		return list{}, errors.New("it has the marks of both the classic and the berry format: each client would read another")
	case classic:
		return readClassic(s.text)
	case berry:
		return readBerry(s.text)
	}
	return list{}, errors.New(`it has neither "# yarn lockfile v1" nor "__metadata": let the client write it again`)
}

// readClassic reads the format of version 1: a line of patterns (name@range, …), and below it, each level two spaces
// further in, fields and lists of dependencies.
func readClassic(text []byte) (list, error) {
	r := classicReader{list: list{version: "classic v1"}, lines: make(map[string]int)}
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		r.line++
		if err := r.read(strings.TrimSuffix(string(line), "\r")); err != nil {
			return list{}, fmt.Errorf("line %d: %v", r.line, err)
		}
	}
	return r.list, r.finish()
}

type classicReader struct {
	list
	line    int
	lines   map[string]int // of all patterns
	current classicPackage
	section string // of the package, with dependencies
}

// A classicPackage is one entry of the file.
type classicPackage struct {
	line     int
	patterns []string
	fields   map[string]string
}

func (r *classicReader) read(line string) error {
	body := strings.TrimLeft(line, " ")
	switch indent := len(line) - len(body); {
	case body == "" || body[0] == '#':
		return nil
	case indent == 0:
		return r.begin(body)
	case indent == 2 && r.current.line > 0:
		return r.field(body)
	case indent == 4 && r.section != "":
		words, err := classicWords(body)
		if err == nil && len(words) != 2 {
			err = errors.New("want a name and a range")
		}
		return err
	}
	return errors.New("unexpected indentation")
}

// begin begins a package.
func (r *classicReader) begin(body string) error {
	if err := r.finish(); err != nil {
		return err
	}
	head, ok := strings.CutSuffix(body, ":")
	if !ok {
		return errors.New("want patterns and a colon")
	}
	patterns, err := classicWords(strings.ReplaceAll(head, ", ", " "))
	if err != nil {
		return err
	}
	for _, p := range patterns {
		if before := r.lines[p]; before > 0 {
			return fmt.Errorf("%.200q is there already, in line %d", p, before)
		}
		r.lines[p] = r.line
	}
	r.current = classicPackage{line: r.line, patterns: patterns, fields: make(map[string]string)}
	r.section = ""
	return nil
}

func (r *classicReader) field(body string) error {
	if name, ok := strings.CutSuffix(body, ":"); ok {
		r.section = name
		return nil
	}
	r.section = ""
	words, err := classicWords(body)
	if err != nil {
		return err
	}
	if len(words) != 2 {
		return errors.New("want a field and its value")
	}
	if _, twice := r.current.fields[words[0]]; twice {
		return fmt.Errorf("field %.40q is there twice", words[0])
	}
	r.current.fields[words[0]] = words[1]
	return nil
}

// classicWords splits a line at single spaces into words, some of which are in quotes.
func classicWords(line string) ([]string, error) {
	var words []string
	for rest := line; ; {
		word, length, err := classicWord(rest)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		if length == len(rest) {
			return words, nil
		}
		if rest[length] != ' ' {
			return nil, fmt.Errorf("want a space after %.100q", word)
		}
		rest = rest[length+1:]
	}
}

func classicWord(s string) (word string, length int, err error) {
	if !strings.HasPrefix(s, `"`) {
		if length = strings.IndexByte(s, ' '); length < 0 {
			length = len(s)
		}
		if word = s[:length]; word == "" || strings.ContainsAny(word, "\",\t\r\v\f") {
			return "", 0, fmt.Errorf("%.100q is not a word", s)
		}
		return word, length, nil
	}
	for length = 1; length < len(s) && s[length] != '"'; length++ {
		if s[length] == '\\' {
			length++
		}
	}
	length = min(length+1, len(s))
	if err := json.Unmarshal([]byte(s[:length]), &word); err != nil {
		return "", 0, fmt.Errorf("%.100q is not in closed quotes", s)
	}
	return word, length, nil
}

// finish adds the package that was begun: once for each name it is installed under.
func (r *classicReader) finish() error {
	p := r.current
	r.current = classicPackage{}
	var done []Entry
	for _, pattern := range p.patterns {
		e, err := p.entry(pattern)
		if err != nil {
			return fmt.Errorf("%.200q in line %d: %v", pattern, p.line, err)
		}
		if slices.ContainsFunc(done, e.same) {
			continue
		}
		done = append(done, e)
		if err := r.add(e); err != nil {
			return err
		}
	}
	return nil
}

// same reports whether two entries differ in nothing but the place they come from.
func (e Entry) same(o Entry) bool {
	return e.Name == o.Name && e.Coordinate == o.Coordinate && e.Problem == o.Problem
}

func (p classicPackage) entry(pattern string) (Entry, error) {
	name, wanted := cutIdent(pattern)
	e := Entry{Name: name, Line: p.line}
	if alias, ok := strings.CutPrefix(wanted, "npm:"); ok {
		name, _ = cutIdent(alias)
	}
	if own := p.fields["name"]; own != "" {
		name = own
	}
	resolved, sha1, hashed := strings.Cut(p.fields["resolved"], "#")
	e.Source = resolved
	problem := rangeProblem(wanted)
	if strings.HasPrefix(resolved, "git") || strings.HasSuffix(resolved, ".git") || gitHosted(resolved) {
		problem = FromGit
	}
	if problem == FromPath && strings.Contains(resolved, "://") {
		problem = FromURL // which the client takes before it looks for the file
	}
	if problem != "" {
		e.problem(problem, "it comes from %s", cmp.Or(resolved, wanted))
	}
	e.is("npm", name, p.fields["version"])
	if resolved == "" {
		e.problem(NotLocked, "the lockfile does not say where it was resolved, so the client resolves it again")
	}
	if problem == FromGit || problem == FromPath {
		return e, nil
	}
	if integrity := p.fields["integrity"]; integrity != "" || !hashed {
		return e, e.acceptIntegrity(integrity)
	}
	d, err := fromHex("sha1", sha1)
	if err != nil {
		return e, err
	}
	e.accept(d)
	return e, nil
}

// cutIdent takes name@range apart; a name may begin with @.
func cutIdent(s string) (name, wanted string) {
	if i := strings.IndexByte(s[min(1, len(s)):], '@'); i >= 0 {
		return s[:i+1], s[i+2:]
	}
	return s, ""
}

// rangeProblem says what is wrong with what a dependency was asked for by: "" for versions in a registry.
func rangeProblem(wanted string) Problem {
	scheme, rest, ok := strings.Cut(wanted, ":")
	switch {
	case scheme == "npm":
		return ""
	case strings.HasPrefix(wanted, ".") || strings.HasPrefix(wanted, "/") || strings.HasPrefix(wanted, "~/") ||
		ok && slices.Contains([]string{"file", "link", "portal", "workspace", "exec", "virtual"}, scheme):
		return FromPath
	case scheme == "http" || scheme == "https":
		if path, commit, _ := strings.Cut(rest, "#"); strings.HasSuffix(path, ".git") || strings.HasPrefix(commit, "commit=") {
			return FromGit
		}
		return FromURL
	case ok || strings.Contains(wanted, "/"): // git+ssh://…, github:user/repo, git@host:…, user/repo
		return FromGit
	}
	return ""
}
