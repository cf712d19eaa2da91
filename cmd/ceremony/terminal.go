package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// terminal is where the ceremony talks to people.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

func (t terminal) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

// typed asks for a phrase that has to be typed as it is.
func (t terminal) typed(ctx context.Context, phrase string) error {
	t.say("Type: %s", phrase)
	line, err := t.line(ctx)
	if err != nil && err != io.EOF {
		return err
	}
	if line != phrase {
		return errors.New("not confirmed")
	}
	return nil
}

// line reads one line and nothing behind it, or leaves when ctx ends.
func (t terminal) line(ctx context.Context) (string, error) {
	type answer struct {
		line string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		var b []byte
		for one := make([]byte, 1); ; {
			n, err := t.in.Read(one)
			if n == 1 && one[0] != '\n' {
				b = append(b, one[0])
			} else if n == 1 || err != nil {
				done <- answer{strings.TrimSpace(string(b)), err}
				return
			}
		}
	}()
	select {
	case a := <-done:
		return a.line, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
