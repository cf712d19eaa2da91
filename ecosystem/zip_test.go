package ecosystem_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
)

var le = binary.LittleEndian

// A rawEntry is one file of a rawZip, stored, with whatever lies in its headers.
type rawEntry struct {
	name, content string
	localName     string // name if empty
	extra         string // in the directory
	localExtra    string
	local         func(h []byte) // edits the 30 bytes before the local name
	central       func(h []byte) // edits the 46 bytes before the name in the directory
	behind        string         // follows the data
	hidden        bool           // not in the directory
}

// rawZip makes a zip and lets edit change its end, given where the directory begins.
func rawZip(edit func(end []byte, directory int) []byte, entries ...rawEntry) []byte {
	var b, d bytes.Buffer
	count := uint16(0)
	for _, e := range entries {
		offset := b.Len()
		local := e.localName
		if local == "" {
			local = e.name
		}
		b.Write(rawHeader("PK\x03\x04", e.content, local, e.localExtra, e.local))
		b.WriteString(e.content + e.behind)
		if e.hidden {
			continue
		}
		count++
		d.Write(rawHeader("PK\x01\x02", e.content, e.name, e.extra, func(h []byte) {
			le.PutUint32(h[42:], uint32(offset))
			if e.central != nil {
				e.central(h)
			}
		}))
	}
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	le.PutUint16(end[8:], count)
	le.PutUint16(end[10:], count)
	le.PutUint32(end[12:], uint32(d.Len()))
	le.PutUint32(end[16:], uint32(b.Len()))
	if edit != nil {
		end = edit(end, b.Len())
	}
	return append(append(b.Bytes(), d.Bytes()...), end...)
}

// rawHeader makes either kind of header; that in the directory has two bytes more before the fields they share.
func rawHeader(magic, content, name, extra string, edit func([]byte)) []byte {
	size, shift := 30, 0
	if magic == "PK\x01\x02" {
		size, shift = 46, 2
	}
	h := make([]byte, size)
	copy(h, magic)
	le.PutUint16(h[4+shift:], 20)
	le.PutUint32(h[14+shift:], crc32.ChecksumIEEE([]byte(content)))
	le.PutUint32(h[18+shift:], uint32(len(content)))
	le.PutUint32(h[22+shift:], uint32(len(content)))
	le.PutUint16(h[26+shift:], uint16(len(name)))
	le.PutUint16(h[28+shift:], uint16(len(extra)))
	if edit != nil {
		edit(h)
	}
	return append(h, name+extra...)
}

// put16 and put32 return edits that write a number at an offset.
func put16(offset int, v uint16) func([]byte) {
	return func(h []byte) { le.PutUint16(h[offset:], v) }
}

func put32(offset int, v uint32) func([]byte) {
	return func(h []byte) { le.PutUint32(h[offset:], v) }
}

func both(edits ...func([]byte)) func([]byte) {
	return func(h []byte) {
		for _, edit := range edits {
			edit(h)
		}
	}
}

// extra makes an extra field.
func extra(id uint16, data string) string {
	return string(append(le.AppendUint16(le.AppendUint16(nil, id), uint16(len(data))), data...))
}

// numbers are little-endian, 4 or 8 bytes each.
func numbers(width int, values ...int) string {
	var b []byte
	for _, v := range values {
		if width == 4 {
			b = le.AppendUint32(b, uint32(v))
		} else {
			b = le.AppendUint64(b, uint64(v))
		}
	}
	return string(b)
}

// end64 returns an edit that puts the 64-bit end before the end, having changed either.
func end64(change func(wide, locator, end []byte)) func([]byte, int) []byte {
	return func(end []byte, directory int) []byte {
		entries, size := int(le.Uint16(end[10:])), int(le.Uint32(end[12:]))
		wide := []byte("PK\x06\x06" + numbers(8, 44) + "-\x00-\x00" + numbers(4, 0, 0) + numbers(8, entries, entries, size, directory))
		locator := []byte("PK\x06\x07" + numbers(4, 0) + numbers(8, directory+size) + numbers(4, 1))
		change(wide, locator, end)
		return bytes.Join([][]byte{wide, locator, end}, nil)
	}
}

// allOnes says that a number is in the 64-bit end.
func allOnes(end []byte) {
	copy(end[8:], strings.Repeat("\xff", 12))
}

var (
	rawMetadata = rawEntry{name: distInfo + "METADATA", content: metadata}
	rawOther    = rawEntry{name: "acme_http/x.py", content: "x = 1"}
	sum, length = int(crc32.ChecksumIEEE([]byte(metadata))), len(metadata)
)

// with returns the good entry after a change.
func with(change func(e *rawEntry)) rawEntry {
	e := rawMetadata
	change(&e)
	return e
}

// deferred returns the good entry with its sizes behind its data.
func deferred(behind string) rawEntry {
	return with(func(e *rawEntry) {
		e.local = both(put16(6, 8), put32(14, 0), put32(18, 0), put32(22, 0))
		e.central = put16(8, 8)
		e.behind = behind
	})
}

func TestZipsOfManyWriters(t *testing.T) {
	wide := "PK\x07\x08" + numbers(4, sum)
	for name, data := range map[string][]byte{
		"stored":                  rawZip(nil, rawOther, rawMetadata),
		"sizes behind":            rawZip(nil, deferred(wide+numbers(4, length, length)), rawOther),
		"sizes behind in 64 bits": rawZip(nil, deferred(wide+numbers(8, length, length)), rawOther),
		"sizes in both places": rawZip(nil, with(func(e *rawEntry) {
			e.local, e.central, e.behind = put16(6, 8), put16(8, 8), wide+numbers(4, length, length)
		})),
		"sizes in 64 bits": rawZip(nil, with(func(e *rawEntry) {
			e.local, e.localExtra = both(put32(18, 1<<32-1), put32(22, 1<<32-1)), extra(1, numbers(8, length, length))
		})),
		"padding":                       rawZip(nil, with(func(e *rawEntry) { e.localExtra = extra(0xd935, "\x00\x00\x00") })),
		"64-bit end":                    rawZip(end64(func(_, _, end []byte) { allOnes(end) }), rawMetadata),
		"64-bit end that is not needed": rawZip(end64(func(_, _, _ []byte) {}), rawMetadata),
	} {
		testSamples(t, []sample{{name, wheelName, data, wheelPurl}})
	}
}

func TestHostileZips(t *testing.T) {
	good := rawZip(nil, rawMetadata, rawOther)
	named := func(name string) []byte { return rawZip(nil, rawMetadata, rawEntry{name: name}) }
	end := func(edit func([]byte)) []byte {
		return rawZip(func(end []byte, _ int) []byte { edit(end); return end }, rawMetadata)
	}
	wide := func(change func(wide, locator, end []byte)) []byte { return rawZip(end64(change), rawMetadata) }
	changed := func(change func(e *rawEntry)) []byte { return rawZip(nil, with(change), rawOther) }
	inBoth := func(e *rawEntry, offset int, v uint16) { e.local, e.central = put16(offset, v), put16(offset+2, v) }
	descriptor := "PK\x07\x08" + numbers(4, sum, length, length)
	zips := []struct {
		name   string
		data   []byte
		reason string
	}{
		{"no zip", []byte(strings.Repeat("x", 100)), "not a zip"},
		{"shorter than an end", good[len(good)-10:], "not a zip"},
		{"data before", append([]byte("#!/bin/sh\n"), good...), "data before"},
		{"data behind", append(bytes.Clone(good), 0), "data behind its end"},
		{"comment", append(append(bytes.Clone(good[:len(good)-2]), 1, 0), 'x'), "comment"},
		{"comment length without comment", end(put16(20, 4)), "comment"},
		{"zip in a zip", append(bytes.Clone(good), good...), "data before"},
		{"volumes", end(put16(4, 1)), "several volumes"},
		{"directory in volumes", end(put16(6, 1)), "several volumes"},
		{"entries in volumes", end(put16(8, 0)), "several volumes"},
		{"directory too early", end(func(e []byte) { le.PutUint32(e[16:], le.Uint32(e[16:])-1) }), "data before, behind or between"},
		{"directory too long", end(put32(12, 1<<31)), "data before, behind or between"},
		{"too many entries said", end(both(put16(8, 2), put16(10, 2))), "read zip directory"},
		{"65536 entries too many said", wide(func(w, _, e []byte) { allOnes(e); w[26], w[34] = 1, 1 }), "has 1 entries and says 65537"},
		{"many entries said", wide(func(w, _, e []byte) { allOnes(e); w[26], w[34] = 9, 9 }), "more than 200000 entries"},
		{"two ends", wide(func(_, _, e []byte) { put16(8, 2)(e); put16(10, 2)(e) }), "two different ends"},
		{"two ends, two sizes", wide(func(_, _, e []byte) { put32(12, 1)(e) }), "two different ends"},
		{"two ends, two offsets", wide(func(_, _, e []byte) { put32(16, 1)(e) }), "two different ends"},
		{"64-bit end elsewhere", wide(func(_, l, _ []byte) { l[8]++ }), "unusual place"},
		{"64-bit end longer", wide(func(w, _, _ []byte) { w[4]++ }), "unusual place"},
		{"64-bit end lost", wide(func(w, _, _ []byte) { w[0] = 0 }), "unusual place"},
		{"64-bit volumes", wide(func(_, l, _ []byte) { l[16] = 2 }), "several volumes"},
		{"64-bit offset", wide(func(w, _, e []byte) { allOnes(e); copy(w[48:], strings.Repeat("\xff", 8)) }), "data before"},
		{"missing 64-bit end", end(allOnes), "data before"},
		{"gap", rawZip(nil, rawOther, with(func(e *rawEntry) { e.behind = "gap" })), "no file header at offset"},
		{"hidden file", rawZip(nil, rawMetadata, rawEntry{name: distInfo + "METADATA", content: evilPython, hidden: true}), "not in its directory"},
		{"other local name", changed(func(e *rawEntry) { e.localName = strings.Replace(e.name, "METADATA", "metadata", 1) }), "is called"},
		{"same data twice", rawZip(nil, rawOther, with(func(e *rawEntry) { e.central = put32(42, 0) })), "is called"},
		{"header beyond the file", changed(func(e *rawEntry) { e.central = put32(42, 1<<20) }), distInfo},
		{"header elsewhere", changed(func(e *rawEntry) { e.central = put32(42, 1) }), "not a valid zip file"},
		{"overlap", rawZip(nil, overlapping(), rawMetadata), "directory has twice"},
		{"data over the directory", changed(func(e *rawEntry) { e.local, e.central = sizes(18, 9999), sizes(20, 9999) }), "runs into its directory"},
		{"data beyond all files", changed(func(e *rawEntry) {
			e.local, e.central = sizes(18, 1<<32-1), sizes(20, 1<<32-1)
			e.localExtra, e.extra = extra(1, strings.Repeat("\xff", 16)), extra(1, strings.Repeat("\xff", 16))
		}), "impossible size"},
		{"local size", changed(func(e *rawEntry) { e.local = put32(22, 1) }), "otherwise in its directory"},
		{"local compressed size", changed(func(e *rawEntry) { e.local = put32(18, 1) }), "otherwise in its directory"},
		{"local checksum", changed(func(e *rawEntry) { e.local = put32(14, 1) }), "otherwise in its directory"},
		{"local method", changed(func(e *rawEntry) { e.local = put16(8, 8) }), "otherwise in its directory"},
		{"local flags", changed(func(e *rawEntry) { e.local = put16(6, 0x800) }), "otherwise in its directory"},
		{"local sizes without their field", changed(func(e *rawEntry) { e.local = put32(18, 1<<32-1) }), "otherwise in its directory"},
		{"local sizes in a cut field", changed(func(e *rawEntry) { e.local, e.localExtra = put32(18, 1<<32-1), "\x01\x00\xff\x00" }), "otherwise in its directory"},
		{"no descriptor", rawZip(nil, deferred(""), rawOther), "lacks the descriptor"},
		{"unsigned descriptor", rawZip(nil, deferred(descriptor[4:]), rawOther), "lacks the descriptor"},
		{"descriptor checksum", rawZip(nil, deferred("PK\x07\x08"+numbers(4, 1, length, length)), rawOther), "lacks the descriptor"},
		{"descriptor size", rawZip(nil, deferred("PK\x07\x08"+numbers(4, sum, length, 1)), rawOther), "other sizes behind"},
		{"descriptor at the end", rawZip(nil, rawOther, deferred(descriptor[:8])), "other sizes behind"},
		{"checksum", changed(func(e *rawEntry) { e.local, e.central = put32(14, 1), put32(16, 1) }), "checksum"},
		{"encrypted", changed(func(e *rawEntry) { inBoth(e, 6, 1) }), "encrypted"},
		{"strongly encrypted", changed(func(e *rawEntry) { inBoth(e, 6, 0x40) }), "encrypted"},
		{"masked headers", changed(func(e *rawEntry) { inBoth(e, 6, 0x2000) }), "unusual flags"},
		{"bzip2", changed(func(e *rawEntry) { inBoth(e, 8, 12) }), "compression method 12"},
		{"stored in two sizes", changed(func(e *rawEntry) { e.local, e.central = put32(22, 1), put32(24, 1) }), "two sizes"},
		{"cut deflate", changed(func(e *rawEntry) { inBoth(e, 8, 8) }), "read METADATA"},
		{"second name", changed(func(e *rawEntry) { e.extra = extra(0x7075, "\x01\x00\x00\x00\x00x") }), "second name"},
		{"second local name", changed(func(e *rawEntry) { e.localExtra = extra(0xd935, "\x00") + extra(0x7075, "\x01\x00\x00\x00\x00x") }), "second name"},
		{"twice", rawZip(nil, rawMetadata, rawMetadata), "twice"},
		{"file and directory", rawZip(nil, rawMetadata, rawEntry{name: "x"}, rawEntry{name: "x/"}), "twice"},
		{"directory with content", rawZip(nil, rawMetadata, rawEntry{name: "x/", content: "x"}), "directory with content"},
		{"link", rawZip(nil, rawMetadata, rawEntry{name: "x", central: both(put16(4, 3<<8|20), put32(38, 0o120777<<16))}), "link or device"},
		{"link named like a directory", rawZip(nil, rawMetadata, rawEntry{name: "x/", central: both(put16(4, 3<<8|20), put32(38, 0o120777<<16))}), "link or device"},
		{"no name", named(""), "empty element"},
		{"absolute", named("/x"), "absolute"},
		{"parent", named("../x"), `".."`},
		{"dot", named("./" + distInfo + "METADATA"), `"."`},
		{"double slash", named(distInfo + "/METADATA"), "empty element"},
		{"backslash", named(`x\y`), "backslash"},
		{"NUL", named(distInfo + "METADATA\x00.txt"), "backslash or NUL"},
		{"drive", named("c:" + distInfo + "METADATA"), "drive letter"},
		{"long name", named(strings.Repeat("x", 5000)), "longer than"},
	}
	for _, h := range zips {
		testRefusals(t, []refusal{{h.name, wheelName, h.data, h.reason}})
	}
}

// sizes returns an edit that writes both sizes.
func sizes(offset int, v uint32) func([]byte) {
	return both(put32(offset, v), put32(offset+4, v))
}

// overlapping is a file whose data is the whole entry that follows it.
func overlapping() rawEntry {
	next := rawHeader("PK\x03\x04", metadata, rawMetadata.name, "", nil)
	size := uint32(len(next) + len(metadata))
	sum := crc32.ChecksumIEEE(append(next, metadata...))
	return rawEntry{
		name:    "x",
		local:   both(sizes(18, size), put32(14, sum)),
		central: both(sizes(20, size), put32(16, sum)),
	}
}

// The zips that hostile ones are made from are those archive/zip reads.
func TestRawZip(t *testing.T) {
	data := rawZip(nil, rawMetadata, rawOther)
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if len(z.File) != 2 || z.File[0].Name != rawMetadata.name || z.File[1].Name != rawOther.name {
		t.Errorf("archive/zip sees %v", z.File)
	}
}
