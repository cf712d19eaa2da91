package ecosystem

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxXMLDepth bounds the elements inside one another.
const maxXMLDepth = 100

// An xmlElement is what was between two tags.
type xmlElement struct {
	path       string // names from the root down, as they are written, joined by slashes
	attributes []xml.Attr
	text       strings.Builder // what is directly inside
	interrupt  bool            // text is not all there is inside
	rescoped   bool            // it or an element around it, but not the root, has a namespace of its own
}

// walkXML calls visit with each element, at its end. It takes UTF-8 without a document type, hence without
// entities of its own; programs with and without namespaces must read the names alike, so they stay as written.
func walkXML(data []byte, visit func(*xmlElement) error) error {
	w := xmlWalk{d: xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff")))), visit: visit}
	for {
		token, err := w.d.RawToken()
		if err == io.EOF {
			return w.end()
		}
		if err == nil {
			err = w.take(token)
		}
		var syntax *xml.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("line %d: %s", syntax.Line, syntax.Msg)
		}
		if err != nil {
			line, _ := w.d.InputPos()
			return fmt.Errorf("line %d: %v", line, err)
		}
	}
}

type xmlWalk struct {
	d     *xml.Decoder
	visit func(*xmlElement) error
	open  []*xmlElement
	roots int
}

func (w *xmlWalk) end() error {
	if len(w.open) > 0 || w.roots != 1 {
		return errors.New("want one XML element with an end")
	}
	return nil
}

func (w *xmlWalk) take(token xml.Token) error {
	switch token := token.(type) {
	case xml.StartElement:
		return w.start(token)
	case xml.EndElement:
		return w.finish(rawName(token.Name))
	case xml.CharData:
		return w.text(token)
	case xml.ProcInst:
		if strings.EqualFold(token.Target, "xml") && w.d.InputOffset() != int64(len(`<?xml ?>`)+len(token.Inst)) {
			return errors.New("XML declaration in an unusual place or form")
		}
	case xml.Directive:
		return errors.New("XML with a document type")
	}
	if len(w.open) > 0 {
		w.open[len(w.open)-1].interrupt = true
	}
	return nil
}

func (w *xmlWalk) start(token xml.StartElement) error {
	e := &xmlElement{path: rawName(token.Name), attributes: slices.Clone(token.Attr)}
	scoped := slices.ContainsFunc(token.Attr, func(a xml.Attr) bool { return rawName(a.Name) == "xmlns" })
	switch n := len(w.open); {
	case n == maxXMLDepth:
		return fmt.Errorf("XML nested deeper than %d", maxXMLDepth)
	case n > 0:
		around := w.open[n-1]
		around.interrupt = true
		e.path, e.rescoped = around.path+"/"+e.path, around.rescoped || scoped
	default:
		w.roots++
	}
	if len(e.path) > maxPath {
		return fmt.Errorf("XML has names that are together longer than %d bytes", maxPath)
	}
	w.open = append(w.open, e)
	return nil
}

func (w *xmlWalk) finish(name string) error {
	n := len(w.open) - 1
	if n < 0 {
		return fmt.Errorf("XML has an end of %.40q without a beginning", name)
	}
	e := w.open[n]
	if e.path[strings.LastIndexByte(e.path, '/')+1:] != name {
		return fmt.Errorf("XML has an end of %.40q in %.40q", name, e.path)
	}
	w.open = w.open[:n]
	return w.visit(e)
}

func (w *xmlWalk) text(data xml.CharData) error {
	if n := len(w.open); n > 0 {
		w.open[n-1].text.Write(data)
		return nil
	}
	if strings.Trim(string(data), " \t\r\n") != "" {
		return errors.New("XML with text outside of its element")
	}
	return nil
}

func rawName(name xml.Name) string {
	if name.Space != "" {
		return name.Space + ":" + name.Local
	}
	return name.Local
}

// xmlTexts returns the texts of the wanted elements, which are named by their paths. Each may be there once;
// one that resembles it in spelling, or by a namespace prefix, may not.
func xmlTexts(data []byte, wanted ...string) (map[string]string, error) {
	texts := make(map[string]string)
	err := walkXML(data, func(e *xmlElement) error {
		i := slices.IndexFunc(wanted, func(path string) bool { return strings.EqualFold(path, unprefixed(e.path)) })
		if i < 0 {
			return nil
		}
		if e.path != wanted[i] || e.rescoped {
			return fmt.Errorf("%s could be taken for %s", e.path, wanted[i])
		}
		if _, twice := texts[e.path]; twice {
			return fmt.Errorf("%s is there twice", e.path)
		}
		if e.interrupt {
			return fmt.Errorf("%s has more than text in it", e.path)
		}
		texts[e.path] = e.text.String()
		return nil
	})
	return texts, err
}

// unprefixed is a path as a program sees it that knows namespaces.
func unprefixed(path string) string {
	if !strings.Contains(path, ":") {
		return path
	}
	elements := strings.Split(path, "/")
	for i, element := range elements {
		elements[i] = element[strings.LastIndexByte(element, ':')+1:]
	}
	return strings.Join(elements, "/")
}
