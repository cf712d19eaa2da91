package provenance

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// OCI images. The name is the repository with its host, the version the digest of a manifest: each platform's image, and
// the index over them, is a coordinate of its own. Tags move, so they are in no coordinate.

var (
	ociHost    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	ociSegment = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
)

// ociName wants host[:port]/path. Only the host is folded: an upper-case path is no repository. Short names such as
// alpine depend on who reads them, and are refused.
func ociName(name string) (string, error) {
	host, path, ok := strings.Cut(name, "/")
	host, err := ociAuthority(strings.ToLower(host))
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return name, errors.New("want host/path, the host with a dot or a port other than 443, such as ghcr.io/acme/tool")
	}
	if err != nil {
		return name, err
	}
	for segment := range strings.SplitSeq(path, "/") {
		if !ociSegment.MatchString(segment) {
			return name, fmt.Errorf("%q is no part of a repository's name: want lower-case letters and digits, with single . _ -", segment)
		}
	}
	switch {
	case host == "index.docker.io" || host == "registry-1.docker.io":
		return name, errors.New("write docker.io")
	case host == "docker.io" && !strings.Contains(path, "/"):
		return name, fmt.Errorf("write docker.io/library/%s", path)
	case len(host)+1+len(path) > 255:
		return name, errors.New("longer than 255 bytes")
	}
	return host + "/" + path, nil
}

// ociAuthority checks host[:port] and drops the port of https, under which the same repository has no second name.
func ociAuthority(s string) (string, error) {
	host, port, numbered := strings.Cut(s, ":")
	if !ociHost.MatchString(host) {
		return s, fmt.Errorf("%q is not a host name", host)
	}
	if !numbered {
		return host, nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
		return s, fmt.Errorf("%q is not a port", port)
	}
	if port == "443" {
		return host, nil
	}
	return s, nil
}

func ociVersion(_, version string) (string, error) {
	if !digestForm(version) {
		return version, errors.New("want the digest of the manifest, sha256: and 64 lower-case hex digits; tags are not versions")
	}
	return version, nil
}

func ociEncode(c Coordinate) (string, []string) {
	return c.path[strings.LastIndexByte(c.path, '/')+1:], []string{c.path}
}

func ociDecode(path, _ string, values []string) (name, file string, err error) {
	repository := values[0]
	if repository == "" {
		return "", "", errors.New("no repository_url: images of one name are in many registries, say in which")
	}
	if last := repository[strings.LastIndexByte(repository, '/')+1:]; path != last {
		return "", "", fmt.Errorf("name %+q is not the last part of repository_url %+q", path, repository)
	}
	return repository, "", nil
}
