package provenance_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"countersign.dev/provenance"
)

// maker makes random files of an ecosystem: the canonical name, version and file, put together from parts that need no
// canonicalising, and a second spelling that the ecosystem holds to be the same.
type maker func(r *rand.Rand) (canonical, other in)

// TestCoordinateProperties: every spelling of a file gives the same coordinate, and no two files share one. Names and
// versions are drawn from so few parts that near misses are frequent.
func TestCoordinateProperties(t *testing.T) {
	for ecosystem, draw := range map[string]maker{
		"npm": makeNPM, "cargo": makeCargo, "hex": makeHex, "pypi": makePyPI,
		"golang": makeGo, "nuget": makeNuGet, "maven": makeMaven, "oci": makeOCI,
	} {
		t.Run(ecosystem, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			files := map[string]in{}
			for range 4000 {
				canonical, other := draw(r)
				c, err := provenance.NewCoordinate(ecosystem, canonical[0], canonical[1], canonical[2])
				if err != nil {
					t.Fatalf("%q: %v", canonical, err)
				}
				if got := (in{c.Name(), c.Version(), c.FileName()}); got != canonical {
					t.Fatalf("canonical parts %q become %q", canonical, got)
				}
				same, err := provenance.NewCoordinate(ecosystem, other[0], other[1], other[2])
				if err != nil || same != c {
					t.Fatalf("%q and %q give %s and %s, %v", canonical, other, c, same, err)
				}
				if file, ok := files[c.String()]; ok && file != canonical {
					t.Fatalf("%q and %q are both %s", file, canonical, c)
				}
				files[c.String()] = canonical
				wellFormed(t, c)
			}
			if len(files) < 200 {
				t.Errorf("only %d different files", len(files))
			}
		})
	}
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// some joins one to most parts with separators drawn from seps.
func some(r *rand.Rand, most int, seps, parts []string) string {
	s := pick(r, parts...)
	for range r.IntN(most) {
		s += pick(r, seps...) + pick(r, parts...)
	}
	return s
}

// recase changes the case of letters at random.
func recase(r *rand.Rand, s string) string {
	return strings.Map(func(c rune) rune {
		if r.IntN(2) == 0 {
			return []rune(strings.ToUpper(string(c)))[0]
		}
		return []rune(strings.ToLower(string(c)))[0]
	}, s)
}

func zeros(r *rand.Rand) string { return strings.Repeat("0", r.IntN(3)) }

var numbers = []string{"0", "1", "2", "10", "11"}

func semanticVersion(r *rand.Rand) string {
	v := pick(r, numbers...) + "." + pick(r, numbers...) + "." + pick(r, numbers...)
	if r.IntN(2) == 0 {
		v += "-" + some(r, 3, []string{".", "-"}, []string{"a", "A", "rc1", "1", "x-1"})
	}
	return v
}

func metadata(r *rand.Rand) string { return pick(r, "", "+1", "+x.01", "+a-b.c") }

func makeNPM(r *rand.Rand) (canonical, other in) {
	part := func() string { return some(r, 3, []string{"-", ".", "_", "~", ""}, []string{"a", "A", "b", "0"}) }
	name := part()
	if r.IntN(2) == 0 {
		name = "@" + part() + "/" + part()
	}
	version := semanticVersion(r)
	return in{name, version}, in{name, pick(r, "", "v", "=") + version + metadata(r)}
}

func makeCargo(r *rand.Rand) (canonical, other in) {
	name := pick(r, "a", "b") + some(r, 4, []string{"-", ""}, []string{"a", "b", "0"})
	version := semanticVersion(r)
	underscored := strings.Map(func(c rune) rune {
		if c == '-' && r.IntN(2) == 0 {
			return '_'
		}
		return c
	}, name)
	return in{name, version}, in{recase(r, underscored), version + metadata(r)}
}

func makeHex(r *rand.Rand) (canonical, other in) {
	pkg := pick(r, "a", "b") + some(r, 4, []string{"_", ""}, []string{"a", "A", "0"})
	version := semanticVersion(r)
	if r.IntN(2) == 0 {
		return in{pkg, version}, in{"hexpm/" + pkg, version}
	}
	name := some(r, 2, []string{"_", "-"}, []string{"a", "acme", "0"}) + "/" + pkg
	return in{name, version}, in{"hexpm:" + name, version}
}

func makePyPI(r *rand.Rand) (canonical, other in) {
	words := strings.Split(some(r, 4, []string{"-"}, []string{"a", "b", "0"}), "-")
	spelledName := recase(r, words[0])
	for _, w := range words[1:] {
		spelledName += pick(r, "-", "_", ".", "--", "_.-") + recase(r, w)
	}
	version, spelledVersion := pythonVersion(r)
	file := spelledName + "-" + spelledVersion + pick(r, ".tar.gz", ".zip")
	if r.IntN(2) == 0 {
		wheel := strings.ReplaceAll(strings.ReplaceAll(spelledName, "-", "_"), "__", "_")
		file = wheel + "-" + version + pick(r, "", "-1", "-2b") + "-py3-none-" + pick(r, "any", "win_amd64") + ".whl"
	}
	return in{strings.Join(words, "-"), version, file}, in{spelledName, spelledVersion, file}
}

func pythonVersion(r *rand.Rand) (canonical, other string) {
	if r.IntN(4) == 0 {
		canonical, other = "1!", zeros(r)+"1!"
	}
	release := pick(r, "1", "2", "1.2", "1.0.1", "0", "10", "0.1")
	canonical, other = canonical+release, other+zeros(r)+release+strings.Repeat(".0", r.IntN(3))
	sep := func() string { return pick(r, "", ".", "-", "_") }
	if r.IntN(2) == 0 {
		n := pick(r, "0", "1", "2")
		canonical, other = canonical+"rc"+n, other+sep()+recase(r, pick(r, "c", "rc", "pre", "preview"))+sep()+zeros(r)+n
	}
	if r.IntN(2) == 0 {
		n := pick(r, "0", "1", "2")
		canonical, other = canonical+".post"+n, other+pick(r, "-"+n, sep()+recase(r, pick(r, "post", "rev", "r"))+sep()+n)
	}
	if r.IntN(2) == 0 {
		canonical, other = canonical+".dev0", other+sep()+"dev"+pick(r, "", "0", "00")
	}
	if r.IntN(2) == 0 {
		canonical, other = canonical+"+x.1", other+"+"+recase(r, "x")+pick(r, ".", "-", "_")+zeros(r)+"1"
	}
	return canonical, other
}

func makeGo(r *rand.Rand) (canonical, other in) {
	path := pick(r, "acme.dev", "github.com/a", "github.com/A") + "/" + some(r, 3, []string{"/", "-", "."}, []string{"a", "A", "b"})
	major := r.IntN(4)
	version := "v" + strconv.Itoa(major) + "." + pick(r, numbers...) + "." + pick(r, "0", "1-rc.1", "1-0.20260101120000-0123456789ab")
	if major > 1 {
		if r.IntN(2) == 0 {
			version += "+incompatible"
		} else {
			path += "/v" + strconv.Itoa(major)
		}
	}
	return in{path, version}, in{path, version}
}

func makeNuGet(r *rand.Rand) (canonical, other in) {
	name := some(r, 4, []string{".", "-", "_", ""}, []string{"a", "b", "0"})
	release := []string{pick(r, numbers...), pick(r, numbers...), pick(r, numbers...)}
	spelled := zeros(r) + release[0] + "." + zeros(r) + release[1] + "." + zeros(r) + release[2]
	switch r.IntN(4) {
	case 0:
		spelled += "." + pick(r, "0", "00")
	case 1:
		release = append(release, "1")
		spelled += ".01"
	case 2:
		release[2], spelled = "0", release[0]+"."+release[1]
	}
	version := strings.Join(release, ".")
	if r.IntN(2) == 0 {
		labels := some(r, 3, []string{".", "-"}, []string{"a", "beta", "1", "01"})
		version, spelled = version+"-"+labels, spelled+"-"+recase(r, labels)
	}
	return in{name, version}, in{recase(r, name), spelled + metadata(r)}
}

func makeMaven(r *rand.Rand) (canonical, other in) {
	parts := []string{"a", "A", "b", "1"}
	artifact := some(r, 3, []string{"-", ".", "_"}, parts)
	name := some(r, 3, []string{"."}, parts) + ":" + artifact
	version := some(r, 3, []string{".", "-", "+"}, []string{"1", "0", "RC", "a"})
	file := artifact + "-" + version
	if r.IntN(2) == 0 {
		file += "-" + some(r, 3, []string{".", "-"}, []string{"a", "tar", "1", "sources"})
	}
	file += "." + pick(r, "jar", "pom", "tar.gz", "gz", "json")
	if file == artifact+"-"+version+".jar" {
		return in{name, version, file}, in{name, version}
	}
	return in{name, version, file}, in{strings.Replace(name, ":", "/", 1), version, file}
}

func makeOCI(r *rand.Rand) (canonical, other in) {
	host, otherHost := pick(r, "localhost", "a.b", "ghcr.io"), ""
	switch r.IntN(3) {
	case 0:
		host += ":5000"
		otherHost = host
	case 1:
		otherHost = host + ":443"
	default:
		otherHost = host
	}
	if host != "localhost" {
		otherHost = recase(r, otherHost)
	}
	path := "/" + some(r, 4, []string{"/", ".", "_", "__", "-", "--"}, []string{"a", "b", "0"})
	digest := pick(r, digestA, digestB)
	return in{host + path, digest}, in{otherHost + path, digest}
}
