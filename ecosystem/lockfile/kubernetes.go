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

// readKubernetes reads the images of the containers in a file of Kubernetes objects, however deep: in a Pod, in what
// makes Pods, in a List, in a custom resource with a Pod's template. The images that are mounted as volumes are read
// too. What a program puts in when it applies the file, Kustomize's images or a defaulting webhook, is not in it.
func readKubernetes(s *source) (list, error) {
	var l list
	documents, err := yamlDocuments(s.text)
	if err != nil {
		return l, err
	}
	k := kubernetesReader{yamlReader{list: &l}}
	objects := 0
	for _, top := range documents {
		if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
			continue // between two ---
		}
		if textAt(top, "apiVersion") == "" || textAt(top, "kind") == "" {
			return l, fmt.Errorf("line %d: it has no apiVersion or kind: not a Kubernetes object", top.Line)
		}
		objects++
		if err := k.walk(top, 0); err != nil {
			return l, err
		}
	}
	if objects == 0 {
		return l, errors.New("there are no Kubernetes objects")
	}
	return l, nil
}

type kubernetesReader struct{ yamlReader }

// walk looks for containers in n and below.
func (k *kubernetesReader) walk(n *yaml.Node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("line %d: nested deeper than %d, aliases written out", n.Line, maxDepth)
	}
	n, err := k.resolve(n)
	if err != nil {
		return err
	}
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		if err := k.each(n, list, k.container); err != nil {
			return err
		}
	}
	if err := k.each(n, "volumes", k.volume); err != nil {
		return err
	}
	for _, child := range n.Content {
		if err := k.walk(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// container reads what a container runs. Without an image it is part of a patch.
func (k *kubernetesReader) container(container *yaml.Node) error {
	reference, err := k.lookup(container, "image")
	if err != nil || reference == nil {
		return err
	}
	return k.image(reference)
}

func (k *kubernetesReader) volume(volume *yaml.Node) error {
	mounted, err := k.lookup(volume, "image")
	if err != nil || mounted == nil {
		return err
	}
	reference, err := k.lookup(mounted, "reference")
	if err != nil || reference == nil {
		return err
	}
	return k.image(reference)
}
