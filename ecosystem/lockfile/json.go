package lockfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// A member is one name and value of a JSON object, and where it is.
type member struct {
	name  string
	value jsontext.Value // part of the lockfile's text
	line  int            // of the value's beginning
}

// members calls visit with each member of the object that text is, whose first line is the given one. A name that is
// there twice, here or anywhere inside, is an error.
func members(text []byte, line int, visit func(member) error) error {
	d := jsontext.NewDecoder(bytes.NewBuffer(text)) // a Buffer is read in place
	count := lineCounter{text: text, lines: line - 1}
	where := func(err error) error {
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			at := min(int(syntax.ByteOffset), len(text))
			return fmt.Errorf("line %d: %v", line+bytes.Count(text[:at], []byte("\n")), syntax.Err)
		}
		return err
	}
	if open, err := d.ReadToken(); err != nil {
		return where(err)
	} else if open.Kind() != '{' {
		return fmt.Errorf("line %d: want an object", line)
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return where(err)
		}
		key := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return where(err)
		}
		at := count.at(int(d.InputOffset()) - len(value))
		if err := visit(member{key, value, at}); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return where(err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return errors.New("data after the end")
	}
	return nil
}
