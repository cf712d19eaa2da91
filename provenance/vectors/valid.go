package main

// What is verified: one file of each ecosystem, and every shape that a log may have.

func validEcosystems() []vector {
	manifest := hexSHA256([]byte("an image manifest\n"))
	return []vector{
		{"valid-npm", "An npm package in a scope; docs/format.md takes this vector apart.", nil, ""},
		{"valid-npm-case", "npm keeps the case of old names: JSONStream is not jsonstream.",
			all(coordinate("pkg:npm/JSONStream@1.3.5", "JSONStream-1.3.5.tgz", sha256Of("JSONStream-1.3.5.tgz")),
				func(s *story) { s.namespaces = []string{"pkg:npm/JSONStream"} }), ""},
		{"valid-npm-prerelease", "A prerelease; the hyphen and dots are written as they are.",
			coordinate("pkg:npm/%40acme/widget@2.0.0-rc.1", "widget-2.0.0-rc.1.tgz", sha256Of("widget-2.0.0-rc.1.tgz")), ""},
		{"valid-cargo", "A crate: lower case, hyphens.",
			coordinate("pkg:cargo/acme-http@0.4.1", "acme_http-0.4.1.crate", sha256Of("acme_http-0.4.1.crate")), ""},
		{"valid-hex", "A Hex package in an organisation's repository, with its inner checksum.",
			coordinate("pkg:hex/acme/billing@1.2.3", "billing-1.2.3.tar", with(sha256Of("billing-1.2.3.tar"), "hexInner", hexSHA256([]byte("billing inner")))), ""},
		{"valid-pypi-wheel", "One of the files of a version on PyPI. The version loses its trailing zeros, the file's name does not.",
			coordinate("pkg:pypi/acme-http@1?file_name=acme_http-1.0.0-py3-none-any.whl", "acme_http-1.0.0-py3-none-any.whl", sha256Of("acme_http-1.0.0-py3-none-any.whl")), ""},
		{"valid-pypi-sdist", "Another file of the same version: another coordinate.",
			coordinate("pkg:pypi/acme-http@1?file_name=acme_http-1.0.0.tar.gz", "acme_http-1.0.0.tar.gz", sha256Of("acme_http-1.0.0.tar.gz")), ""},
		{"valid-golang", "A module zip, with the h1: hashes of zip and go.mod as hex.",
			coordinate("pkg:golang/example.com/acme/tool@v1.4.0", "tool-v1.4.0.zip", with(with(sha256Of("tool-v1.4.0.zip"),
				"dirHash", hexSHA256([]byte("tool directory"))), "goModHash", hexSHA256([]byte("tool go.mod")))), ""},
		{"valid-golang-incompatible", "The plus sign of +incompatible is percent-encoded; the path keeps its case.",
			coordinate("pkg:golang/example.com/acme/Old@v2.0.0%2Bincompatible", "Old.zip", sha256Of("Old.zip")), ""},
		{"valid-nuget", "A NuGet package: lower case, three numbers, NuGet's contentHash as hex.",
			coordinate("pkg:nuget/acme.widget@13.0.3", "acme.widget.13.0.3.nupkg", with(sha256Of("acme.widget.13.0.3.nupkg"),
				"nugetContentHash", hexSHA512([]byte("acme.widget content")))), ""},
		{"valid-maven", "The main artifact of a Maven version: neither classifier nor type.",
			coordinate("pkg:maven/com.acme/lib@1.0", "lib-1.0.jar", append(sha256Of("lib-1.0.jar"), sha512Of("lib-1.0.jar")...)), ""},
		{"valid-maven-classifier", "A file with a classifier and another type.",
			coordinate("pkg:maven/com.acme/lib@1.0?classifier=sources&type=tar.gz", "lib-1.0-sources.tar.gz", sha256Of("lib-1.0-sources.tar.gz")), ""},
		{"valid-oci", "An image: the version is the digest of the manifest, which is the subject's sha256.",
			coordinate("pkg:oci/widget@sha256:"+manifest+"?repository_url=registry.example/team/widget", "widget", object{{"sha256", manifest}}), ""},
	}
}

func with(digests object, name, value string) object { return append(digests, member{name, value}) }

func validLogs() []vector {
	return []vector{
		{"valid-size-1", "The only entry of a tree: no hashes in the proof.", entryAt(0, 1), ""},
		{"valid-first-entry", "The first entry of a tree.", entryAt(0, 5), ""},
		{"valid-last-entry", "The last entry of a tree that is not full: its path is short.", entryAt(4, 5), ""},
		{"valid-full-tree", "A tree of a power of two.", entryAt(7, 8), ""},
		{"valid-deep-tree", "A tree of 1000 entries.", entryAt(617, 1000), ""},
		{"valid-2-of-3-by-2", "Two of three keys sign, and two are needed.", all(twoOfThree, signers("log-a", "log-c")), ""},
		{"valid-2-of-3-by-3", "All three keys sign, in another order than the identity's.", all(twoOfThree, signers("log-c", "log-a", "log-b")), ""},
		{"valid-witnesses", "Lines under other names are ignored whatever they hold: a witness's timestamped cosignature, another log's line, a twofold one.",
			addLines(func(_ *built, h head) []string {
				witness := noteLine("witness.example/w1", []byte{1, 2, 3, 4}, append([]byte{0, 0, 0, 0, 105, 129, 230, 64}, key("witness").sign([]byte("cosignature/v1"))...))
				return []string{witness, witness, logKey.signs(h, nextOrigin), noteLine("x", []byte{0, 0, 0, 0}, []byte{0})}
			}), ""},
		{"valid-witness-first", "A witness's line may come before the log's.", func(s *story) {
			s.lines = func(_ *built, h head) []string {
				return []string{noteLine("witness.example/w1", []byte{1, 2, 3, 4}, key("witness").sign([]byte("x"))), logKey.signs(h, h.origin)}
			}
		}, ""},
		{"valid-registry-statement", "The registry's word without a publisher's signature, where the pin is content with it.",
			all(registryWord, pinned(func(_ *built, p *pin) { p.require = "registry" })), ""},
		{"valid-countersignature-where-registry-is-enough", "A countersignature is more than the pin asks for.",
			pinned(func(_ *built, p *pin) { p.require = "registry" }), ""},
	}
}

func twoOfThree(s *story) {
	identity(set("logs", []any{logOf(origin, 2, active("log-a"), active("log-b"), active("log-c"))}))(s)
	s.lines = signedBy("log-a", "log-b")
}

// registryWord logs a registry statement in place of a countersignature.
func registryWord(s *story) { s.predicate = "registry-statement/v1" }
