package main

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"countersign.dev/ecosystem"
	"countersign.dev/provenance"
)

const signUsage = `usage: countersign sign --key NAME.key --registry HOST [--purl PURL]
                        [--attribute-file FILE]
                        [--ai none|assisted|generated]
                        [--ai-tool NAME=VERSION …] [--reviewed-by FINGERPRINT …]
                        [--out FILE] ARTIFACT

sign makes a publication: the publisher's signed word that this file is this
package, for this registry. It is written to ARTIFACT.publication.json.

The coordinate is read from inside an npm .tgz, a Rust .crate, a Hex .tar, a
Python wheel or .tar.gz, a Go module zip, a NuGet .nupkg, a Maven .pom or .jar
(with its .pom in it or beside it), or an OCI image layout, which is a directory
or .tar. For other files, or those that do not say it, name it:

  --purl            for example pkg:maven/com.acme/lib@1.0. Where the file says
                    it too, both must be the same

What you claim about how the file was made is signed with it. It is your claim:
nobody who passes it on vouches for it.

  --ai              was code in it written by a machine
  --ai-tool         by which one; may be given several times
  --reviewed-by     the fingerprint of somebody who read it; the same
  --attribute-file  a JSON object with further claims

Worked examples:

  countersign sign --key acme.key --registry registry.example \
    acme-widget-1.2.3.tgz
  countersign sign --key acme.key --registry registry.example \
    --purl pkg:maven/com.acme/lib@1.0 --ai assisted --ai-tool scribe=2.1 \
    lib-1.0.jar

Sign a file once. When sending fails, send the same publication again: a second
one is another publication, and the registry takes only one.

Exit status: 0 done, 1 not done, 2 wrong arguments.
`

func sign(args []string, t terminal) error {
	flags := newFlags("sign")
	keyFile, registry, purl := flags.String("key", "", ""), flags.String("registry", "", ""), flags.String("purl", "", "")
	out := flags.String("out", "", "")
	claims := claimFlags(flags)
	operands, err := parse(flags, args, "key", "registry")
	if err != nil {
		return err
	}
	artifact, err := one(operands, "artifact")
	if err != nil {
		return err
	}
	draft := provenance.Draft{Registry: *registry, SignedAt: time.Now()}
	if err := provenance.CheckRegistry(draft.Registry); err != nil {
		return misuse{err}
	}
	if draft.Attributes, err = claims.attributes(); err != nil {
		return err
	}
	path := cmp.Or(*out, filepath.Clean(artifact)+".publication.json")
	if err := unsigned(path); err != nil {
		return err
	}
	key, err := readKey(*keyFile)
	if err != nil {
		return err
	}
	if err := describe(&draft, artifact, *purl, t); err != nil {
		return err
	}
	publication, err := draft.Sign(key)
	if err != nil {
		return err
	}
	if err := writeNew(path, append(publication.Envelope.JSON(), '\n'), 0o644); err != nil {
		return err
	}
	sayPublication(t, publication, path)
	return nil
}

// unsigned refuses to sign what was signed before.
func unsigned(path string) error {
	if err := absent(path); err != nil {
		return hint(fmt.Errorf("%s: this was signed before", path),
			"if sending it failed, send it again as it is: another signature is another publication, which the registry refuses. "+
				"To sign anew something that was never countersigned, move it away")
	}
	return nil
}

// describe fills in what the file says of itself: coordinate, name, digests. A purl stands in for a coordinate that the
// file does not say, or says in a way that is not accepted.
func describe(draft *provenance.Draft, artifact, purl string, t terminal) error {
	var given provenance.Coordinate
	if purl != "" {
		var err error
		if given, err = parsePurl(purl); err != nil {
			return err
		}
	}
	read, err := ecosystem.Read(artifact)
	switch {
	case err != nil && purl == "":
		return unnamed(err)
	case err != nil:
		if read.Digests, _, err = readAs(given, artifact, err, t); err != nil {
			return err
		}
		read.Coordinate = given
	case purl != "" && !read.Agrees(given):
		return hint(fmt.Errorf("%s is %s, not %s", artifact, read.Coordinate, given), "leave out --purl, or choose the right file")
	case purl != "":
		read.Coordinate = given // it may say more than the file, such as a Hex package's repository
	}
	draft.Coordinate, draft.Digests = read.Coordinate, read.Digests
	draft.FileName = cmp.Or(read.Coordinate.FileName(), filepath.Base(artifact))
	return nil
}

// readAs computes the digests of a file whose coordinate is given because it could not be read.
func readAs(given provenance.Coordinate, artifact string, why error, t terminal) (map[string]string, int64, error) {
	digests, size, err := ecosystem.Digests(artifact, given.Type())
	if err == nil && !errors.Is(why, ecosystem.ErrUnknownKind) {
		t.warn("taking --purl as it is: %v", why)
	}
	return digests, size, err
}

func unnamed(err error) error {
	var name *ecosystem.NameError
	switch {
	case errors.As(err, &name):
		return hint(err, "rename the file to %s, or name the coordinate with --purl", name.Want)
	case errors.Is(err, ecosystem.ErrUnknownKind):
		return hint(err, "name the coordinate with --purl, for example pkg:maven/com.acme/lib@1.0")
	}
	return err
}

// parsePurl reads a purl that a person wrote.
func parsePurl(purl string) (provenance.Coordinate, error) {
	c, err := provenance.ParseCoordinate(purl)
	var canonical *provenance.CanonicalError
	switch {
	case errors.As(err, &canonical):
		return c, hint(misused("--purl: %v", err), "write --purl '%s'", canonical.Canonical)
	case err != nil:
		return c, hint(misused("--purl: %v", err), "a purl is like pkg:npm/%%40acme/widget@1.2.3")
	}
	return c, nil
}

func sayPublication(t terminal, p *provenance.Publication, path string) {
	t.field("purl", "%s", p.Coordinate)
	sayDigests(t, p.Subject.Digest)
	t.field("publisher", "%s", p.Publisher())
	t.field("wrote", "%s", path)
}
