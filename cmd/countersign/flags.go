package main

import (
	"errors"
	"flag"
	"io"
	"strings"
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// helpWanted is the request for help; it tells which flags there are.
type helpWanted struct{ flags *flag.FlagSet }

func (helpWanted) Error() string { return flag.ErrHelp.Error() }
func (helpWanted) Unwrap() error { return flag.ErrHelp }

func newFlags(verb string) *flag.FlagSet {
	flags := flag.NewFlagSet(verb, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// parse reads flags before, between and after the operands, and gives the operands. All that follows "--" is operands.
// A required flag must be there and not be empty.
func parse(flags *flag.FlagSet, args []string, required ...string) (operands []string, err error) {
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, helpWanted{flags}
		} else if err != nil {
			return nil, misused("%s", said(err))
		}
		rest := flags.Args()
		if read := len(args) - len(rest); read > 0 && args[read-1] == "--" || len(rest) == 0 {
			operands = append(operands, rest...)
			break
		}
		operands, args = append(operands, rest[0]), rest[1:]
	}
	for _, name := range required {
		if flags.Lookup(name).Value.String() == "" {
			return nil, misused("--%s is missing", name)
		}
	}
	return operands, nil
}

// said is an error of package flag in the words of this program: flags have two hyphens, and the values it parses are times.
func said(err error) string {
	text := err.Error()
	if name, unknown := strings.CutPrefix(text, "flag provided but not defined: "); unknown {
		return "unknown flag -" + name
	}
	if name, bare := strings.CutPrefix(text, "flag needs an argument: "); bare {
		return "flag needs an argument: -" + name
	}
	if value, isTime := strings.CutPrefix(text, "invalid value "); isTime {
		value = strings.Replace(strings.TrimSuffix(value, ": parse error"), "for flag -", "for --", 1)
		return "invalid value " + value + ": want a time such as 90s, 10m or 72h"
	}
	return text
}

// one gives the only operand.
func one(operands []string, what string) (string, error) {
	if len(operands) != 1 {
		return "", misused("give one %s, not %d", what, len(operands))
	}
	return operands[0], nil
}

func none(operands []string) error {
	if len(operands) > 0 {
		return misused("unexpected argument %q", operands[0])
	}
	return nil
}
