package lockfile

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"countersign.dev/provenance"
)

// A digest of a file, as a lockfile has it.
type digest struct {
	algorithm string // lower-case, as in algorithms
	value     string // lower-case hex
}

// algorithms are those that lockfiles name, weakest first, with their lengths in bytes. A countersignature has only
// sha256 and sha512.
var algorithms = []struct {
	name    string
	length  int
	problem Problem
}{
	{"md5", 16, WeakDigest},
	{"sha1", 20, WeakDigest},
	{"sha224", 28, NoDigest},
	{"sha256", 32, ""},
	{"sha384", 48, NoDigest},
	{"sha512", 64, ""},
}

// fromHex and fromBase64 take a digest from its text, of exactly the length that the algorithm has.
func fromHex(algorithm, text string) (digest, error) {
	value, err := hex.DecodeString(text)
	if err != nil {
		return digest{}, fmt.Errorf("%s digest %.140q is not hex", algorithm, text)
	}
	return newDigest(algorithm, value)
}

func fromBase64(algorithm, text string) (digest, error) {
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return digest{}, fmt.Errorf("%s digest %.140q is not base64", algorithm, text)
	}
	return newDigest(algorithm, value)
}

func newDigest(algorithm string, value []byte) (digest, error) {
	i := strength(algorithm)
	if i < 0 {
		return digest{}, fmt.Errorf("digest algorithm %.40q is not known", algorithm)
	}
	if want := algorithms[i].length; len(value) != want {
		return digest{}, fmt.Errorf("%s digest has %d bytes, not %d", algorithm, len(value), want)
	}
	return digest{algorithm, hex.EncodeToString(value)}, nil
}

// strength is the place of an algorithm in algorithms, or -1.
func strength(algorithm string) int {
	for i, a := range algorithms {
		if a.name == algorithm {
			return i
		}
	}
	return -1
}

// accept adds one file that the client accepts, known by its digests. One that cannot be compared with a
// countersignature is a problem even beside others that can: the client may be content with that one.
func (e *Entry) accept(digests ...digest) {
	file := make(provenance.Digests)
	for _, d := range digests {
		switch p := algorithms[strength(d.algorithm)].problem; p {
		case "":
			file[d.algorithm] = d.value
		case WeakDigest:
			e.problem(p, "it has a %s digest, with which files can be forged", d.algorithm)
		default:
			e.problem(p, "it has a %s digest, which countersignatures do not have", d.algorithm)
		}
	}
	if len(file) > 0 {
		e.Files = append(e.Files, file)
	}
}

// acceptSRI adds the files of a Subresource Integrity text (W3C SRI, section 3.5), as npm's clients understand it:
// of several algorithms only the strongest counts, and any of its digests will do.
func (e *Entry) acceptSRI(text string) error {
	var all []digest
	for part := range strings.FieldsSeq(text) {
		algorithm, value, ok := strings.Cut(part, "-")
		if !ok {
			return fmt.Errorf("integrity %.140q is not algorithm-base64", part)
		}
		d, err := fromBase64(algorithm, value)
		if err != nil {
			return fmt.Errorf("integrity: %v", err)
		}
		all = append(all, d)
	}
	if len(all) == 0 {
		return errors.New("integrity is empty")
	}
	best := slices.MaxFunc(all, func(a, b digest) int { return strength(a.algorithm) - strength(b.algorithm) })
	for _, d := range all {
		if d.algorithm == best.algorithm {
			e.accept(d)
		}
	}
	return nil
}
