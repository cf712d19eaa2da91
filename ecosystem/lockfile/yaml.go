package lockfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlDocuments parses YAML into its documents' top nodes. A key that is there twice is an error.
func yamlDocuments(text []byte) ([]*yaml.Node, error) {
	if err := checkSize(text, yamlNodes(text)); err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var documents []*yaml.Node
	for {
		var document yaml.Node
		err := d.Decode(&document)
		if err == io.EOF {
			return documents, nil
		}
		if err != nil {
			return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
		}
		for _, top := range document.Content {
			if err := checkNode(top, 0); err != nil {
				return nil, err
			}
			documents = append(documents, top)
		}
	}
}

// plainYAML parses what a program wrote: documents without anchors, aliases, tags and merge keys. Characters that end
// a line in some versions of YAML only are an error.
func plainYAML(text []byte) ([]*yaml.Node, error) {
	if i := bytes.IndexAny(text, "\u0085\u2028\u2029"); i >= 0 {
		return nil, fmt.Errorf("line %d: a character that ends the line for some YAML parsers only", 1+bytes.Count(text[:i], []byte("\n")))
	}
	documents, err := yamlDocuments(text)
	if err != nil {
		return nil, err
	}
	if len(documents) == 0 {
		return nil, errors.New("it is empty")
	}
	for _, document := range documents {
		if err := checkPlain(document); err != nil {
			return nil, err
		}
	}
	return documents, nil
}

// checkSize refuses what would take a parser that keeps everything more memory than it is worth.
func checkSize(text []byte, nodes int) error {
	if len(text) > maxTree {
		return fmt.Errorf("larger than %d MiB", maxTree>>20)
	}
	if nodes > maxNodes {
		return fmt.Errorf("more than %d values", maxNodes)
	}
	return nil
}

// yamlNodes is about how many keys and values the text has, or more.
func yamlNodes(text []byte) int {
	n := 0
	for i, c := range text {
		switch c {
		case '\n', ',', '[', '{':
			n++
		case '-', '?':
			if i+1 < len(text) && strings.IndexByte(" \t\r\n", text[i+1]) >= 0 {
				n++
			}
		}
	}
	return n
}

// checkNode holds a node to what any document may have.
func checkNode(n *yaml.Node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("line %d: nested deeper than %d", n.Line, maxDepth)
	}
	if n.Kind == yaml.MappingNode {
		lines := make(map[string]int, len(n.Content)/2)
		for key := range pairs(n) {
			switch before := lines[key.Value]; {
			case key.Kind == yaml.ScalarNode && key.Style&yaml.TaggedStyle != 0:
				return fmt.Errorf("line %d: key %.100q has a tag, by which it may be another", key.Line, key.Value)
			case key.Kind != yaml.ScalarNode:
				return fmt.Errorf("line %d: a key that is not plain text", key.Line)
			case before > 0:
				return fmt.Errorf("line %d: key %.100q is there already, in line %d", key.Line, key.Value, before)
			}
			lines[key.Value] = key.Line
		}
	}
	for _, child := range n.Content {
		if err := checkNode(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func checkPlain(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 || n.Tag == "!!merge" {
		return fmt.Errorf("line %d: an anchor, alias, tag or merge key, which no package manager writes here", n.Line)
	}
	for _, child := range n.Content {
		if err := checkPlain(child); err != nil {
			return err
		}
	}
	return nil
}

// pairs are the keys and values of a mapping; none if n is something else, or nil.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// at is the value that keys lead to from n, nil if there is none.
func at(n *yaml.Node, keys ...string) *yaml.Node {
	for _, want := range keys {
		var next *yaml.Node
		for key, value := range pairs(n) {
			if key.Value == want {
				next = value
			}
		}
		n = next
	}
	return n
}

// textAt is the text there; "" if there is none, or no text.
func textAt(n *yaml.Node, keys ...string) string {
	if n = at(n, keys...); n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}
