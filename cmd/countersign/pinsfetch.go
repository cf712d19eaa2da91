package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"countersign.dev/provenance"
)

// fetchTimeout is for the whole of a request that a person waits for.
const fetchTimeout = 30 * time.Second

// publicURL reads the address of a public listener. What comes from there is verified whoever sent it, but somebody on
// the way could hold back what is new: plain http is for this machine only.
func publicURL(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	case u.Scheme == "http":
		return nil, hint(misused("--from %q is not protected on the way", base), "use https; http is for a mirror on this machine")
	}
	return nil, hint(misused("--from %q is not an https URL", base), "for example https://registry.example")
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// fetchIdentity asks a public listener for the identity of a registry.
func fetchIdentity(base, registry string) (*provenance.Chain, error) {
	u, err := publicURL(base)
	if err != nil {
		return nil, err
	}
	u = u.JoinPath(registry, "identity")
	client := &http.Client{Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(u.String())
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, hint(fmt.Errorf("fetch %s: %w", u, err), "--identity takes a file that you got in another way")
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode/100 == 3:
		return nil, hint(fmt.Errorf("fetch %s: the answer is %s, which leads elsewhere", u, response.Status), "if that is right, give that place with --from: %.200s",
			response.Header.Get("Location"))
	case response.StatusCode != http.StatusOK:
		return nil, hint(fmt.Errorf("fetch %s: the answer is %s", u, response.Status), "is %s a public listener for %s?", base, registry)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, provenance.MaxBundle+1))
	if err != nil {
		return nil, fmt.Errorf("fetch %s: the answer broke off: %w", u, err)
	}
	return parseIdentity(u.String(), data)
}

// registryName is the host that somebody meant.
func registryName(s string) (string, error) {
	if err := provenance.CheckRegistry(s); err != nil {
		err = misuse{err}
		if u, bad := url.Parse(s); bad == nil && strings.Contains(s, "://") {
			return "", hint(err, "a registry is named by its host alone, such as %s", u.Hostname())
		}
		return "", err
	}
	return s, nil
}
