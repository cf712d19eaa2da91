package lockfile

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

var composeFile = format{
	name:      "compose.yaml",
	ecosystem: "oci",
	match: called("compose.yaml", "compose.yml", "compose.*.yaml", "compose.*.yml",
		"docker-compose.yaml", "docker-compose.yml", "docker-compose.*.yaml", "docker-compose.*.yml"),
	read: readCompose,
}

// readCompose reads the images of a compose file's services: what they run, what they mount, what a Dockerfile
// within the file builds from, and what any is built with. A service that is built from a folder is an entry with a problem, since its Dockerfile
// is elsewhere, and so are files that this one includes or extends.
func readCompose(s *source) (list, error) {
	var l list
	documents, err := yamlDocuments(s.text)
	if err != nil {
		return l, err
	}
	c := composeReader{yamlReader{list: &l}}
	services := false
	for _, top := range documents {
		if top, err = c.resolve(top); err != nil {
			return l, err
		}
		services = services || at(top, "services") != nil
		if err = c.each(top, "services", c.service); err == nil {
			err = c.includes(top, "include")
		}
		if err != nil {
			return l, err
		}
	}
	if !services {
		return l, errors.New("it has no services: not a compose file")
	}
	return l, nil
}

type composeReader struct{ yamlReader }

func (c *composeReader) service(service *yaml.Node) error {
	reference, err := c.lookup(service, "image")
	if err == nil && reference != nil {
		err = c.image(reference)
	}
	if err == nil {
		err = c.build(service)
	}
	if err == nil {
		err = c.each(service, "volumes", c.volume)
	}
	if err != nil {
		return err
	}
	extends, err := c.lookup(service, "extends")
	if err != nil || extends == nil {
		return err
	}
	return c.includes(extends, "file") // by default it is this one
}

// build reads what the service's image is made from, if it is: a folder, or that and how.
func (c *composeReader) build(service *yaml.Node) error {
	build, err := c.lookup(service, "build")
	if err != nil || build == nil {
		return err
	}
	if err := c.each(build, "additional_contexts", c.context); err != nil {
		return err
	}
	inline, err := c.lookup(build, "dockerfile_inline")
	switch {
	case err != nil:
		return err
	case inline == nil:
		return c.elsewhere(build, "it is built from a folder: check the Dockerfile there")
	case inline.Kind != yaml.ScalarNode:
		return fmt.Errorf("line %d: dockerfile_inline: want text", inline.Line)
	}
	line := inline.Line
	if inline.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		line++ // below the | or >
	}
	return c.list.addDockerfile(inline.Value, line)
}

// context reads what a Dockerfile finds under a name, even under that of an image: another image, a service's, which is
// read as such, or a place.
func (c *composeReader) context(place *yaml.Node) error {
	if place.Kind != yaml.ScalarNode || place.Style&yaml.TaggedStyle != 0 {
		return fmt.Errorf("line %d: additional_contexts: want text", place.Line)
	}
	name, value, list := strings.Cut(place.Value, "=")
	if !list {
		value = name
	}
	if reference, ok := strings.CutPrefix(value, "docker-image://"); ok {
		return c.image(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: reference, Line: place.Line})
	}
	switch {
	case strings.HasPrefix(value, "service:"):
		return nil
	case !strings.Contains(value, ":"):
		return c.elsewhere(place, "it is built with another folder")
	}
	e := Entry{Name: value, Line: place.Line}
	e.problem(FromURL, "it is built with what is there")
	return c.list.add(e)
}

// volume reads a volume that is an image.
func (c *composeReader) volume(volume *yaml.Node) error {
	kind, err := c.lookup(volume, "type")
	switch {
	case err != nil || kind == nil:
		return err
	case kind.Style&yaml.TaggedStyle != 0:
		return fmt.Errorf("line %d: a type with a tag, by which it may be another", kind.Line)
	case kind.Value != "image":
		return nil
	}
	reference, err := c.lookup(volume, "source")
	switch {
	case err != nil:
		return err
	case reference == nil:
		return fmt.Errorf("line %d: a volume of type image without a source", volume.Line)
	}
	return c.image(reference)
}

// includes reports other files that are part of this one.
func (c *composeReader) includes(n *yaml.Node, key string) error {
	included, err := c.lookup(n, key)
	if err != nil || included == nil {
		return err
	}
	return c.elsewhere(included, "more of it is in another file: check that too")
}

func (c *composeReader) elsewhere(n *yaml.Node, detail string) error {
	e := Entry{Name: cmp.Or(textAt(n), textAt(n, "context"), "another file"), Line: n.Line}
	e.problem(FromPath, "%s", detail)
	return c.list.add(e)
}
