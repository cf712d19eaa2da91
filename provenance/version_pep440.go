package provenance

import (
	"errors"
	"regexp"
	"strings"
)

// pep440 is the grammar of PEP 440 with all its alternative spellings, for lower-case text.
var pep440 = regexp.MustCompile(`^v?` +
	`(?:(?P<epoch>[0-9]+)!)?` +
	`(?P<release>[0-9]+(?:\.[0-9]+)*)` +
	`(?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<preN>[0-9]+)?)?` +
	`(?:-(?P<postOnly>[0-9]+)|[-_.]?(?P<post>post|rev|r)[-_.]?(?P<postN>[0-9]+)?)?` +
	`(?:[-_.]?(?P<dev>dev)[-_.]?(?P<devN>[0-9]+)?)?` +
	`(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

var pep440Pre = map[string]string{
	"alpha": "a", "a": "a", "beta": "b", "b": "b", "preview": "rc", "pre": "rc", "c": "rc", "rc": "rc",
}

// pypiVersion is the version as PEP 440 normalises it, and without trailing zeros of the release, by which installers
// find it: 1.0.0 and 1 are one version. One for which there are two spellings on the index is never two versions.
func pypiVersion(_, version string) (string, error) {
	m := pep440.FindStringSubmatch(strings.ToLower(version))
	if m == nil {
		return version, errors.New("is no version by PEP 440")
	}
	group := func(name string) string { return m[pep440.SubexpIndex(name)] }
	var b strings.Builder
	if epoch := group("epoch"); plainNumber(epoch) != "0" {
		b.WriteString(plainNumber(epoch) + "!")
	}
	b.WriteString(pep440Release(group("release")))
	if pre := group("pre"); pre != "" {
		b.WriteString(pep440Pre[pre] + plainNumber(group("preN")))
	}
	if group("postOnly") != "" || group("post") != "" {
		b.WriteString(".post" + plainNumber(group("postOnly")+group("postN")))
	}
	if group("dev") != "" {
		b.WriteString(".dev" + plainNumber(group("devN")))
	}
	if local := group("local"); local != "" {
		b.WriteString("+" + pep440Local(local))
	}
	return b.String(), nil
}

func pep440Release(release string) string {
	numbers := strings.Split(release, ".")
	for i := range numbers {
		numbers[i] = plainNumber(numbers[i])
	}
	for len(numbers) > 1 && numbers[len(numbers)-1] == "0" {
		numbers = numbers[:len(numbers)-1]
	}
	return strings.Join(numbers, ".")
}

func pep440Local(local string) string {
	parts := strings.FieldsFunc(local, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	for i, part := range parts {
		if allDigits(part) {
			parts[i] = plainNumber(part)
		}
	}
	return strings.Join(parts, ".")
}
