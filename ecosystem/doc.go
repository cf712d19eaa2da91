// Package ecosystem reads package files: which coordinate a file claims, and what its bytes hash to.
//
// [Read] is for whoever signs a file. It finds the package's name and version inside the file, in the place
// that ecosystem's own client reads them from, demands that the file's name agrees, and computes every digest
// the format knows for it. [Digests] is for whoever checks a file against a coordinate they already have, from
// a lockfile or a bundle: it never takes a coordinate from the file.
//
//	kind             file                  name and version from                     file name must be
//	npm package      *.tgz                 package.json below the first directory    what npm pack would call it
//	Python wheel     *.whl                 METADATA in the .dist-info directory      {name}-{version}-….whl
//	Python sdist     *.tar.gz              PKG-INFO in the only top directory        {name}-{version}.tar.gz
//	Go module zip    *.zip                 the module@version/ prefix, and go.mod    the module proxy's {version}.zip
//
// A file under any other name, such as the scope-less names registries give the tarballs of scoped npm
// packages, is refused: rename it, or name the coordinate yourself.
//
// # Archives are hostile
//
// The file may come from somebody who wants this package to read one name and the installing client another.
// Such an attack lives off archives that two programs read differently, so the rule here is not to guess which
// reading a client takes but to refuse every file that has more than one:
//
//   - tar: entry types, number fields, extension headers and PAX records beyond the plain ones; a second gzip
//     member; anything but zeros behind the end; links with entries at or below them
//   - zip: local headers that differ from the directory's, overlaps, gaps, comments, data before or behind,
//     duplicate names, encryption, links, a second spelling of a name in an extra field
//   - names: absolute, with "..", ".", an empty element, a backslash, a drive letter
//   - the file that carries the name: present twice with different content, a link or directory in its place,
//     or a neighbour that some file system takes for the same name (other case, trailing dot, invisible character)
//   - its text: duplicate JSON keys, a header field twice, a name folded over lines, invalid UTF-8
//
// Reading is bounded in memory and in work by the limits in archive.go. A file that is unusual rather than
// hostile is refused too; its publisher can still sign it by naming the coordinate.
//
// # Adding a kind
//
// Write one file with a read function and add one row to the table in artifact.go.
package ecosystem
