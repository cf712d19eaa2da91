package main

import (
	"fmt"
	"strings"
)

// bashScript works in bash 3.2 and later, without the package bash-completion. A value of the form --flag=value is three
// words to bash.
func bashScript(all []command) string {
	var b strings.Builder
	b.WriteString(madeBy("bash") + "\n")
	b.WriteString("_countersign_at() { # sets what may follow a command: words, flags, and of these those that take a value\n    case $1 in\n")
	for _, c := range all {
		fmt.Fprintf(&b, "    %s) words=%s flags=%s valued=%s ;;\n", quoted(c.path), quoted(strings.Join(c.words, " ")),
			quoted(strings.Join(c.flagList(), " ")), quoted(" "+strings.Join(c.valued(), " ")+" "))
	}
	b.WriteString("    esac\n}\n\n_countersign_values() { # writes the words that a flag of a command takes\n    case $1 in\n")
	for _, c := range all {
		for _, o := range c.options {
			if o.values != nil {
				fmt.Fprintf(&b, "    %s) echo %s ;;\n", quoted(c.path+" --"+o.name), quoted(strings.Join(o.values, " ")))
			}
		}
	}
	b.WriteString("    esac\n}\n" + bashFunction)
	return b.String()
}

const bashFunction = `
_countersign() {
    local cur=${COMP_WORDS[COMP_CWORD]} at='' flag='' word words flags valued i
    _countersign_at ''
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == '=' && -n $flag ]]; then
            continue
        elif [[ -n $flag ]]; then
            flag=''
        elif [[ $word == -- ]]; then
            COMPREPLY=()
            return
        elif [[ $word == --* && $valued == *" $word "* ]]; then
            flag=$word
        elif [[ $word != -* && " $words " == *" $word "* ]]; then
            at=${at:+$at }$word
            _countersign_at "$at"
        fi
    done
    COMPREPLY=()
    if [[ -n $flag ]]; then
        [[ $cur == '=' ]] && cur=''
        COMPREPLY=($(compgen -W "$(_countersign_values "$at $flag")" -- "$cur"))
    elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    elif [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}

complete -o default -F _countersign countersign
`
