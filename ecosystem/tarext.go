package ecosystem

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// extensions holds what the extension headers before an entry say about it.
type extensions struct {
	pax      bool
	path     string // from PAX, or GNU's long name; "" if neither
	size     string // from PAX; "" if absent
	longName bool
	longLink bool
}

func isExtension(kind byte) bool {
	switch kind {
	case typePAX, typeGlobalPAX, typeLongName, typeLongLink:
		return true
	}
	return false
}

// add takes in one extension header. PAX and GNU headers for one entry, or two of one type, are refused:
// readers differ in which wins.
func (x *extensions) add(kind byte, data string) error {
	switch {
	case kind == typeGlobalPAX:
		return checkGlobal(data)
	case x.pax, kind == typePAX && (x.longName || x.longLink),
		kind == typeLongName && x.longName, kind == typeLongLink && x.longLink:
		return errors.New("tar entry has two extension headers")
	case kind == typeLongLink:
		x.longLink = true
		return nil
	case kind == typeLongName:
		x.longName = true
		x.path = strings.TrimRight(data, "\x00")
		return requirePath(x.path)
	}
	return x.addPAX(data)
}

func (x *extensions) addPAX(data string) error {
	records, err := paxRecords(data)
	if err != nil {
		return err
	}
	x.pax = true
	x.size = records["size"]
	path, ok := records["path"]
	x.path = path
	if ok {
		return requirePath(path)
	}
	return nil
}

func requirePath(path string) error {
	if path == "" {
		return errors.New("tar extension header has an empty name")
	}
	return nil
}

// checkGlobal allows what git archive writes. Some readers apply global records to every later entry.
func checkGlobal(data string) error {
	records, err := paxRecords(data)
	for key := range records {
		if key != "comment" {
			return fmt.Errorf("tar has a global %q record", key)
		}
	}
	return err
}

// entry makes the entry that header and extensions describe together.
func (x *extensions) entry(h tarEntry) (tarEntry, error) {
	if x.path != "" {
		h.name = x.path
	}
	if x.size != "" && x.size != strconv.FormatInt(h.size, 10) {
		return tarEntry{}, fmt.Errorf("tar entry %q has two sizes", h.name)
	}
	switch {
	case h.kind == typeOldFile && x.path == "" && strings.HasSuffix(h.name, "/"):
		h.kind = typeDirectory // as Unix V7 wrote it
	case h.kind == typeOldFile:
		h.kind = typeFile
	}
	switch h.kind {
	case typeFile:
		if h.size > maxUnpacked {
			return tarEntry{}, fmt.Errorf("tar entry %q has more than %d bytes", h.name, maxUnpacked)
		}
	case typeDirectory, typeHardLink, typeSymlink:
		if h.size != 0 {
			return tarEntry{}, fmt.Errorf("tar entry %q has a size but is no file", h.name)
		}
	default:
		return tarEntry{}, fmt.Errorf("tar entry %q has type %q, which programs read differently", h.name, h.kind)
	}
	if h.kind == typeDirectory {
		h.name = strings.TrimSuffix(h.name, "/")
	}
	return h, checkPath(h.name)
}

// paxRecords decodes "length key=value\n" records. A line end inside a value is refused because some readers
// split at lines before they look at lengths.
func paxRecords(data string) (map[string]string, error) {
	records := make(map[string]string)
	for data != "" {
		digits, _, _ := strings.Cut(data, " ")
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil || int(n) > len(data) || int(n) <= len(digits)+1 || strconv.FormatUint(n, 10) != digits {
			return nil, errors.New("PAX record has a wrong length")
		}
		record, end := data[len(digits)+1:n-1], data[n-1]
		key, value, ok := strings.Cut(record, "=")
		if !ok || end != '\n' || strings.ContainsAny(record, "\n\x00") {
			return nil, fmt.Errorf("PAX record %.40q is malformed", record)
		}
		if _, twice := records[key]; twice || !knownRecord(key) {
			return nil, fmt.Errorf("PAX record %.40q is unknown or there twice", key)
		}
		records[key] = value
		data = data[n:]
	}
	return records, nil
}

// knownRecord reports whether a record is harmless. Records of vendors, with a dot in their names, do not
// change what is unpacked where, except those for sparse files.
func knownRecord(key string) bool {
	switch key {
	case "path", "size", "linkpath", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment":
		return true
	}
	return strings.Contains(key, ".") && !strings.HasPrefix(key, "GNU.sparse.")
}
