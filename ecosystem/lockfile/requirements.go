package lockfile

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// requirements reads what pip installs from (pip.pypa.io, Requirements File Format), as pip-compile, uv and others
// write it with --hash. It has no list of what else is installed, so only entries with hashes make it a lockfile:
// pip then takes nothing without.
var requirements = format{
	name:      "requirements.txt",
	ecosystem: "pypi",
	match:     called("requirements.txt", "requirements[\\-_.]*.txt", "*[\\-_.]requirements.txt"),
	read:      readRequirements,
}

func readRequirements(s *source) (list, error) {
	r := requirementsReader{included: map[string]bool{s.base: true}}
	err := r.read(s, 0)
	return r.list, err
}

type requirementsReader struct {
	list
	included map[string]bool
}

// read reads a file. Entries of an included one are in the line that includes it.
func (r *requirementsReader) read(s *source, line int) error {
	lines, err := pipLines(s.text)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if strings.ContainsFunc(l.text, func(r rune) bool { return r > '~' || r < ' ' && r != '\t' }) {
			return fmt.Errorf("line %d: not plain ASCII", l.number)
		}
		at := line
		if at == 0 {
			at = l.number
		}
		if err := r.take(s, l.text, at); err != nil {
			return fmt.Errorf("line %d: %v", l.number, err)
		}
	}
	return nil
}

func (r *requirementsReader) take(s *source, text string, line int) error {
	words := strings.Fields(text)
	option, value, joined := strings.Cut(words[0], "=")
	if !joined {
		value = strings.Join(words[1:], " ")
	}
	if strings.HasPrefix(option, "-") && (strings.ContainsAny(text, pipQuotes) || joined && option == "-r") {
		return fmt.Errorf("option %.40q: write what belongs to it without quotes, backslashes and, if it is short, an equals sign", option)
	}
	switch {
	case option == "-r" || option == "--requirement":
		return r.include(s, value, line)
	case strings.HasPrefix(option, "-r") && !strings.HasPrefix(option, "--"):
		return r.include(s, strings.TrimPrefix(text, "-r"), line)
	case option == "-e" || option == "--editable":
		return r.add(pipURL(value, line, true))
	case slices.Contains(pipOptions, option):
		return onlyOptions(words)
	case strings.HasPrefix(option, "-c") || option == "--constraint":
		return errors.New("constraints are not read here: compile everything into one file with hashes")
	case strings.HasPrefix(option, "-"):
		return fmt.Errorf("option %.40q is not known", option)
	}
	e, err := pipRequirement(text, line)
	if err != nil {
		return err
	}
	return r.add(e)
}

// pipQuotes are what pip splits options by as a shell does, so that they hide options, or make one of several.
const pipQuotes = "\"'\\"

// pipOptions are the options that say nothing about what is installed once it has to have a hash.
var pipOptions = []string{
	"-i", "--index-url", "--pypi-url", "--extra-index-url", "--no-index", "-f", "--find-links", "--no-binary", "--only-binary",
	"--prefer-binary", "--require-hashes", "--pre", "--trusted-host", "--use-feature",
}

// onlyOptions refuses what pip would install although the line begins with an option.
func onlyOptions(words []string) error {
	for _, word := range words {
		option, _, _ := strings.Cut(word, "=")
		if strings.HasPrefix(word, "-") && !slices.Contains(pipOptions, option) {
			return fmt.Errorf("option %.40q is not known in this place: give it a line of its own", option)
		}
	}
	return nil
}

// pipInclude is what names the same file for pip, which knows URLs, absolute paths and variables of the environment.
var pipInclude = regexp.MustCompile(`^[A-Za-z0-9_.+@][A-Za-z0-9_.+@/-]*$`)

// include reads another file of the lockfile's folder.
func (r *requirementsReader) include(s *source, name string, line int) error {
	name = strings.TrimSpace(name)
	if !pipInclude.MatchString(name) {
		return fmt.Errorf("-r %.200q: only files are followed, by plain names relative to this one", name)
	}
	other, err := s.beside(name)
	if err != nil {
		return fmt.Errorf("-r %.200q: %v", name, err)
	}
	if r.included[other.base] {
		return nil
	}
	if len(r.included) >= maxInclude {
		return fmt.Errorf("more than %d files", maxInclude)
	}
	r.included[other.base] = true
	if err := r.read(other, line); err != nil {
		return fmt.Errorf("%s: %v", other.base, err)
	}
	return nil
}

// A pipLine is what pip takes for one line, and the number of the first one that it was made of.
type pipLine struct {
	number int
	text   string
}

var (
	pipComment = regexp.MustCompile(`(^|\s+)#.*$`)
	pipCoding  = regexp.MustCompile(`coding[:=]\s*([-\w.]+)`)
)

// pipLines splits a file into lines as pip does: continued lines are joined, then comments go. Other ends of lines than
// those of text files, which pip knows too, and other encodings are refused.
func pipLines(text []byte) ([]pipLine, error) {
	if i := bytes.IndexAny(text, "\v\f\x1c\x1d\x1e\x1f\u0085\u2028\u2029"); i >= 0 {
		return nil, fmt.Errorf("line %d: a character that ends the line for pip only", 1+bytes.Count(text[:i], []byte("\n")))
	}
	if err := checkCoding(text); err != nil {
		return nil, err
	}
	var lines []pipLine
	var joined strings.Builder
	first, number := 0, 0
	end := func() {
		if s := strings.TrimSpace(pipComment.ReplaceAllString(joined.String(), "")); s != "" {
			lines = append(lines, pipLine{first, s})
		}
		joined.Reset()
		first = 0
	}
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text)), "\n") {
		number++
		if first == 0 {
			first = number
		}
		comment := strings.HasPrefix(strings.TrimSpace(line), "#")
		if body, continued := strings.CutSuffix(line, "\\"); continued && !comment {
			joined.WriteString(strings.Trim(body, "\\"))
			continue
		}
		if comment {
			joined.WriteByte(' ')
		}
		joined.WriteString(line)
		end()
	}
	end()
	return lines, nil
}

// checkCoding refuses another encoding, which pip takes from a comment in one of the first two lines. Lines end here
// at no other character than \n.
func checkCoding(text []byte) error {
	for i, line := range bytes.SplitN(text, []byte("\n"), 3)[:min(2, 1+bytes.Count(text, []byte("\n")))] {
		m := pipCoding.FindSubmatch(line)
		if bytes.Contains(line, []byte("#")) && m != nil && !strings.EqualFold(strings.ReplaceAll(string(m[1]), "-", ""), "utf8") {
			return fmt.Errorf("line %d: encoding %.40q, want UTF-8", i+1, m[1])
		}
	}
	return nil
}

var (
	pipName     = regexp.MustCompile(`^([A-Za-z0-9][-A-Za-z0-9._]*)\s*(\[[-A-Za-z0-9._,\s]*\])?\s*(.*)$`)
	pipExact    = regexp.MustCompile(`^\(?\s*===?\s*([^\s,;*()]+)\s*\)?$`)
	pipOption   = regexp.MustCompile(`\s+(-.*)$`)
	pipFileName = regexp.MustCompile(`(?i)(^|/|\\)[^/\\]*\.(whl|zip|tar\.gz|tgz|tar\.bz2|tar\.xz|tar)$`)
)

// pipRequirement reads name[extras]==version; marker --hash=….
func pipRequirement(text string, line int) (Entry, error) {
	spec, options := text, ""
	if m := pipOption.FindStringSubmatchIndex(text); m != nil {
		spec, options = strings.TrimSpace(text[:m[0]]), text[m[2]:]
	}
	e := pipSpec(spec, line)
	if strings.ContainsAny(options, pipQuotes) {
		return e, fmt.Errorf("options of %.100q: write them without quotes and backslashes", e.Name)
	}
	words := strings.Fields(options)
	for i := 0; i < len(words); i++ {
		option, value, joined := strings.Cut(words[i], "=")
		if !joined && i+1 < len(words) {
			i++
			value = words[i]
		}
		switch option {
		case "--hash":
			if err := e.acceptPipHash(value); err != nil {
				return e, err
			}
		case "--global-option", "--config-settings", "--config-setting", "-C": // of builds
		default:
			return e, fmt.Errorf("option %.40q of %.100q is not known", option, e.Name)
		}
	}
	if len(e.Files) == 0 {
		e.problem(NoDigest, "it has no --hash")
	}
	return e, nil
}

// acceptPipHash adds one of the files that pip accepts. It takes no weak hashes.
func (e *Entry) acceptPipHash(text string) error {
	algorithm, value, _ := strings.Cut(text, ":")
	if !slices.Contains([]string{"sha256", "sha384", "sha512"}, algorithm) {
		return fmt.Errorf("hash %.100q of %.100q is not sha256:, sha384: or sha512: and hex", text, e.Name)
	}
	d, err := fromHex(algorithm, value)
	if err != nil {
		return err
	}
	e.accept(d)
	return nil
}

// pipSpec reads a requirement without its options (PEP 508, or a place that a file or project is at).
func pipSpec(spec string, line int) Entry {
	m := pipName.FindStringSubmatch(spec)
	switch {
	case m != nil && strings.HasPrefix(m[3], "@"):
		e := pipURL(strings.TrimSpace(m[3][1:]), line, false)
		e.Name = m[1]
		return e
	case m == nil || m[3] != "" && strings.IndexByte(`:/+\`, m[3][0]) >= 0 || pipFileName.MatchString(spec):
		return pipURL(spec, line, false)
	}
	name, rest := m[1], m[3]
	e := Entry{Name: name, Line: line}
	rest, _, _ = strings.Cut(rest, ";") // a marker: whether it is installed, not which
	exact := pipExact.FindStringSubmatch(strings.TrimSpace(rest))
	switch {
	case strings.Contains(spec, "${"):
		e.problem(NotLocked, "part of it comes from the environment")
	case exact == nil:
		e.problem(NotLocked, "want name==version")
	default:
		e.is("pypi", name, exact[1])
	}
	return e
}

// pipURL is an entry for what does not come from an index.
func pipURL(place string, line int, editable bool) Entry {
	e := Entry{Name: place, Line: line, Source: place}
	if _, egg, ok := strings.Cut(place, "#egg="); ok {
		e.Name, _, _ = strings.Cut(egg, "&")
	}
	scheme, _, ok := strings.Cut(place, "://")
	switch {
	case strings.HasPrefix(scheme, "git") || ok && strings.ContainsRune(scheme, '+'):
		e.problem(FromGit, "it comes from %s", place)
	case !ok && strings.Contains(place, ":") && !strings.HasPrefix(place, "file:"):
		e.problem(FromURL, "it comes from %s", place)
	case !ok || scheme == "file" || editable:
		e.problem(FromPath, "it comes from %s", place)
	default:
		e.problem(FromURL, "it comes from %s", place)
	}
	return e
}
