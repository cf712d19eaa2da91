package provenance

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Versions of the ecosystems that use Semantic Versioning 2.0.0: npm, Cargo, Hex, and Go with its "v".

var (
	npmLargest   = strconv.Itoa(1<<53 - 1)
	cargoLargest = strconv.FormatUint(math.MaxUint64, 10)
)

// npmVersion drops what npm drops when it publishes: a "v" or "=" in front and the build metadata.
func npmVersion(_, version string) (string, error) {
	release, _, err := splitSemver(strings.TrimLeft(version, "=v"), npmLargest)
	return release, err
}

// cargoVersion drops the build metadata: versions that differ in nothing else cannot both be published.
func cargoVersion(_, version string) (string, error) {
	release, _, err := splitSemver(version, cargoLargest)
	return release, err
}

func hexVersion(_, version string) (string, error) {
	release, build, err := splitSemver(version, "")
	if err == nil && build != "" {
		err = errors.New("hex has no build metadata (+)")
	}
	return release, err
}

// goVersion wants a full version as go.mod has it, of the path's major version. The suffix +incompatible is the only one
// there is, and only where the path could say no major version but v2 or later has none.
func goVersion(path, version string) (string, error) {
	if err := module.Check(path, version); err != nil {
		return version, err
	}
	if module.CanonicalVersion(version) != version {
		return version, errors.New("want the full version as in go.mod, v1.2.3 or a pseudo-version")
	}
	if strings.HasSuffix(version, "+incompatible") {
		_, major, _ := module.SplitPathVersion(path)
		if v := semver.Major(version); major != "" || v == "v0" || v == "v1" {
			return version, errors.New("+incompatible is for v2 and later of a module without a major version in its path")
		}
	}
	return version, nil
}

// splitSemver checks a semantic version and parts it from its build metadata. No number exceeds largest, if given.
func splitSemver(version, largest string) (release, build string, err error) {
	release, build, built := strings.Cut(version, "+")
	core, pre, prerelease := strings.Cut(release, "-")
	if err = semverCore(core, largest); err != nil {
		return version, "", err
	}
	if prerelease {
		if err = semverLabels(pre, false); err != nil {
			return version, "", fmt.Errorf("prerelease: %v", err)
		}
	}
	if built {
		if err = semverLabels(build, true); err != nil {
			return version, "", fmt.Errorf("build metadata: %v", err)
		}
	}
	return release, build, nil
}

func semverCore(core, largest string) error {
	numbers := 0
	for n := range strings.SplitSeq(core, ".") {
		numbers++
		switch {
		case !allDigits(n) || n != plainNumber(n):
			return errors.New("want three numbers without leading zeros, such as 1.2.3")
		case largest != "" && exceeds(n, largest):
			return fmt.Errorf("%.30s… is larger than %s", n, largest)
		}
	}
	if numbers != 3 {
		return errors.New("want three numbers, such as 1.2.3")
	}
	return nil
}

// semverLabels checks what follows the "-" or "+": labels with dots between them.
func semverLabels(s string, leadingZeros bool) error {
	for label := range strings.SplitSeq(s, ".") {
		if err := only(label, "-"); err != nil {
			return err
		}
		if !leadingZeros && allDigits(label) && label != plainNumber(label) {
			return fmt.Errorf("number %s has a leading zero", label)
		}
	}
	return nil
}
