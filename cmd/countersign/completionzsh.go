package main

import (
	"fmt"
	"strings"
)

func zshScript(all []command) string {
	var b strings.Builder
	b.WriteString("#compdef countersign\n" + madeBy("zsh") + "\n")
	b.WriteString("_countersign_at() { # sets what may follow a command: verbs, flags, and of these those that take a value\n  case $1 in\n")
	about := make(map[string]string)
	for _, c := range all {
		about[c.path] = c.about
	}
	for _, c := range all {
		fmt.Fprintf(&b, "  %s)\n    verbs=(%s)\n    flags=(%s)\n    valued=(%s) ;;\n", quoted(c.path),
			joinQuoted(described(c.words, func(word string) string { return about[c.next(word)] })),
			joinQuoted(described(c.flagList(), c.meaning)), joinQuoted(c.valued()))
	}
	b.WriteString("  esac\n}\n\n_countersign_values() { # sets the words that a flag of a command takes\n  case $1 in\n")
	for _, c := range all {
		for _, o := range c.options {
			if o.values != nil {
				fmt.Fprintf(&b, "  %s) values=(%s) ;;\n", quoted(c.path+" --"+o.name), joinQuoted(o.values))
			}
		}
	}
	b.WriteString("  esac\n}\n" + zshFunction)
	return b.String()
}

// meaning is that of a flag as flagList has it.
func (c *command) meaning(flag string) string {
	for _, o := range c.options {
		if "--"+o.name == flag {
			return o.about
		}
	}
	return ""
}

// described are words in the form of _describe. Its separator is a colon.
func described(words []string, meaning func(string) string) []string {
	var all []string
	for _, word := range words {
		if m := meaning(word); m != "" {
			word += ":" + strings.ReplaceAll(m, `\`, `\\`)
		}
		all = append(all, word)
	}
	return all
}

const zshFunction = `
_countersign() {
  local at= flag= word i
  local -a verbs names flags valued values
  _countersign_at ''
  names=(${verbs%%:*})
  for ((i = 2; i < CURRENT; i++)); do
    word=$words[i]
    if [[ -n $flag ]]; then
      flag=
    elif [[ $word == -- ]]; then
      _files
      return
    elif (( ${valued[(Ie)$word]} )); then
      flag=$word
    elif [[ $word != -* ]] && (( ${names[(Ie)$word]} )); then
      at=${at:+$at }$word
      _countersign_at "$at"
      names=(${verbs%%:*})
    fi
  done
  word=$words[CURRENT]
  if [[ -z $flag && $word == --*=* ]] && (( ${valued[(Ie)${word%%=*}]} )); then
    flag=${word%%=*}
    compset -P '*='
  fi
  if [[ -n $flag ]]; then
    _countersign_values "$at $flag"
    if (( $#values )); then
      _describe value values
    else
      _files
    fi
  elif [[ $word == -* ]]; then
    _describe flag flags
  elif (( $#verbs )); then
    _describe command verbs
  else
    _files
  fi
}

if [[ $funcstack[1] == _countersign ]]; then
  _countersign "$@"
else
  compdef _countersign countersign
fi
`
