package lockfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// dockerLines parts a Dockerfile into instructions: comments are dropped, continued lines joined, and the here-documents
// of RUN, COPY and ADD skipped, in which a FROM is none.
type dockerLines struct {
	rest   string
	line   int // of rest
	escape byte
}

// next takes a line, without its end. It is for callers that know there is one.
func (d *dockerLines) next() string {
	line, rest, _ := strings.Cut(d.rest, "\n")
	d.rest = rest
	d.line++
	return strings.TrimSuffix(line, "\r")
}

var dockerDirective = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$`)

// directive parts a directive into name and value; "" if the line is none. Some clients know more white space than others.
func directive(line string) (name, value string) {
	comment, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
	if found := dockerDirective.FindStringSubmatch(strings.TrimSpace(comment)); ok && found != nil {
		return strings.ToLower(found[1]), found[2]
	}
	return "", ""
}

// directives reads the parser directives: comments at the very top. It returns the image that the syntax directive
// names, by which BuildKit has the file built, and its line.
func (d *dockerLines) directives() (syntax string, line int, err error) {
	seen := make(map[string]bool)
	shebang := strings.HasPrefix(d.rest, "#!") // behind which BuildKit finds the syntax but not the escape
	if shebang {
		d.next()
	}
	for d.rest != "" {
		text, _, _ := strings.Cut(d.rest, "\n")
		name, value := directive(text)
		if seen[name] {
			return "", d.line, fmt.Errorf("directive %.40q is there twice", name)
		}
		seen[name] = true
		switch name {
		case "syntax":
			syntax, _, _ = strings.Cut(value, " ") // what follows is for that image
			line = d.line
		case "escape":
			if value != `\` && value != "`" || text[0] != '#' || shebang {
				return "", d.line, errors.New("directive escape: want \\ or `, in a comment at the very top")
			}
			d.escape = value[0]
		case "check":
		default:
			return syntax, line, nil // a comment, and so is all that follows
		}
		d.next()
	}
	return syntax, line, nil
}

// instruction returns the next instruction, joined to one line, and its line number; "" at the end.
func (d *dockerLines) instruction() (text string, line int, err error) {
	var all strings.Builder
	line = d.line
	continued := false
	for d.rest != "" {
		here := d.line
		part := d.next()
		if trimmed := strings.TrimSpace(part); trimmed == "" || trimmed[0] == '#' {
			continue // also between continued lines
		}
		if !continued {
			line, part = here, strings.TrimLeft(part, " \t")
		}
		if part, continued, err = d.continues(part); err != nil {
			return "", here, err
		}
		if all.WriteString(part); !continued {
			break
		}
	}
	text = strings.TrimSpace(all.String())
	if text == "" && all.Len() > 0 {
		return "", line, errors.New("a continued line without an instruction")
	}
	return text, line, nil
}

// continues cuts the escape character off the end of a line. Two of them continue it for old clients only.
func (d *dockerLines) continues(line string) (text string, continued bool, err error) {
	text, continued = strings.CutSuffix(strings.TrimRight(line, " \t"), string(d.escape))
	switch {
	case !continued:
		return line, false, nil
	case strings.HasSuffix(text, string(d.escape)):
		return "", false, fmt.Errorf("two %c at the end of the line: not all clients go on with the next", d.escape)
	}
	return text, true, nil
}

// heredocs skips the here-documents that an instruction with these arguments announces. Where it takes more knowledge
// of the shell, or of the version of BuildKit, to say whether it does, the file is refused: else lines of a script could
// pass for instructions, or instructions for a script.
func (d *dockerLines) heredocs(arguments string) error {
	if !strings.Contains(arguments, "<<") {
		return nil
	}
	found, err := findHeredocs(arguments)
	if err != nil {
		return fmt.Errorf("%v: there may be a here-document or not, write it otherwise", err)
	}
	for _, h := range found {
		if err := d.skip(h); err != nil {
			return err
		}
	}
	return nil
}

// A heredoc is announced by << and the line that it ends with.
type heredoc struct {
	end  string
	tabs bool // may be in front of the end
}

var (
	heredocForm    = regexp.MustCompile(`^<<(-?)(["']?)([A-Za-z_][A-Za-z0-9_]*)(["']?)([ \t]|$)`)
	simpleVariable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)
)

// findHeredocs finds the << outside of quotes. The shell's here-strings, <<<, are none.
func findHeredocs(arguments string) (found []heredoc, err error) {
	if strings.Contains(simpleVariable.ReplaceAllString(arguments, ""), "${") {
		return nil, errors.New("<< beside a variable with more than a name")
	}
	quote, word, strs := byte(0), 0, false // word is where the word began
	for i := 0; i < len(arguments); i++ {
		switch c := arguments[i]; {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == ' ' || c == '\t':
			word = i + 1
		case strings.HasPrefix(arguments[i:], "<<<"):
			i, strs = i+2, true
		case strings.HasPrefix(arguments[i:], "<<"):
			form := heredocForm.FindStringSubmatch(arguments[i:])
			if form == nil || form[2] != form[4] || strings.Trim(arguments[word:i], "0123456789") != "" {
				return nil, fmt.Errorf("%.40q", arguments[word:])
			}
			found = append(found, heredoc{form[3], form[1] == "-"})
			i += len(form[0]) - 1
			word = i + 1
		}
	}
	if len(found) > 0 && (quote != 0 || strs || arguments[0] == '[') {
		return nil, errors.New("<< beside [, <<< or an open quote")
	}
	return found, nil
}

// skip skips a here-document up to the line that is its end.
func (d *dockerLines) skip(h heredoc) error {
	for d.rest != "" {
		line := d.next()
		if h.tabs {
			line = strings.TrimLeft(line, "\t")
		}
		if line == h.end {
			return nil
		}
	}
	return fmt.Errorf("here-document %s has no end", h.end)
}

// dockerFlags parts the flags, --name=value, from what follows them. Quotes are taken off, which may be around any part.
func dockerFlags(arguments string) (flags []string, rest string, err error) {
	for strings.HasPrefix(arguments, "--") {
		var flag string
		flag, arguments = cutWord(arguments)
		if strings.Count(flag, `"`)%2+strings.Count(flag, "'")%2+strings.Count(flag, `\`)+strings.Count(flag, "<<") > 0 {
			return nil, "", fmt.Errorf("flag %.100q: write it without quotes, backslashes and <<", flag)
		}
		flags = append(flags, strings.NewReplacer(`"`, "", "'", "").Replace(flag))
	}
	return flags, arguments, nil
}

// cutWord parts the first word from what follows it.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeftFunc(s, unicode.IsSpace)
	end := strings.IndexFunc(s, unicode.IsSpace)
	if end < 0 {
		return s, ""
	}
	return s[:end], strings.TrimLeftFunc(s[end:], unicode.IsSpace)
}
