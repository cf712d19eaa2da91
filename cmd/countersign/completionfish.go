package main

import (
	"fmt"
	"strings"
)

func fishScript(all []command) string {
	var b strings.Builder
	b.WriteString(madeBy("fish") + "\n")
	var paths, valued []string
	about := make(map[string]string)
	for _, c := range all {
		about[c.path] = c.about
		paths = append(paths, fishQuoted(c.path))
		for _, flag := range c.valued() {
			valued = append(valued, fishQuoted(c.path+" "+flag))
		}
	}
	fmt.Fprintf(&b, "set -g __countersign_paths %s\nset -g __countersign_valued %s\n%s", strings.Join(paths, " "), strings.Join(valued, " "), fishFunction)
	for _, c := range all {
		at := fishQuoted("__countersign_at " + fishQuoted(c.path))
		for _, word := range c.words {
			fmt.Fprintf(&b, "complete -c countersign -f -n %s -a %s -d %s\n", at, fishQuoted(word), fishQuoted(about[c.next(word)]))
		}
		for _, o := range c.options {
			value := ""
			switch {
			case o.values != nil:
				value = " -x -a " + fishQuoted(strings.Join(o.values, " "))
			case o.takesValue:
				value = " -r"
			}
			fmt.Fprintf(&b, "complete -c countersign -n %s -l %s%s -d %s\n", at, o.name, value, fishQuoted(o.about))
		}
	}
	return b.String()
}

// fishQuoted is s in the single quotes of fish, which know two escapes.
func fishQuoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

const fishFunction = `
function __countersign_at # whether the command line is at this command
    set -l at ''
    set -l value 0
    for token in (commandline -opc)[2..-1]
        if test $value = 1
            set value 0
        else if string match -q -- '-*' $token
            contains -- "$at $token" $__countersign_valued
            and set value 1
        else if contains -- (string trim -- "$at $token") $__countersign_paths
            set at (string trim -- "$at $token")
        end
    end
    test "$at" = "$argv[1]"
end

`
