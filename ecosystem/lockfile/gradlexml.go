package lockfile

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxXMLText is what is kept of the text in one element, in bytes.
const maxXMLText = 64

// An xmlElement is one element of an XML document.
type xmlElement struct {
	path       string // names from the root down, as they are written, joined by slashes
	line       int    // of its beginning
	attributes map[string]string
	text       string // directly inside, the beginning of it
	children   int
	parent     *xmlElement
}

// walkXML calls visit with each element, at its end. It takes UTF-8 without a document type, hence without entities
// of its own. Namespaces are not resolved: names are what they are written as.
func walkXML(text []byte, visit func(*xmlElement) error) error {
	w := xmlWalk{d: xml.NewDecoder(bytes.NewReader(text)), visit: visit}
	for {
		w.at, _ = w.d.InputPos()
		token, err := w.d.RawToken()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = w.take(token)
		}
		var syntax *xml.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("line %d: %s", syntax.Line, syntax.Msg)
		}
		if err != nil {
			return fmt.Errorf("line %d: %v", w.at, err)
		}
	}
	if w.open != nil || w.roots != 1 {
		return errors.New("want one XML element with an end")
	}
	return nil
}

type xmlWalk struct {
	d     *xml.Decoder
	visit func(*xmlElement) error
	at    int // line that an error is in
	open  *xmlElement
	depth int
	roots int
}

func (w *xmlWalk) take(token xml.Token) error {
	switch token := token.(type) {
	case xml.StartElement:
		return w.start(token)
	case xml.EndElement:
		return w.end(rawName(token.Name))
	case xml.Directive:
		return errors.New("XML with a document type")
	case xml.CharData:
		switch {
		case w.open != nil:
			w.open.text += string(token[:min(len(token), maxXMLText-min(len(w.open.text), maxXMLText))])
		case len(bytes.TrimSpace(token)) > 0:
			return errors.New("XML with text outside of its element")
		}
	}
	return nil
}

func (w *xmlWalk) start(token xml.StartElement) error {
	if w.depth++; w.depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	x := &xmlElement{path: rawName(token.Name), line: w.at, parent: w.open}
	if w.open == nil {
		w.roots++
	} else {
		w.open.children++
		x.path = w.open.path + "/" + x.path
	}
	if len(x.path) > maxXMLPath {
		return fmt.Errorf("names that are together longer than %d bytes", maxXMLPath)
	}
	x.attributes = make(map[string]string, len(token.Attr))
	for _, a := range token.Attr {
		name := rawName(a.Name)
		if _, twice := x.attributes[name]; twice {
			return fmt.Errorf("attribute %.100q is there twice", name)
		}
		x.attributes[name] = a.Value
	}
	w.open = x
	return nil
}

// maxXMLPath bounds the names of elements inside one another, together.
const maxXMLPath = 4096

func (w *xmlWalk) end(name string) error {
	x := w.open
	if x == nil || x.path[strings.LastIndexByte(x.path, '/')+1:] != name {
		return fmt.Errorf("an end of %.100q that has no beginning", name)
	}
	w.open = x.parent
	w.depth--
	w.at = x.line
	return w.visit(x)
}

func rawName(name xml.Name) string {
	if name.Space != "" {
		return name.Space + ":" + name.Local
	}
	return name.Local
}
