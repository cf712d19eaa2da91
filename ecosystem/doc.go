// Package ecosystem reads package files: which coordinate a file claims, and what its bytes hash to.
//
// [Read] is for whoever signs a file. It finds the package's name and version inside the file, in the place
// that ecosystem's own client reads them from, demands that the file's name agrees, and computes every digest
// the format knows for it. [Digests] is for whoever checks a file against a coordinate they already have, from
// a lockfile or a bundle: it never takes a coordinate from the file.
//
//	kind             file                 name and version from                      file name must be
//	npm package      *.tgz                package.json below the first directory     what npm pack would call it
//	Rust crate       *.crate              Cargo.toml in the only top directory       {name}-{version}.crate
//	Hex package      *.tar                metadata.config                            {name}-{version}.tar
//	Python wheel     *.whl                METADATA in the .dist-info directory       {name}-{version}-….whl
//	Python sdist     *.tar.gz             PKG-INFO in the only top directory         {name}-{version}.tar.gz
//	Go module zip    *.zip                the module@version/ prefix, and go.mod     the module proxy's {version}.zip
//	NuGet package    *.nupkg              the .nuspec at the top                     {id}.{version}.nupkg, in any case
//	Maven jar        *.jar                the .pom beside it, META-INF/maven in it   {artifact}-{version}[-{classifier}].jar
//	Maven POM        *.pom                itself                                     {artifact}-{version}.pom
//	OCI image        directory or *.tar   its manifest's digest, and the name that   anything
//	                                      the layout's index.json may give it
//	OCI manifest     *.json               its digest; the name has to be given       anything
//
// A file under any other name, such as the scope-less names registries give the tarballs of scoped npm
// packages, is refused: rename it, or name the coordinate yourself.
//
// Beside SHA-256 and SHA-512 of the file there are the digests that lockfiles of its ecosystem have: of a Go
// module the two h1 hashes; of a Hex package the inner checksum, which must be the one that the package says; of
// a NuGet package the content hash, SHA-512 of the package before NuGet signed it, so that it survives the
// signature that a registry adds. An image is its manifest: digests and size are the manifest's, and every blob
// that it names, however indirectly, must be in the layout and be what it is said to be.
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
//   - its text: duplicate keys in JSON, TOML, Erlang terms or properties, a header field or XML element twice, a
//     name folded over lines or with a comment in it, document types, invalid UTF-8
//   - names that two parts of an archive tell differently: the directory and the manifest in it, two POMs, the
//     .nuspec that old clients find and the one that new ones do, Docker's own manifest in an image layout
//
// Every ecosystem's names are ASCII here, so one with letters of another script, which could look like a known
// one, is refused, and the error names the scripts.
//
// Reading is bounded in memory and in work by the limits in archive.go. A file that is unusual rather than
// hostile is refused too; its publisher can still sign it by naming the coordinate.
//
// # Adding a kind
//
// Write one file with a read function and add one row to the table in artifact.go. Kinds that share a suffix are
// told apart by an entry that only one of them has.
package ecosystem
