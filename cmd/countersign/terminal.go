package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// terminal is where the program talks to people.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// say writes a line of the answer.
func (t terminal) say(format string, args ...any) {
	fmt.Fprintln(t.out, plain(fmt.Sprintf(format, args...)))
}

// field writes a line of the answer that has a name.
func (t terminal) field(name, format string, args ...any) {
	t.say("%-13s  %s", name, fmt.Sprintf(format, args...))
}

// note writes a line beside the answer.
func (t terminal) note(format string, args ...any) {
	fmt.Fprintln(t.err, "countersign: "+plain(fmt.Sprintf(format, args...)))
}

func (t terminal) warn(format string, args ...any) { t.note("warning: "+format, args...) }

// misuse is an error in the arguments.
type misuse struct{ error }

func misused(format string, args ...any) error { return misuse{fmt.Errorf(format, args...)} }

// hinted is an error about which something can be done.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func hint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// undecided is why verify cannot tell.
type undecided struct{ error }

func (u undecided) Unwrap() error { return u.error }

// exitStatus ends the program when all there is to say was said.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// report tells people what went wrong and gives the exit status.
func (t terminal) report(verb string, err error) int {
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	var m misuse
	var u undecided
	wrong := errors.As(err, &m)
	if h := (hinted{}); wrong && !errors.As(err, &h) {
		err = hint(err, "countersign %s --help explains", verb)
	}
	t.complain(verb, err)
	if wrong || errors.As(err, &u) {
		return 2
	}
	return 1
}

// complain writes an error and its hint.
func (t terminal) complain(verb string, err error) {
	if verb != "" {
		verb += ": "
	}
	t.note("%s%v", verb, err)
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintln(t.err, "hint: "+plain(h.hint))
	}
}

// plain makes one line of s, with escapes for the characters that would command a terminal or deceive its reader.
func plain(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString("; ")
		case r == unicode.ReplacementChar, unicode.Is(unicode.Cf, r), unicode.IsControl(r),
			unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
