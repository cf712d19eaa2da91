package signer

import (
	"context"
	"fmt"
	"strings"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// Bundle gives the bundle of the coordinate whose purl has the SHA-256 key, under the stored checkpoint: the
// countersignature if there is one, else the registry statement.
func (s *Service) Bundle(ctx context.Context, key [32]byte) ([]byte, *Problem) {
	list, err := s.under(key)
	if err != nil {
		return nil, unreadable(err)
	}
	if len(list) > 0 && coordinateKey(coordinateOf(list[0].entry)) != key {
		list = nil // the ledger's key of a release or an enrolment
	}
	chosen, problem := s.choose(list)
	if problem != nil {
		return nil, problem
	}
	return s.bundle(ctx, chosen.Ref)
}

// choose picks from the entries under a coordinate what a consumer is given: a statement, or the withdrawal and a problem.
func (s *Service) choose(list []found) (found, *Problem) {
	var chosen found
	st, covered := s.state.Load(), s.log.Checkpoint().Size
	for _, f := range list {
		if f.Origin == s.log.Origin() && f.Index >= covered {
			continue // nobody sees beyond the stored checkpoint
		}
		switch e := f.entry.(type) {
		case *provenance.Withdrawal:
			return f, isWithdrawn(e)
		case *provenance.Countersignature:
			if counts(st, f, e.Publication.Publisher()) {
				chosen = f
			}
		case *provenance.RegistryStatement:
			if chosen.entry == nil && counts(st, f, "") {
				chosen = f
			}
		}
	}
	if chosen.entry == nil {
		return found{}, newProblem(NotFound, "nothing is countersigned under this coordinate")
	}
	return chosen, nil
}

// maxBundles bounds an answer about a release with many files, in bytes.
const maxBundles = 16 << 20

// Bundles gives the bundles for an expected purl: one, or for a PyPI release without file_name those of all its files that
// were not withdrawn; it is Withdrawn if all were.
// digest, "sha256:…" or another digest name of a subject, keeps only matching ones; it may be empty.
func (s *Service) Bundles(ctx context.Context, purl, digest string) ([][]byte, *Problem) {
	c, err := provenance.ParseExpected(purl)
	if err != nil {
		return nil, parseProblem(err)
	}
	name, value, ok := strings.Cut(digest, ":")
	if digest != "" && (!ok || value == "") {
		return nil, newProblem(Malformed, fmt.Sprintf("digest %.100q is not <name>:<hex>", digest))
	}
	keys := [][32]byte{coordinateKey(c)}
	if c.Partial() {
		files, err := s.files(c)
		if err != nil {
			return nil, unreadable(err)
		}
		keys = nil
		for _, f := range files {
			keys = append(keys, coordinateKey(f))
		}
	}
	bundles, size, withdrawn := [][]byte{}, 0, (*Problem)(nil)
	for _, key := range keys {
		list, err := s.under(key)
		if err != nil {
			return nil, unreadable(err)
		}
		chosen, problem := s.choose(list)
		switch {
		case problem != nil && problem.code == Withdrawn && !c.Partial():
			return nil, problem
		case chosen.entry == nil || digest != "" && subjectOf(chosen.entry).Digest[name] != value:
			continue
		case problem != nil:
			withdrawn = problem
			continue
		}
		bundle, problem := s.bundle(ctx, chosen.Ref)
		if problem != nil {
			return nil, problem
		}
		if size += len(bundle); size > maxBundles {
			return nil, newProblem(TooLarge, fmt.Sprintf("the bundles of all files of %s are more than %d MiB: ask for one file", c, maxBundles>>20))
		}
		bundles = append(bundles, bundle)
	}
	if len(bundles) == 0 {
		return bundles, withdrawn
	}
	return bundles, nil
}

// files lists the coordinates of a release, each once.
func (s *Service) files(c provenance.Coordinate) ([]provenance.Coordinate, error) {
	list, err := s.under(releaseKey(c))
	if err != nil {
		return nil, err
	}
	var out []provenance.Coordinate
	seen := make(map[provenance.Coordinate]bool)
	for _, f := range list {
		if file := coordinateOf(f.entry); !seen[file] {
			seen[file] = true
			out = append(out, file)
		}
	}
	return out, nil
}

func coordinateOf(entry any) provenance.Coordinate {
	switch e := entry.(type) {
	case *provenance.Countersignature:
		return e.Coordinate
	case *provenance.RegistryStatement:
		return e.Coordinate
	case *provenance.Withdrawal:
		return e.Coordinate
	}
	return provenance.Coordinate{}
}

func subjectOf(entry any) provenance.Subject {
	switch e := entry.(type) {
	case *provenance.Countersignature:
		return e.Publication.Subject
	case *provenance.RegistryStatement:
		return e.Subject
	case *provenance.Withdrawal:
		return e.Subject
	}
	return provenance.Subject{}
}

// bundle makes the bundle of a logged entry with a proof under the newest checkpoint, once that covers it.
func (s *Service) bundle(ctx context.Context, ref ledger.Ref) ([]byte, *Problem) {
	if ref.Origin == s.log.Origin() {
		if err := s.wait(ctx, ref.Index); err != nil {
			return nil, loggedOnly(err)
		}
	}
	data, err := s.data(ref)
	if err != nil {
		return nil, unreadable(err)
	}
	entry, err := provenance.ParseEntry(data)
	if err != nil {
		return nil, unreadable(err)
	}
	var enrolment []byte
	if c, ok := entry.(*provenance.Countersignature); ok {
		if e := s.state.Load().enrolments[c.Enrolment]; e != nil {
			enrolment = e.json
		}
	}
	out, err := s.encode(ref, data, enrolment)
	return out, unreadable(err)
}

// encode joins an entry with its proof, enrolment and the identity.
func (s *Service) encode(ref ledger.Ref, data, enrolment []byte) ([]byte, error) {
	proof, err := s.prove(ref)
	if err != nil {
		return nil, err
	}
	identity := s.state.Load().identityJSON
	b := provenance.Bundle{Statement: data, Proof: proof}
	return b.AppendJSON(make([]byte, 0, 2*len(data)+len(enrolment)+len(identity)+2048), enrolment, identity), nil
}

// prove includes an entry in its log's stored checkpoint.
func (s *Service) prove(ref ledger.Ref) (*provenance.Proof, error) {
	log, err := s.DB.Log(ref.Origin)
	if err != nil {
		return nil, err
	}
	cp := log.Checkpoint()
	hashes, err := log.InclusionProof(ref.Index, cp.Size)
	return &provenance.Proof{Index: ref.Index, Hashes: hashes, Checkpoint: string(cp.Note)}, err
}

// unreadable hides from the caller why the ledger could not be read; nil stays nil.
func unreadable(err error) *Problem {
	if err == nil {
		return nil
	}
	return unavailable("the ledger cannot be read").because(err)
}

// IdentityChain is the registry's identity as it is published: a JSON array of envelopes.
func (s *Service) IdentityChain() []byte { return s.state.Load().identityJSON }

// Bridge proves the head of a size of log n a prefix of the log's head that counts: the stored checkpoint, or the anchor
// of a closed log.
func (s *Service) Bridge(n, from uint64) (*provenance.Bridge, *Problem) {
	log, problem := s.Log(n)
	if problem != nil {
		return nil, problem
	}
	cp := log.Checkpoint()
	size, note := cp.Size, string(cp.Note)
	if known := s.state.Load().identity().Log(log.Origin()); known != nil && known.Closed != nil {
		size, note = known.Closed.Size, ""
	}
	if from == 0 || from > size {
		return nil, newProblem(NotFound, fmt.Sprintf("a bridge in log %d leads from a size between 1 and %d", n, size))
	}
	b, err := bridge(log, from, size, note)
	return b, unreadable(err)
}

func bridge(log *ledger.Log, from, to uint64, note string) (*provenance.Bridge, error) {
	proof, err := log.ConsistencyProof(from, to)
	if err != nil {
		return nil, err
	}
	var heads [2]provenance.Head
	for i, size := range []uint64{from, to} {
		root, err := log.Root(size)
		if err != nil {
			return nil, err
		}
		heads[i] = provenance.Head{Origin: log.Origin(), Size: size, Root: root}
	}
	return provenance.NewBridge(heads[0], heads[1], proof, note)
}

// Log finds a log of the registry by its number: the ledger shows of it what its stored checkpoint covers.
func (s *Service) Log(n uint64) (*ledger.Log, *Problem) {
	log, err := s.DB.Log(fmt.Sprintf("%s/countersign/%d", s.Registry, n))
	if err != nil {
		return nil, newProblem(NotFound, fmt.Sprintf("%s has no log %d", s.Registry, n))
	}
	return log, nil
}
