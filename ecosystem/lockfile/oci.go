package lockfile

import (
	"regexp"
	"strings"
)

var (
	imageTag    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	otherDigest = regexp.MustCompile(`^[a-z0-9]+([+._-][a-z0-9]+)*:[A-Za-z0-9=_-]{32,}$`)
)

// scratch is what Dockerfiles call no image at all.
const scratch = "scratch"

// image is the entry of an image reference, [host/]path[:tag][@digest], as Docker, Compose and Kubernetes write it.
// Only the digest says which image it is; a tag beside it is for people. It fails on a digest that is none.
func image(reference string, line int) (Entry, error) {
	fixed, _, variable := strings.Cut(reference, "$")
	name, value, digested := strings.Cut(fixed, "@")
	name, tag, tagged := cutTag(name)
	e := Entry{Name: imageName(name), Line: line}
	if variable {
		if !digested && !tagged {
			e.Name = reference
		}
		e.problem(NotLocked, "a variable in %.200q makes it another image each time: write out the reference with its digest", reference)
		return e, nil
	}
	if tagged && !imageTag.MatchString(tag) {
		e.problem(BadName, "tag %.140q is none", tag)
	}
	algorithm, digits, _ := strings.Cut(value, ":")
	switch {
	case !digested:
		e.problem(NoDigest, "a tag moves: write %s@sha256:…, as docker buildx imagetools inspect shows it", reference)
		return e, nil
	case algorithm != "sha256" && otherDigest.MatchString(value):
		e.problem(NoDigest, "countersignatures of images have their sha256 digest, not %s", algorithm)
		return e, nil
	}
	sum, err := fromHex(algorithm, digits)
	if err != nil {
		return e, err
	}
	e.is("oci", e.Name, value)
	e.accept(sum)
	return e, nil
}

// cutTag parts a tag from the name. What a colon in front of a slash begins is a port.
func cutTag(name string) (path, tag string, tagged bool) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 || i < strings.LastIndexByte(name, '/') {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

// imageName writes out a name as Docker does: without a host it is on Docker Hub, where a name without a slash is one
// of its own. A host has a dot or port in it, or is localhost.
func imageName(name string) string {
	host, path, ok := strings.Cut(name, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" && host == strings.ToLower(host) {
		host, path = "docker.io", name
	}
	if host == "index.docker.io" {
		host = "docker.io"
	}
	if host == "docker.io" && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	return host + "/" + path
}
