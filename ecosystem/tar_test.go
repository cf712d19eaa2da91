package ecosystem_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

const widgetJSON = `{"name":"widget","version":"1.0.0"}`

var widget = file("package/package.json", widgetJSON)

// long is a path that does not fit into a tar header.
var long = "package/" + strings.Repeat("long/", 60) + "x.js"

func TestTarsOfManyWriters(t *testing.T) {
	zeros := func(h []byte) { clear(h[257:]) }
	gnu := at(257, "ustar  \x00")
	tars := map[string][]byte{
		"ustar prefix":           tgz(tarEntry("package.json", '0', widgetJSON, at(345, "package"))),
		"ustar prefix and times": tgz(tarEntry("package.json", '0', widgetJSON, at(345, "package"), at(476, "00000000001\x0000000000001\x00"))),
		"ustar long prefix":      tgz(widget, tarEntry("x.js", '0', "", at(345, strings.Repeat("a/", 77)+"b"))),
		"gnu":                    tgz(tarEntry("package/package.json", '0', widgetJSON, gnu)),
		"gnu long name":          tgz(widget, tarEntry("././@LongLink", 'L', long+"\x00", gnu), tarEntry("x", '0', "x", gnu)),
		"gnu long name and link": tgz(widget, tarEntry("././@LongLink", 'K', long+"\x00", gnu), tarEntry("././@LongLink", 'L', long+"\x00", gnu), tarEntry("x", '2', "", gnu)),
		"v7":                     tgz(tarEntry("package/package.json", 0, widgetJSON, zeros)),
		"v7 directory":           tgz(tarEntry("package/", 0, "", zeros), tarEntry("package/package.json", 0, widgetJSON, zeros)),
		"pax path":               tgz(pax('x', "path", "package/package.json", "mtime", "1.5", "SCHILY.dev", "1"), file("x", widgetJSON)),
		"pax size":               tgz(pax('x', "size", fmt.Sprint(len(widgetJSON))), widget),
		"pax directory":          tgz(pax('x', "path", "package/lib/"), dir("x"), widget),
		"global comment":         tgz(pax('g', "comment", "0123456789abcdef"), widget),
		"large user":             tgz(tarEntry("package/package.json", '0', widgetJSON, at(108, "\x80\x00\x00\x00\x01\x00\x00\x00"))),
		"padded numbers":         tgz(tarEntry("package/package.json", '0', widgetJSON, at(124, "        43 \x00"))),
		"no end blocks":          gz(widget),
		"one end block":          gz(append(bytes.Clone(widget), make([]byte, 512)...)),
		"many end blocks":        tgz(widget, make([]byte, 10240)),
		"directories":            tgz(dir("package/"), widget, dir("package/lib")),
		"other links":            tgz(widget, symlink("package/link", "package.json"), hardlink("package/hard", "package/package.json")),
	}
	for name, data := range tars {
		testSamples(t, []sample{{name, "widget-1.0.0.tgz", data, "pkg:npm/widget@1.0.0"}})
	}
}

func TestHostileTars(t *testing.T) {
	evil := file("package/package.json", `{"name":"evil","version":"1.0.0"}`)
	gnu := at(257, "ustar  \x00")
	longName := func(name string) []byte { return tarEntry("L", 'L', name, gnu) }
	secondMember := append(tgz(widget), tgz(evil)...)
	wrongSum := bytes.Clone(widget)
	wrongSum[0] = 'P'
	tars := []struct {
		name   string
		data   []byte
		reason string
	}{
		{"not gzip", append(bytes.Clone(widget), make([]byte, 1024)...), "gzip"},
		{"empty", nil, "gzip"},
		{"truncated gzip", tgz(widget)[:60], "unexpected EOF"},
		{"gzip with a wrong checksum", append(tgz(widget)[:len(tgz(widget))-8], 1, 2, 3, 4, 0, 8, 0, 0), "checksum"},
		{"second gzip member", secondMember, "behind the gzip stream"},
		{"data behind gzip", append(tgz(widget), 0), "behind the gzip stream"},
		{"data behind end", tgz(widget, make([]byte, 1024), evil), "behind the end of the tar"},
		{"entry behind one zero block", tgz(widget, make([]byte, 512), evil), "behind the end of the tar"},
		{"part of a zero block at the end", gz(append(bytes.Clone(widget), make([]byte, 700)...)), "unexpected EOF"},
		{"truncated header", gz(widget[:300]), "unexpected EOF"},
		{"truncated content", gz(widget[:520]), "unexpected EOF"},
		{"wrong checksum", tgz(wrongSum), "checksum is wrong"},
		{"checksum not octal", tgz(append(append(bytes.Clone(widget[:148]), "99999999"...), widget[156:]...)), "not an octal number"},
		{"size in binary", tgz(tarEntry("package/a", '0', "", at(124, "\x80\x00\x00\x00"))), "not an octal number"},
		{"size behind a NUL", tgz(tarEntry("package/package.json", '0', widgetJSON, at(124, "\x00000000043\x00"))), "not an octal number"},
		{"mode not octal", tgz(tarEntry("package/package.json", '0', widgetJSON, at(100, "rw-r--r--"))), "not an octal number"},
		{"user not octal", tgz(tarEntry("package/package.json", '0', widgetJSON, at(108, "root"))), "not an octal number"},
		{"time not octal", tgz(tarEntry("package/package.json", '0', widgetJSON, at(136, "yesterday"))), "not an octal number"},
		{"device not octal", tgz(tarEntry("package/package.json", '0', widgetJSON, at(329, "\xff"))), "not an octal number"},
		{"size negative", tgz(tarEntry("package/a", '0', "", at(124, "-0000000001\x00"))), "not an octal number"},
		{"gigabytes declared", tgz(widget, tarHeader("package/a", '0', 8<<30-1)), "more than 2147483648 bytes"},
		{"name hides data", tgz(widget, tarEntry("package/a\x00/b", '0', "")), "hides data"},
		{"prefix hides data", tgz(widget, tarEntry("a", '0', "", at(345, "package\x00b"))), "hides data"},
		{"gnu with a prefix", tgz(tarEntry("package/package.json", '0', widgetJSON, gnu, at(345, "x"))), "neither plain ustar"},
		{"v7 with a prefix", tgz(tarEntry("package/package.json", '0', widgetJSON, at(257, "\x00\x00\x00\x00\x00\x00\x00\x00"), at(345, "x"))), "neither plain ustar"},
		{"star", tgz(tarEntry("package/package.json", '0', widgetJSON, at(508, "tar\x00"))), "neither plain ustar"},
		{"other magic", tgz(tarEntry("package/package.json", '0', widgetJSON, at(257, "USTAR"))), "neither plain ustar"},
		{"contiguous file", tgz(tarEntry("package/package.json", '7', widgetJSON)), "type '7'"},
		{"sparse file", tgz(tarEntry("package/package.json", 'S', widgetJSON, gnu)), "type 'S'"},
		{"device", tgz(widget, tarEntry("package/tty", '3', "")), "type '3'"},
		{"pipe", tgz(widget, tarEntry("package/pipe", '6', "")), "type '6'"},
		{"solaris extension", tgz(tarEntry("x", 'X', paxRecord("path", "package/package.json")), file("y", widgetJSON)), "type 'X'"},
		{"file named like a directory", tgz(widget, file("package/lib/", "")), "empty element"},
		{"directory with content", tgz(widget, tarEntry("package/lib", '5', "x")), "has a size but is no file"},
		{"link with content", tgz(widget, tarEntry("package/link", '2', "x")), "has a size but is no file"},
		{"pax size", tgz(pax('x', "size", "1024"), widget), "two sizes"},
		{"pax size with plus", tgz(pax('x', "size", "+35"), widget), "two sizes"},
		{"pax type", tgz(pax('x', "type", "File"), hardlink("package/a", "package/b"), widget), "unknown or there twice"},
		{"pax charset", tgz(pax('x', "hdrcharset", "BINARY"), widget), "unknown or there twice"},
		{"pax sparse name", tgz(pax('x', "GNU.sparse.name", "package/package.json"), file("package/a", "{}"), widget), "unknown or there twice"},
		{"pax record twice", tgz(pax('x', "path", "package/a", "path", "package/package.json"), widget), "unknown or there twice"},
		{"pax record in a record", tgz(pax('x', "comment", "x\n"+paxRecord("path", "package/package.json")+"x"), file("package/a", "{}"), widget), "malformed"},
		{"pax with NUL", tgz(pax('x', "path", "package/package.json\x00a"), widget), "malformed"},
		{"pax empty path", tgz(pax('x', "path", ""), widget), "empty name"},
		{"pax length too long", tgz(tarEntry("x", 'x', "99 path=a\n"), widget), "wrong length"},
		{"pax length too short", tgz(tarEntry("x", 'x', "2 path=a\n"), widget), "wrong length"},
		{"pax length zero", tgz(tarEntry("x", 'x', "0 path=a\n"), widget), "wrong length"},
		{"pax length with zeros", tgz(tarEntry("x", 'x', "010 path=a\n"), widget), "wrong length"},
		{"pax without equals", tgz(tarEntry("x", 'x', "7 path\n"), widget), "malformed"},
		{"pax without line end", tgz(tarEntry("x", 'x', "9 path=ab"), widget), "malformed"},
		{"pax twice", tgz(pax('x', "path", "package/a"), pax('x', "path", "package/package.json"), widget), "two extension headers"},
		{"pax and long name", tgz(pax('x', "path", "package/a"), longName("package/package.json"), widget), "two extension headers"},
		{"long name and pax", tgz(longName("package/a"), pax('x', "path", "package/package.json"), widget), "two extension headers"},
		{"two long names", tgz(longName("package/a"), longName("package/package.json"), widget), "two extension headers"},
		{"two long links", tgz(tarEntry("K", 'K', "a"), tarEntry("K", 'K', "b"), widget), "two extension headers"},
		{"empty long name", tgz(longName("\x00"), widget), "empty name"},
		{"long name with NUL", tgz(longName("package/a\x00b"), widget), "backslash or NUL"},
		{"extension at the end", tgz(widget, pax('x', "path", "package/package.json")), "behind an extension header"},
		{"extension cut off", gz(tarHeader("x", 'x', 1000)), "unexpected EOF"},
		{"extension of megabytes", tgz(tarEntry("x", 'x', strings.Repeat("x", 1<<20+1))), "larger than"},
		{"global path", tgz(pax('g', "path", "package/package.json"), file("a/b", "{}"), widget), `global "path"`},
		{"global size", tgz(pax('g', "size", "0"), widget), `global "size"`},
		{"malformed global", tgz(tarEntry("g", 'g', "x"), widget), "wrong length"},
		{"absolute", tgz(widget, file("/package/package.json", "{}")), "absolute"},
		{"double slash", tgz(widget, file("package//package.json", "{}")), "empty element"},
		{"parent", tgz(widget, file("package/x/../package.json", "{}")), `".."`},
		{"dot", tgz(widget, file("./package/package.json", "{}")), `"."`},
		{"backslash", tgz(widget, file(`package\package.json`, "{}")), "backslash"},
		{"drive", tgz(widget, file("package/c:package.json", "{}")), "drive letter"},
		{"drive and slash", tgz(widget, file("package/C:/package.json", "{}")), "drive letter"},
		{"long path", tgz(pax('x', "path", "package/"+strings.Repeat("x/", 2100)+"x"), widget), "longer than"},
		{"through a link", tgz(symlink("package/lib", "."), file("package/lib/package.json", "{}"), widget), "at or below a link"},
		{"over a link", tgz(widget, hardlink("package/x", "package/package.json"), file("package/x", "{}")), "at or below a link"},
		{"through a link in capitals", tgz(symlink("package/lib", "."), file("package/LIB/package.json", "{}"), widget), "at or below a link"},
		{"link outside ASCII", tgz(widget, symlink("package/lïb", ".")), "outside ASCII"},
		{"many links", tgz(manyLinks(10_001), widget), "more than 10000 links"},
		{"many entries", tgz(bytes.Repeat(file("package/x", ""), 200_000), widget), "more than 200000 entries"},
		{"many extensions", tgz(bytes.Repeat(tarHeader("x", 'g', 0), 200_000), widget), "more than 200000 entries"},
	}
	for _, h := range tars {
		testRefusals(t, []refusal{{h.name, "widget-1.0.0.tgz", h.data, h.reason}})
	}
}

func manyLinks(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		b.Write(symlink(fmt.Sprintf("package/%d", i), "x"))
	}
	return b.Bytes()
}

// A bomb of a few kilobytes that would unpack to 3 GiB.
func TestDecompressionBomb(t *testing.T) {
	const size = 3 << 29
	var b bytes.Buffer
	z := startGzip(t, &b)
	for range 2 {
		z.Write(tarHeader("package/zeros", '0', size))
		writeZeros(z, &b, size)
	}
	testRefusals(t, []refusal{{"bomb", "widget-1.0.0.tgz", b.Bytes(), "unpacks to more than 2147483648 bytes"}})
}

// TestZerosUnpack keeps TestDecompressionBomb honest: a smaller one, completed, is no bomb but a package.
func TestZerosUnpack(t *testing.T) {
	const size = 8 << 20
	var b bytes.Buffer
	z := startGzip(t, &b)
	z.Write(widget)
	z.Write(tarHeader("package/zeros", '0', size))
	writeZeros(z, &b, size)
	z.Write(make([]byte, 1024))
	z.Close()
	tar := bytes.Join([][]byte{widget, tarHeader("package/zeros", '0', size), make([]byte, size+1024)}, nil)
	b.Write(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(tar)))
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(tar))))
	testSamples(t, []sample{{"zeros", "widget-1.0.0.tgz", b.Bytes(), "pkg:npm/widget@1.0.0"}})
}

func startGzip(t *testing.T, b *bytes.Buffer) *flate.Writer {
	t.Helper()
	b.WriteString("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff")
	z, err := flate.NewWriter(b, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// writeZeros compresses two megabytes of zeros and repeats the second, which refers to nothing but zeros.
func writeZeros(z *flate.Writer, b *bytes.Buffer, size int) {
	zeros := make([]byte, 1<<20)
	z.Write(zeros)
	z.Flush()
	start := b.Len()
	z.Write(zeros)
	z.Flush()
	b.Write(bytes.Repeat(b.Bytes()[start:], size>>20-2))
}
