package signer

import (
	"context"
	"crypto/sha256"
	"time"

	"countersign.dev/ledger"
	"countersign.dev/provenance"
)

// work is one kind of entry that a caller, or the service itself, asks for: a countersignature, a registry statement, a
// withdrawal, an enrolment or its end, a status.
type work interface {
	// key is the hash under which the ledger keeps entries that could be in this one's way.
	key() [sha256.Size]byte
	// settle decides by the entries under the key, oldest first: one of them answers the request, or is in its way, or
	// neither (-1, nil) and a new entry is due.
	settle(s *state, found []found) (answer int, problem *Problem)
	// entry makes the new entry under a state, admitted at a time, or says why it must not be made.
	entry(s *state, at time.Time) (ledger.Entry, *Problem)
}

// found is an entry that is in the log, or about to be.
type found struct {
	ledger.Ref
	entry any // as provenance.ParseEntry gives it
}

// item is work on its way through the queue and the sequencer. Until it is queued it is its maker's, then the sequencer's,
// and once done is closed the outcome is for everyone to read.
type item struct {
	work
	ctx      context.Context // an item whose caller has gone is dropped, until it is appended
	at       time.Time       // admission
	epoch    uint64          // of the state that draft was made under
	seen     int             // entries under the key that settle has seen
	draft    ledger.Entry
	follower []*item // in the same batch, answered by this item's entry

	done    chan struct{}
	ref     ledger.Ref // of the entry that answers, valid if problem is nil
	created bool       // the entry is new
	problem *Problem
	unknown bool // nobody knows whether the entry is durable: send the same again
}

func newItem(ctx context.Context, w work) *item {
	return &item{work: w, ctx: ctx, done: make(chan struct{})}
}

// refuse answers the item with a problem.
func (it *item) refuse(p *Problem) {
	it.problem = p
	close(it.done)
}

// coordinateKey is the key of everything said about a coordinate; it is also the name of its bundle on the public listener.
func coordinateKey(c provenance.Coordinate) [sha256.Size]byte { return c.Hash() }

// releaseKey is the key of all files of a release, where one version has several.
func releaseKey(c provenance.Coordinate) [sha256.Size]byte {
	return sha256.Sum256([]byte("release\n" + c.Release().String()))
}

func enrolmentKey(digest string) [sha256.Size]byte {
	return sha256.Sum256([]byte("enrolment\n" + digest))
}

func enrolmentEndKey(digest string) [sha256.Size]byte {
	return sha256.Sum256([]byte("enrolment end\n" + digest))
}

// Keys lists the ledger keys of an entry in the order in which they were appended, and whether the entry is state. It is
// the ledger.Describe of a full check. An entry that is of no known kind is an error.
func Keys(_ uint64, data []byte) (keys [][sha256.Size]byte, state bool, err error) {
	entry, err := provenance.ParseEntry(data)
	if err != nil {
		return nil, false, err
	}
	switch e := entry.(type) {
	case *provenance.Countersignature:
		keys = coordinateKeys(e.Coordinate)
	case *provenance.RegistryStatement:
		keys = coordinateKeys(e.Coordinate)
	case *provenance.Withdrawal:
		return coordinateKeys(e.Coordinate), true, nil
	case *provenance.Enrolment:
		return [][sha256.Size]byte{enrolmentKey(e.Digest())}, true, nil
	case *provenance.EnrolmentEnd:
		return [][sha256.Size]byte{enrolmentEndKey(e.Enrolment)}, true, nil
	case *provenance.Identity, *provenance.StatusStatement:
		return nil, true, nil
	}
	return keys, false, nil
}

func coordinateKeys(c provenance.Coordinate) [][sha256.Size]byte {
	if c.Type() == "pypi" {
		return [][sha256.Size]byte{coordinateKey(c), releaseKey(c)}
	}
	return [][sha256.Size]byte{coordinateKey(c)}
}
