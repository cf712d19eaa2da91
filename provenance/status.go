package provenance

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

const (
	statusType    = "https://countersign.dev/status/v1"
	statusSubject = "status"
)

// StatusStatement is the log entry that commits the registry to a status document: all that was withdrawn and ended in
// its logs, up to a size of the log that holds the entry.
type StatusStatement struct {
	Registry string
	Origin   string // the log that holds the entry
	Identity string // fingerprint of the registry's identity
	Size     uint64 // entries of that log that the document covers, not more than come before this one
	At       time.Time
	Document [32]byte // SHA-256 of the document's bytes
}

type statusPredicate struct {
	Registry string `json:"registry"`
	Origin   string `json:"origin"`
	Identity string `json:"identity"`
	Size     uint64 `json:"size"`
	StatusAt Time   `json:"statusAt"`
}

// Statement gives the exact bytes of the log entry.
func (s *StatusStatement) Statement() ([]byte, error) {
	subject := Subject{statusSubject, Digests{"sha256": hex.EncodeToString(s.Document[:])}}
	return entryBytes(encodeStatement(subject, statusType, statusPredicate{s.Registry, s.Origin, s.Identity, s.Size, At(s.At)}))
}

func parseStatusStatement(data []byte) (*StatusStatement, error) {
	subject, p, err := decodeStatement[statusPredicate](data, statusType)
	if err != nil {
		return nil, err
	}
	s := &StatusStatement{Registry: p.Registry, Origin: p.Origin, Identity: p.Identity, Size: p.Size, At: p.StatusAt.Time}
	if err := checkSpeaker(p.Registry, p.Origin, p.Identity, p.StatusAt); err != nil {
		return nil, err
	}
	if s.Size == 0 {
		return nil, errors.New("size is missing: no log is empty")
	}
	if subject.Name != statusSubject || len(subject.Digest) != 1 {
		return nil, fmt.Errorf("subject: want the name %q and one digest, sha256", statusSubject)
	}
	if err := subject.Digest.Check(); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	_, err = hex.Decode(s.Document[:], []byte(subject.Digest["sha256"]))
	return s, err
}
