package provenance

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

var nugetLargest = strconv.Itoa(math.MaxInt32)

// nugetVersion is NuGet's normalised version in lower case, the form in which NuGet compares versions and files packages:
// three numbers or more, no leading zeros, no fourth number 0, no metadata. Labels of a prerelease keep their leading
// zeros, as in the registry's paths.
func nugetVersion(_, version string) (string, error) {
	release, metadata, described := strings.Cut(version, "+")
	if described {
		if err := semverLabels(metadata, true); err != nil {
			return version, fmt.Errorf("metadata: %v", err)
		}
	}
	core, pre, prerelease := strings.Cut(release, "-")
	core, err := nugetCore(core)
	if err != nil || !prerelease {
		return core, err
	}
	if err := semverLabels(pre, true); err != nil {
		return version, fmt.Errorf("prerelease: %v", err)
	}
	return core + "-" + strings.ToLower(pre), nil
}

func nugetCore(core string) (string, error) {
	numbers := strings.Split(core, ".")
	for i, n := range numbers {
		if !allDigits(n) {
			return core, errors.New("want up to four numbers, such as 1.2.3")
		}
		if numbers[i] = plainNumber(n); exceeds(numbers[i], nugetLargest) {
			return core, fmt.Errorf("%.30s… is larger than %s", numbers[i], nugetLargest)
		}
	}
	for len(numbers) < 3 {
		numbers = append(numbers, "0")
	}
	switch {
	case len(numbers) > 4:
		return core, errors.New("want up to four numbers, such as 1.2.3")
	case len(numbers) == 4 && numbers[3] == "0":
		numbers = numbers[:3]
	}
	return strings.Join(numbers, "."), nil
}
