package ecosystem

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"countersign.dev/provenance"
)

// claimed makes the coordinate that a document in an archive gives. The table of coordinates holds the name to
// the ecosystem's rules; all of them want ASCII.
func claimed(document, ecosystem, name, version, file string) (provenance.Coordinate, error) {
	c, err := provenance.NewCoordinate(ecosystem, name, version, file)
	if err != nil {
		return c, fmt.Errorf("%s: %v%s", document, err, mixture(name))
	}
	return c, nil
}

// mixture names the scripts of a name that is written in several, as look-alikes of other names are.
func mixture(name string) string {
	var scripts []string
	for script, table := range unicode.Scripts {
		within := func(r rune) bool { return unicode.IsLetter(r) && unicode.Is(table, r) }
		if script != "Common" && script != "Inherited" && strings.ContainsFunc(name, within) {
			scripts = append(scripts, script)
		}
	}
	if len(scripts) < 2 {
		return ""
	}
	slices.Sort(scripts)
	return fmt.Sprintf(" (a look-alike? its letters are %s)", strings.Join(scripts, " and "))
}
