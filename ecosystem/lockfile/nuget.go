package lockfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
)

var nugetLock = format{
	name:      "packages.lock.json",
	ecosystem: "nuget",
	match:     called("packages.lock.json", "packages.*.lock.json"),
	read:      readNuGetLock,
}

// readNuGetLock reads packages.lock.json, versions 1 and 2: for each target framework, and each runtime of it, the
// packages of the whole graph. What several frameworks have is an entry for each. Of unknown members nothing is known
// that could change what is installed; those that differ from a known one by case are refused.
func readNuGetLock(s *source) (list, error) {
	var l list
	var frameworks member
	err := members(s.text, 1, func(m member) error {
		switch {
		case m.name == "version":
			l.version = "v" + string(m.value)
		case m.name == "dependencies":
			frameworks = m
		case strings.EqualFold(m.name, "version") || strings.EqualFold(m.name, "dependencies"):
			return fmt.Errorf("line %d: member %.40q differs from a known one by case", m.line, m.name)
		}
		return nil
	})
	switch {
	case err != nil:
		return l, err
	case l.version != "v1" && l.version != "v2":
		return l, errVersion(strings.TrimPrefix(l.version, "v"), "1 and 2")
	case frameworks.value == nil:
		return l, errors.New("it has no dependencies")
	}
	err = members(frameworks.value, frameworks.line, func(framework member) error {
		seen := make(map[string]int)
		return members(framework.value, framework.line, func(m member) error {
			id := strings.ToLower(m.name)
			if before, twice := seen[id]; twice {
				return fmt.Errorf("line %d: %.100q is there already, in line %d", m.line, m.name, before)
			}
			seen[id] = m.line
			return l.addNuGet(m)
		})
	})
	return l, err
}

// addNuGet adds one package of one framework.
func (l *list) addNuGet(m member) error {
	values, err := texts(m, "type", "resolved", "contentHash")
	if err != nil {
		return err
	}
	e := Entry{Name: m.name, Line: m.line}
	kind := values["type"]
	switch kind {
	case "Project":
		e.problem(FromPath, "it is a project of the same solution")
		return l.add(e)
	case "Direct", "Transitive", "CentralTransitive":
	default:
		return fmt.Errorf("line %d: %.100q is of type %.40q, which is not known here", m.line, m.name, kind)
	}
	e.is("nuget", m.name, values["resolved"])
	if hash := values["contentHash"]; hash != "" {
		sum, err := fromBase64("sha512", hash)
		if err != nil {
			return fmt.Errorf("line %d: %.100q: %v", m.line, m.name, err)
		}
		e.Files = []provenance.Digests{{"nugetContentHash": sum.value}}
	}
	return l.add(e)
}

// texts are the values of those members of an object that are wanted, which have to be text. One that differs from
// them by case could be taken for them.
func texts(m member, wanted ...string) (map[string]string, error) {
	values := make(map[string]string)
	err := members(m.value, m.line, func(part member) error {
		for _, name := range wanted {
			if !strings.EqualFold(name, part.name) {
				continue
			}
			if name != part.name {
				return fmt.Errorf("line %d: member %.40q differs from %q by case", part.line, part.name, name)
			}
			if part.value.Kind() != '"' {
				return fmt.Errorf("line %d: member %q: want text", part.line, name)
			}
			text, err := jsontext.AppendUnquote(nil, part.value)
			if err != nil {
				return fmt.Errorf("line %d: member %q: %v", part.line, name, err)
			}
			values[name] = string(text)
		}
		return nil
	})
	return values, err
}
