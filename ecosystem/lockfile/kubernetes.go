package lockfile

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// kubernetesManifest is any YAML file, so it is read as one if somebody names it only.
var kubernetesManifest = format{
	name:      "Kubernetes manifest",
	ecosystem: "oci",
	match:     called("*.yaml", "*.yml"),
	named:     true,
	read:      readKubernetes,
}

// readKubernetes reads the images in a file of Kubernetes objects, however deep: in a Pod, in what makes Pods, in a List,
// in a custom resource of whatever kind. An image is the text under a key "image", as of a container, or under
// "reference" below such a key, as of a volume. What a program puts in when it applies the file, Kustomize's images or a
// defaulting webhook, is not in it.
func readKubernetes(s *source) (list, error) {
	var l list
	documents, err := yamlDocuments(s.text)
	if err != nil {
		return l, err
	}
	k := kubernetesReader{yamlReader{list: &l}, make(map[*yaml.Node]bool)}
	objects := 0
	for _, top := range documents {
		if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
			continue // between two ---
		}
		if textAt(top, "apiVersion") == "" || textAt(top, "kind") == "" {
			return l, fmt.Errorf("line %d: it has no apiVersion or kind: not a Kubernetes object", top.Line)
		}
		objects++
		if kind := textAt(top, "kind"); kind == "ConfigMap" || kind == "Secret" {
			continue // whose keys mean what they do to a program
		}
		if err := k.walk(top, 0); err != nil {
			return l, err
		}
	}
	if objects == 0 {
		return l, errors.New("there are no Kubernetes objects")
	}
	return l, nil
}

type kubernetesReader struct {
	yamlReader
	seen map[*yaml.Node]bool // images
}

// walk looks for images in n and below.
func (k *kubernetesReader) walk(n *yaml.Node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("line %d: nested deeper than %d, aliases written out", n.Line, maxDepth)
	}
	n, err := k.resolve(n)
	if err != nil {
		return err
	}
	if err := k.imageOf(n); err != nil {
		return err
	}
	for _, child := range n.Content {
		if err := k.walk(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// imageOf adds the image that n has, once for all aliases of it. Patches may have an image that is null.
func (k *kubernetesReader) imageOf(n *yaml.Node) error {
	found, err := k.lookup(n, "image")
	if err != nil || found == nil || found.Tag == "!!null" || k.seen[found] {
		return err
	}
	k.seen[found] = true
	if found.Kind != yaml.MappingNode {
		return k.image(found)
	}
	reference, err := k.lookup(found, "reference") // of a volume
	if err != nil {
		return err
	}
	if reference != nil {
		return k.image(reference)
	}
	repository, err := k.lookup(found, "repository")
	if err != nil || repository == nil {
		return err
	}
	e := Entry{Name: repository.Value, Line: repository.Line}
	e.problem(NotLocked, "a program puts the reference together: write it out, with its digest, where it is used")
	return k.list.add(e)
}
