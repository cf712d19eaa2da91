package lockfile

import (
	"errors"
	"fmt"
	"slices"

	"countersign.dev/provenance"
)

var mixLock = format{
	name:      "mix.lock",
	ecosystem: "hex",
	match:     called("mix.lock"),
	read:      readMixLock,
}

// readMixLock reads mix.lock. What Hex locks is
//
//	{:hex, :name, "version", "inner checksum", [managers], [requirements], "repository", "outer checksum"}
//
// Older clients wrote a beginning of that, which the newer ones still take: with only the inner checksum, or none.
func readMixLock(s *source) (list, error) {
	var l list
	seen := make(map[string]int)
	err := elixirMap(string(s.text), func(key string, line int, value elixirTerm) error {
		if before, twice := seen[key]; twice {
			return fmt.Errorf("%.100q is there twice, first in line %d", key, before)
		}
		seen[key] = line
		e := Entry{Name: key, Line: line}
		if err := e.readMix(value); err != nil {
			return fmt.Errorf("%.100q: %v", key, err)
		}
		return l.add(e)
	})
	return l, err
}

func (e *Entry) readMix(value elixirTerm) error {
	if value.kind != elixirTuple || len(value.items) < 2 {
		return errors.New("want a tuple, as Mix writes it")
	}
	manager, ok := value.items[0].plain(elixirAtom)
	if !ok {
		return errors.New("want a tuple that begins with :hex or :git")
	}
	if manager == "hex" {
		return e.readHex(value.items)
	}
	if e.Source, ok = value.items[1].plain(elixirString); !ok {
		return fmt.Errorf("want a string behind :%s", manager)
	}
	switch manager {
	case "git":
		e.problem(FromGit, "it comes from a git repository, not from Hex")
	case "path":
		e.problem(FromPath, "it comes from a folder, not from Hex")
	default:
		e.problem(FromURL, "it is fetched by :%s, not from Hex", manager)
	}
	return nil
}

func (e *Entry) readHex(items []elixirTerm) error {
	if !slices.Contains([]int{3, 5, 6, 7, 8}, len(items)) {
		return fmt.Errorf("a tuple of %d elements is not what Hex writes: 3, or 5 to 8", len(items))
	}
	name, named := items[1].plain(elixirAtom)
	version, versioned := items[2].plain(elixirString)
	if !named || !versioned {
		return errors.New("want the name as an atom and the version as a string, without escapes")
	}
	e.Source = "hexpm"
	if len(items) > 6 {
		var ok bool
		if e.Source, ok = items[6].plain(elixirString); !ok || e.Source == "" {
			return errors.New("want the repository as a string")
		}
	}
	e.is("hex", e.Source+"/"+name, version)
	return e.readChecksums(items)
}

// readChecksums reads the inner and the outer checksum. Hex compares those that are there, each with the package.
func (e *Entry) readChecksums(items []elixirTerm) error {
	file := make(provenance.Digests)
	for place, name := range map[int]string{3: "hexInner", 7: "sha256"} {
		if place >= len(items) || items[place].isNil() {
			continue
		}
		text, ok := items[place].plain(elixirString)
		if !ok {
			return errors.New("want the checksum as a string")
		}
		d, err := fromHex("sha256", text)
		if err != nil {
			return err
		}
		file[name] = d.value
	}
	if len(file) > 0 {
		e.Files = []provenance.Digests{file}
	}
	return nil
}
