package lockfile

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// maxYAMLWork bounds the values that are looked at. Each is so several times, and aliases of aliases could stand for
// any number.
const maxYAMLWork = 16 * maxNodes

// A yamlReader finds images in YAML that people write, with anchors, aliases and merge keys.
type yamlReader struct {
	list *list
	work int // values looked at
}

// resolve returns what an alias stands for. It has to be called with every node that is looked into.
func (y *yamlReader) resolve(n *yaml.Node) (*yaml.Node, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if y.work += 1 + len(n.Content); y.work > maxYAMLWork {
		return nil, fmt.Errorf("line %d: more than %d values, aliases written out", n.Line, maxNodes)
	}
	return n, nil
}

// lookup returns the value that a mapping has for a key, itself or from what it merges; nil if it has none or is no
// mapping.
func (y *yamlReader) lookup(n *yaml.Node, key string) (*yaml.Node, error) {
	return y.merged(n, key, 0)
}

func (y *yamlReader) merged(n *yaml.Node, key string, depth int) (*yaml.Node, error) {
	n, err := y.resolve(n)
	if err != nil || n.Kind != yaml.MappingNode && n.Kind != yaml.SequenceNode {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("line %d: merged deeper than %d", n.Line, maxDepth)
	}
	from := n.Content
	if n.Kind == yaml.MappingNode {
		value, merge, late := own(n, key)
		if value != nil && !late {
			return y.resolve(value)
		}
		if value != nil {
			return y.disputed(value, merge, key, depth)
		}
		if from = nil; merge != nil {
			from = []*yaml.Node{merge}
		}
	} else if depth == 0 {
		return nil, nil // a list is no mapping, but several may be merged
	}
	for _, other := range from {
		if value, err := y.merged(other, key, depth+1); err != nil || value != nil {
			return value, err
		}
	}
	return nil, nil
}

// own returns the value that a mapping itself has for a key, and what it merges; late says that it does so behind it.
func own(n *yaml.Node, key string) (value, merge *yaml.Node, late bool) {
	for k, v := range pairs(n) {
		switch {
		case k.Tag == "!!merge":
			merge, late = v, value != nil
		case k.Value == key:
			value = v
		}
	}
	return value, merge, late
}

// disputed is the value of a key in front of a merge key, unless what is merged has the key too: then the later of the
// two wins in some programs, and the mapping's own in others.
func (y *yamlReader) disputed(value, merge *yaml.Node, key string, depth int) (*yaml.Node, error) {
	other, err := y.merged(merge, key, depth+1)
	if err == nil && other != nil {
		err = fmt.Errorf("line %d: %s is merged from elsewhere too, by a merge key behind it: put that in front", value.Line, key)
	}
	if err != nil {
		return nil, err
	}
	return y.resolve(value)
}

// each calls visit with every value of the mapping or list that n has for a key, in the order of the file.
func (y *yamlReader) each(n *yaml.Node, key string, visit func(*yaml.Node) error) error {
	all, err := y.lookup(n, key)
	if err != nil || all == nil {
		return err
	}
	values := all.Content
	if all.Kind == yaml.MappingNode {
		values = nil
		for name, value := range pairs(all) {
			if name.Value == "<<" {
				return fmt.Errorf("line %d: a merge key in %s: write out what it merges", name.Line, key)
			}
			values = append(values, value)
		}
	}
	for _, value := range values {
		value, err := y.resolve(value)
		if err == nil {
			err = visit(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// image adds the image that a text refers to.
func (y *yamlReader) image(reference *yaml.Node) error {
	if reference.Kind != yaml.ScalarNode || reference.Value == "" || !slices.Contains([]string{"!!str", "!"}, reference.Tag) {
		return fmt.Errorf("line %d: image: want text", reference.Line)
	}
	e, err := image(reference.Value, reference.Line)
	if err != nil {
		return fmt.Errorf("line %d: %v", reference.Line, err)
	}
	return y.list.add(e)
}
