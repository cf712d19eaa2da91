package gate

import (
	"countersign.dev/ecosystem/lockfile"
	"countersign.dev/provenance"
)

// problemAdvice says what to do about an entry that cannot be checked.
var problemAdvice = map[lockfile.Problem]string{
	lockfile.NoDigest:   "let the package manager write the lockfile again, with hashes",
	lockfile.WeakDigest: "let a current client write the lockfile again: files can be forged for MD5 and SHA-1",
	lockfile.NotLocked:  "lock an exact version with its hash",
	lockfile.FromGit:    "depend on a published version: what comes from a git repository is never countersigned",
	lockfile.FromPath:   "a folder is checked by whoever reviews this project; --refuse-paths refuses it under pinned names",
	lockfile.FromURL:    "depend on a published version in the registry: a file at a URL has no countersigned name",
	lockfile.BadName:    "correct the name or version: the ecosystem's registries have none like it",
}

// codeAdvice says what to do about a refusal.
var codeAdvice = map[string]string{
	NotCountersigned: "do not install it; if the version is yours, let the registry countersign it, otherwise find out who published it",

	string(provenance.IdentityMismatch):            "if the registry announced a new identity, compare it with what it publishes elsewhere before you change the pin",
	string(provenance.IdentityRollback):            "ask the registry itself with --from: what answered is out of date",
	string(provenance.LogUnknown):                  "ask the registry itself with --from: the identity at hand is out of date",
	string(provenance.Malformed):                   "ask another mirror, or the registry itself, with --from",
	string(provenance.BasisTooWeak):                `the pin requires a publisher's signature; require = "registry" in the pin accepts the registry's word alone`,
	string(provenance.PurlMismatch):                "what answered gives the bundle of another package: ask the registry itself with --from",
	string(provenance.StatementMismatch):           "what answered gives the bundle of another registry or identity: ask the registry itself with --from",
	string(provenance.NamespaceNotBound):           "the registry does not speak for this name: pin the one that does",
	string(provenance.ArtifactDigestMismatch):      "do not install it: remove the entry and resolve it again from your registry, and find out where this file came from",
	string(provenance.EnrolmentInvalid):            "do not install it, and tell the registry",
	string(provenance.PublisherNotPinned):          "find out who the publisher is before you add the key to publishers in the pin",
	string(provenance.PublicationSignatureInvalid): "do not install it, and tell the registry",
	string(provenance.InclusionProofInvalid):       "ask another mirror, or the registry itself, with --from",
	string(provenance.CheckpointSignatureInvalid):  "do not install it, and tell the registry: this head is not by its keys",
	string(provenance.KeyEnded):                    "ask the registry for a fresh bundle with --from",
	string(provenance.Excluded):                    "do not install it: the registry took back what it countersigned here",
	string(provenance.IdentityExpired):             "ask the registry for its current identity with --from",
	string(provenance.Withdrawn):                   "do not install it, and remove it where it is: take a version that the registry did not withdraw",
	string(provenance.EnrolmentEnded):              "do not install it: it was countersigned after the publisher's enrolment had ended; tell the registry",
	string(provenance.StatusTooOld):                "fetch a fresh status with --from, or hand one over with --status",
	string(provenance.PolicyDenied):                "your own policy says no: see the rule",
}
