package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
	"countersign.dev/strict"
)

// facts are the values of the variables for one result. The attributes are read when a rule asks for them, and once.
type facts struct {
	result     *provenance.Result
	now        time.Time
	attributes any // nil while nobody asked
	ai         any
}

func (*facts) Parent() cel.Activation { return nil }

// ResolveName gives an error as the value of what has none: the evaluation ends with it.
func (f *facts) ResolveName(name string) (any, bool) {
	switch r := f.result; name {
	case "purl":
		return r.Purl, true
	case "pinNamespace":
		if r.Pin == nil {
			return types.NewErr("pinNamespace has no value: no pin"), true
		}
		return r.Pin.Namespace.String(), true
	case "registry":
		return r.Registry, true
	case "basis":
		return string(r.Basis), true
	case "publisher":
		return r.Publisher, true
	case "publisherEnded":
		return !r.PublisherEnded.IsZero(), true
	case "signedAt":
		if r.SignedAt.IsZero() {
			return types.NewErr("signedAt has no value: no publisher signed"), true
		}
		return r.SignedAt, true
	case "countersignedAt":
		return r.CountersignedAt, true
	case "now":
		return f.now, true
	case "attributes":
		return once(&f.attributes, f.claims), true
	case "ai":
		return once(&f.ai, f.generation), true
	}
	return nil, false
}

// once remembers what read gives, be it an error.
func once(value *any, read func() (any, error)) any {
	if *value == nil {
		v, err := read()
		if err != nil {
			v = types.NewErr("the attributes cannot be read: %v", err)
		}
		*value = v
	}
	return *value
}

// claims are the attributes without the one that has a type: none where no publisher signed.
func (f *facts) claims() (any, error) {
	data := f.result.Attributes
	switch {
	case len(data) == 0:
		return map[string]any{}, nil
	case len(data) > provenance.MaxPublication:
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(data), provenance.MaxPublication)
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(data)) // a Buffer is read in place
	v, err := value(d)
	if err != nil {
		return nil, err
	}
	all, ok := v.(map[string]any)
	if _, end := d.ReadToken(); !ok || end != io.EOF {
		return nil, errors.New("not one JSON object")
	}
	delete(all, "aiGeneration") // which is in ai
	return all, nil
}

func (f *facts) generation() (any, error) {
	g := generation{Tools: []tool{}, ReviewedBy: []string{}}
	if len(f.result.Attributes) == 0 {
		return g, nil
	}
	ai, err := (&provenance.Publication{Attributes: f.result.Attributes}).AIGeneration()
	if err != nil || ai == nil {
		return g, err
	}
	g.Declared, g.Extent, g.ReviewedBy = true, ai.Extent, ai.ReviewedBy
	for _, t := range ai.Tools {
		g.Tools = append(g.Tools, tool(t))
	}
	return g, nil
}

// value reads what strict.JSON accepts, integers as such.
func value(d *jsontext.Decoder) (any, error) {
	tok, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	if d.StackDepth() > strict.MaxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", strict.MaxDepth)
	}
	switch tok.Kind() {
	case '"':
		return tok.String(), nil
	case '0':
		n, err := strconv.ParseInt(tok.String(), 10, 64)
		if err != nil || n < 0 || n > strict.MaxInteger {
			return nil, errors.New("a number is not an integer between 0 and 2^53-1")
		}
		return n, nil
	case 't', 'f':
		return tok.Bool(), nil
	case '{':
		return object(d)
	case '[':
		return array(d)
	}
	return nil, errors.New("null is not a value here")
}

func object(d *jsontext.Decoder) (any, error) {
	all := make(map[string]any)
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String() // the next token takes its place
		if all[key], err = value(d); err != nil {
			return nil, err
		}
	}
	_, err := d.ReadToken()
	return all, err
}

func array(d *jsontext.Decoder) (any, error) {
	all := []any{}
	for d.PeekKind() != ']' {
		v, err := value(d)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	_, err := d.ReadToken()
	return all, err
}
