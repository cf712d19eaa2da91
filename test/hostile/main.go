// Command hostile is a compromised countersignd, for the demo and the tests: it has the daemon's ledger and may ask its key
// agents, and uses them to have a publisher of its own invention countersigned. The agents sign, since the log only grew;
// consumers refuse, since the enrolment is by no enrolment key of the registry's identity.
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"countersign.dev/agent"
	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

// loot is what a compromised daemon has.
type loot struct {
	log      *ledger.Log
	identity *provenance.Chain
	agents   []*agent.Client
}

func run() error {
	dir := flag.String("ledger", "", "the daemon's ledger; the daemon must be stopped")
	identityFile := flag.String("identity", "", "identity.json")
	sockets := flag.String("agents", "", "sockets of the key agents, separated by commas")
	publicationFile := flag.String("publication", "", "a publication signed by a key that nobody enrolled")
	publisherFile := flag.String("publisher", "", "that key's public part, as countersign keygen wrote it")
	out := flag.String("out", "", "where to write the bundle")
	flag.Parse()

	identity, err := readChain(*identityFile)
	if err != nil {
		return err
	}
	db, err := ledger.Open(*dir)
	if err != nil {
		return err
	}
	defer db.Close()
	l := &loot{identity: identity}
	if l.log, err = db.Log(identity.Last().Open().Origin); err != nil {
		return err
	}
	for _, s := range strings.Split(*sockets, ",") {
		l.agents = append(l.agents, agent.Dial(s))
	}
	bundle, err := l.invent(*publicationFile, *publisherFile)
	if err != nil {
		return err
	}
	return os.WriteFile(*out, bundle, 0o644)
}

// invent logs an enrolment that it signed itself and a countersignature under it, and has the head signed.
func (l *loot) invent(publicationFile, publisherFile string) ([]byte, error) {
	publication, err := readPublication(publicationFile)
	if err != nil {
		return nil, err
	}
	enrolment, err := l.enrol(publication, publisherFile)
	if err != nil {
		return nil, err
	}
	id := l.identity.Last()
	statement, err := (&provenance.Countersignature{Publication: publication, Enrolment: enrolment.Digest(), Claim: provenance.Claim{
		Registry: id.Registry, Origin: id.Open().Origin, Identity: l.identity.Fingerprint(), Coordinate: publication.Coordinate, At: time.Now()}}).Statement()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	index, err := l.log.Append(ctx, l.log.Epoch(), []ledger.Entry{{Data: statement, Keys: []ledger.Key{{Hash: sha256.Sum256(statement), Ordinal: ledger.Next}}}})
	if err != nil {
		return nil, err
	}
	note, size, err := l.sign(ctx)
	if err != nil {
		return nil, err
	}
	proof, err := l.log.InclusionProof(index, size)
	if err != nil {
		return nil, err
	}
	b := provenance.Bundle{Statement: statement, Proof: &provenance.Proof{Index: index, Hashes: proof, Checkpoint: note},
		Enrolment: enrolment.Envelope, Identity: l.identity.Envelopes()}
	return b.JSON(), nil
}

// enrol signs a certificate for the publication's key with an enrolment key made for the occasion.
func (l *loot) enrol(p *provenance.Publication, publisherFile string) (*provenance.Enrolment, error) {
	text, err := os.ReadFile(publisherFile)
	if err != nil {
		return nil, err
	}
	body := strings.NewReplacer("-----BEGIN PUBLIC KEY-----", "", "-----END PUBLIC KEY-----", "", "\n", "").Replace(string(text))
	publisher, err := provenance.ParsePublicKey(body)
	if err != nil {
		return nil, err
	}
	ns, err := provenance.ParseNamespace("pkg:" + p.Coordinate.MatchKey())
	if err != nil {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return provenance.Enrolment{Registry: l.identity.Last().Registry, Publisher: publisher, Namespaces: []provenance.Namespace{ns},
		Issued: time.Now().Add(-time.Minute)}.Sign(key)
}

// sign has as many agents as the log needs sign its head.
func (l *loot) sign(ctx context.Context) (note string, size uint64, err error) {
	open := l.identity.Last().Open()
	size = l.log.Size()
	root, err := l.log.Root(size)
	if err != nil {
		return "", 0, err
	}
	head := agent.Head{Size: size, Root: root}
	var signatures []provenance.KeySignature
	for _, a := range l.agents {
		sig, err := l.ask(ctx, a, open.Origin, head)
		if err != nil {
			return "", 0, err
		}
		for _, k := range open.Active() {
			if k.Verify([]byte(head.Text(open.Origin)), sig[:]) {
				signatures = append(signatures, provenance.KeySignature{Key: k, Signature: sig[:]})
			}
		}
		if len(signatures) == open.Threshold {
			return provenance.SignedNote(provenance.Head{Origin: open.Origin, Size: size, Root: root}, signatures), size, nil
		}
	}
	return "", 0, errors.New("not enough agents signed")
}

func (l *loot) ask(ctx context.Context, a *agent.Client, origin string, head agent.Head) ([64]byte, error) {
	mark, err := a.Watermark(ctx, origin)
	if err != nil {
		return [64]byte{}, err
	}
	var proof []tlog.Hash
	if mark.Size < head.Size {
		if proof, err = l.log.ConsistencyProof(mark.Size, head.Size); err != nil {
			return [64]byte{}, err
		}
	}
	sig, _, err := a.Sign(ctx, origin, head, proof)
	return sig, err
}

func readChain(path string) (*provenance.Chain, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	envelopes, err := provenance.ParseEnvelopes(data)
	if err != nil {
		return nil, err
	}
	return provenance.ParseChain(envelopes)
}

func readPublication(path string) (*provenance.Publication, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	envelope, err := provenance.ParseEnvelope([]byte(strings.TrimSpace(string(data))))
	if err != nil {
		return nil, err
	}
	return provenance.ParsePublication(envelope)
}
