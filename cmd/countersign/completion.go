package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

const completionUsage = `usage: countersign completion bash|zsh|fish

completion writes what your shell needs to complete the commands of this
program, their flags, and the words that a flag takes.

Worked examples:

  countersign completion bash >countersign.bash
  countersign completion zsh >_countersign
  countersign completion fish >countersign.fish

Where the shells look for them:

  bash  ~/.local/share/bash-completion/completions/countersign
  zsh   a folder in $fpath, under the name _countersign
  fish  ~/.config/fish/completions/countersign.fish

Exit status: 0 done, 2 wrong arguments.
`

func completion(args []string, t terminal) error {
	operands, err := parse(newFlags("completion"), args)
	if err != nil {
		return err
	}
	shell, err := one(operands, "shell: bash, zsh or fish")
	if err != nil {
		return err
	}
	write, known := map[string]func([]command) string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[shell]
	if !known {
		return misused("%q is not bash, zsh or fish", shell)
	}
	_, err = io.WriteString(t.out, write(commands()))
	return err
}

// command is what may follow certain words of a command line.
type command struct {
	path    string // those words: "", "pins", "pins add"
	about   string
	words   []string
	options []option
}

type option struct {
	name, about string
	takesValue  bool
	values      []string // that it takes, nil for any
}

// commands are all that there are, the empty one first. Flags come from each verb itself, everything else from its
// usage text.
func commands() []command {
	help := command{path: "help", about: "explain a command"}
	top := command{options: []option{helpOption, {name: "version", about: "which build this is"}}}
	var rest []command
	for _, v := range verbs() {
		m := readManual(v)
		c := command{path: v.name, about: brief(m.about), words: m.words(), options: v.options(&m)}
		top.words, help.words = append(top.words, v.name), append(help.words, v.name)
		rest = append(rest, c)
		for _, word := range c.words {
			rest = append(rest, command{path: v.name + " " + word, about: m.wordMeaning(word), options: v.options(&m, word)})
		}
	}
	top.words = append(top.words, "help")
	return append(append([]command{top}, rest...), help)
}

var helpOption = option{name: "help", about: "explain it"}

// options asks a verb for its flags, as far as they are those after the words.
func (v verb) options(m *manual, words ...string) []option {
	all := []option{helpOption}
	var help helpWanted
	if !errors.As(v.run(append(words, "--help"), terminal{strings.NewReader(""), io.Discard, io.Discard}), &help) {
		return all
	}
	help.flags.VisitAll(func(f *flag.Flag) {
		yesNo, ok := f.Value.(interface{ IsBoolFlag() bool })
		all = append(all, option{f.Name, m.flagMeaning(f.Name), !ok || !yesNo.IsBoolFlag(), m.values(f.Name)})
	})
	return all
}

// wordMeaning says briefly what a word does, or "".
func (m *manual) wordMeaning(word string) string {
	for _, p := range m.body {
		for _, t := range p.terms {
			if t.name == word {
				return brief(t.meaning)
			}
		}
	}
	return ""
}

// flagList is the options as they are written.
func (c *command) flagList() []string {
	var all []string
	for _, o := range c.options {
		all = append(all, "--"+o.name)
	}
	return all
}

// valued lists the flags after which a value comes.
func (c *command) valued() []string {
	var all []string
	for _, o := range c.options {
		if o.takesValue {
			all = append(all, "--"+o.name)
		}
	}
	return all
}

// next is the path after one more word.
func (c *command) next(word string) string { return strings.TrimSpace(c.path + " " + word) }

// quoted is s in the single quotes of a POSIX shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func joinQuoted(all []string) string {
	var b strings.Builder
	for i, s := range all {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quoted(s))
	}
	return b.String()
}

// madeBy heads each script.
func madeBy(shell string) string {
	return fmt.Sprintf("# %s completion for countersign, written by: countersign completion %[1]s\n", shell)
}
