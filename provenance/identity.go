package provenance

import (
	"crypto"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"countersign.dev/strict"
)

const identityPayload = "application/vnd.countersign.identity.v1+json"

// Identity is one version of what a registry is: its root, its logs with their keys, who may enrol publishers, which
// namespaces it speaks for, and what no longer counts. Only a Chain from a pinned version 1 gives it authority.
type Identity struct {
	Envelope   *Envelope
	Registry   string
	Version    uint64
	Previous   string // "sha256:" of the previous version's payload; empty in version 1
	Root       Root
	Logs       []Log
	Enrol      []EnrolKey
	Namespaces []Namespace
	Excluded   []Exclusion
	Evidence   []KeyEvidence
	Issued     time.Time
	Expires    time.Time
}

// Root signs identities: Threshold distinct keys of Keys.
type Root struct {
	Threshold int         `json:"threshold"`
	Keys      []PublicKey `json:"keys"`
}

// Log is one log of the registry and the keys that sign its heads.
type Log struct {
	Origin    string   `json:"origin"`
	Threshold int      `json:"threshold"`
	Keys      []LogKey `json:"keys"`
	Closed    *Anchor  `json:"closed,omitzero"`
}

// LogKey is a key of a log. Once ended it proves nothing by itself.
type LogKey struct {
	PublicKey PublicKey `json:"publicKey"`
	Ended     *Anchor   `json:"ended,omitzero"`
}

// Anchor is a head that was released before a key ended or a log closed; the root vouches for it.
type Anchor struct {
	Size uint64      `json:"size"`
	Root base64Bytes `json:"root"` // 32 bytes
}

// EnrolKey is a key that signs enrolments.
type EnrolKey struct {
	PublicKey PublicKey `json:"publicKey"`
	Ended     bool      `json:"ended,omitzero"`
}

// Exclusion un-trusts the entries [From, To) of a log, all of them or one publisher's.
type Exclusion struct {
	Origin    string  `json:"origin"`
	From      *uint64 `json:"from"`
	To        *uint64 `json:"to,omitzero"`        // nil: for ever
	Publisher string  `json:"publisher,omitzero"` // fingerprint; empty: everybody
	Reason    string  `json:"reason"`
}

// KeyEvidence names a document about where a key lives.
type KeyEvidence struct {
	Key    string `json:"key"`    // fingerprint
	Digest string `json:"digest"` // "sha256:" of the document
}

type identityWire struct {
	Registry string `json:"registry"`
	Version  uint64 `json:"version"`
	Previous string `json:"previous,omitzero"`
	Root     Root   `json:"root"`
	Logs     []Log  `json:"logs"`
	Enrol    struct {
		Keys []EnrolKey `json:"keys"`
	} `json:"enrol"`
	Namespaces []string      `json:"namespaces"`
	Excluded   []Exclusion   `json:"excluded"`
	Evidence   []KeyEvidence `json:"evidence,omitzero"`
	Issued     Time          `json:"issued"`
	Expires    Time          `json:"expires"`
}

// ParseIdentity checks one version by itself: shape, counts, that a key occurs once, that exactly one log is open.
// Signatures and succession are the Chain's.
func ParseIdentity(e *Envelope) (*Identity, error) {
	if err := e.open(identityPayload, MaxIdentity); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	var w identityWire
	if err := strict.JSON(e.Payload, &w); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if w.Excluded == nil {
		return nil, errors.New("identity: excluded is missing (an empty list if there is none)")
	}
	namespaces, err := parseNamespaces(w.Namespaces)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	id := &Identity{e, w.Registry, w.Version, w.Previous, w.Root, w.Logs, w.Enrol.Keys, namespaces, w.Excluded, w.Evidence,
		w.Issued.Time, w.Expires.Time}
	complete := func() error { return whole(e.Payload, w) }
	for _, check := range []func() error{id.checkSelf, id.checkKeys, id.checkLogs, id.checkReferences, complete} {
		if err := check(); err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
	}
	return id, nil
}

// Sign makes the envelope of a new version; Envelope is ignored.
func (id Identity) Sign(keys ...crypto.Signer) (*Identity, error) {
	w := identityWire{Registry: id.Registry, Version: id.Version, Previous: id.Previous, Root: id.Root, Logs: id.Logs,
		Excluded: id.Excluded, Evidence: id.Evidence, Issued: At(id.Issued), Expires: At(id.Expires)}
	w.Enrol.Keys = id.Enrol
	for _, ns := range id.Namespaces {
		w.Namespaces = append(w.Namespaces, ns.String())
	}
	payload, err := encode(w)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	e, err := Sign(identityPayload, payload, keys...)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return ParseIdentity(e)
}

func (id *Identity) checkSelf() error {
	if err := CheckRegistry(id.Registry); err != nil {
		return err
	}
	switch {
	case id.Version == 0:
		return errors.New("version is missing: the first is 1")
	case (id.Version == 1) != (id.Previous == ""):
		return errors.New("previous belongs in every version but the first")
	case id.Issued.IsZero() || id.Expires.IsZero():
		return errors.New("issued and expires must be there")
	case !id.Expires.After(id.Issued):
		return errors.New("expires is not after issued")
	case id.Root.Threshold < 1 || id.Root.Threshold > len(id.Root.Keys):
		return fmt.Errorf("root: threshold %d of %d keys", id.Root.Threshold, len(id.Root.Keys))
	case len(id.Enrol) == 0:
		return errors.New("enrol: at least one key")
	}
	if id.Previous != "" {
		return checkDigest("previous", id.Previous)
	}
	return nil
}

// checkKeys: one key, one role, one log.
func (id *Identity) checkKeys() error {
	seen := make(map[PublicKey]bool)
	for _, k := range id.keys() {
		if k == (PublicKey{}) {
			return errors.New("a public key is missing")
		}
		if seen[k] {
			return fmt.Errorf("key %s occurs twice: one key has one role in one log", k.Fingerprint())
		}
		seen[k] = true
	}
	return nil
}

// keys lists every key of the identity: root, logs, enrolment.
func (id *Identity) keys() []PublicKey {
	all := append([]PublicKey(nil), id.Root.Keys...)
	for _, l := range id.Logs {
		for _, k := range l.Keys {
			all = append(all, k.PublicKey)
		}
	}
	for _, k := range id.Enrol {
		all = append(all, k.PublicKey)
	}
	return all
}

// Holds reports whether k has a role in the identity. Such a key must not be a publisher's.
func (id *Identity) Holds(k PublicKey) bool {
	for _, mine := range id.keys() {
		if mine == k {
			return true
		}
	}
	return false
}

func (id *Identity) checkLogs() error {
	open, origins := 0, make(map[string]bool)
	for i := range id.Logs {
		l := &id.Logs[i]
		if err := l.check(id.Registry); err != nil {
			return fmt.Errorf("log %.80q: %w", l.Origin, err)
		}
		if origins[l.Origin] {
			return fmt.Errorf("log %s occurs twice", l.Origin)
		}
		origins[l.Origin] = true
		if l.Closed == nil {
			open++
		}
	}
	if open != 1 {
		return fmt.Errorf("%d open logs, want exactly one", open)
	}
	return nil
}

func (l *Log) check(registry string) error {
	of, _, err := ParseOrigin(l.Origin)
	if err != nil {
		return err
	}
	if of != registry {
		return fmt.Errorf("origin does not begin with %s/", registry)
	}
	ids, active := make(map[uint32]bool), 0
	for _, k := range l.Keys {
		if ids[k.PublicKey.NoteID(l.Origin)] {
			return errors.New("two keys have the same note key id: generate another one")
		}
		ids[k.PublicKey.NoteID(l.Origin)] = true
		if k.Ended == nil {
			active++
		} else if err := k.Ended.check(); err != nil {
			return fmt.Errorf("ended key: %w", err)
		}
	}
	if l.Closed != nil {
		active = len(l.Keys) // nothing is signed in a closed log any more
		if err := l.Closed.check(); err != nil {
			return fmt.Errorf("closed: %w", err)
		}
	}
	if l.Threshold < 1 || l.Threshold > active {
		return fmt.Errorf("threshold %d of %d keys that are not ended", l.Threshold, active)
	}
	return nil
}

func (a *Anchor) check() error {
	if a.Size == 0 || len(a.Root) != 32 {
		return errors.New("an anchor needs a size above 0 and a root of 32 bytes")
	}
	return nil
}

// checkReferences: exclusions name logs that exist, and well-formed ranges and fingerprints.
func (id *Identity) checkReferences() error {
	for _, x := range id.Excluded {
		switch {
		case id.Log(x.Origin) == nil:
			return fmt.Errorf("excluded: log %.80q is not in the identity", x.Origin)
		case x.From == nil:
			return errors.New("excluded: from is missing")
		case x.To != nil && *x.To <= *x.From:
			return errors.New("excluded: to is not after from")
		}
		if err := checkReason(x.Reason); err != nil {
			return fmt.Errorf("excluded: %w", err)
		}
		if x.Publisher != "" {
			if err := checkDigest("excluded: publisher", x.Publisher); err != nil {
				return err
			}
		}
	}
	for _, ev := range id.Evidence {
		if err := checkDigest("evidence: key", ev.Key); err != nil {
			return err
		}
		if err := checkDigest("evidence: digest", ev.Digest); err != nil {
			return err
		}
	}
	return nil
}

// Log finds a log by its origin, or nil.
func (id *Identity) Log(origin string) *Log {
	for i := range id.Logs {
		if id.Logs[i].Origin == origin {
			return &id.Logs[i]
		}
	}
	return nil
}

// Open is the log that is written to.
func (id *Identity) Open() *Log {
	for i := range id.Logs {
		if id.Logs[i].Closed == nil {
			return &id.Logs[i]
		}
	}
	panic("provenance: identity without an open log was parsed")
}

// Active lists the keys of the log that are not ended.
func (l *Log) Active() []PublicKey {
	var keys []PublicKey
	for _, k := range l.Keys {
		if k.Ended == nil {
			keys = append(keys, k.PublicKey)
		}
	}
	return keys
}

// Enrols reports whether a not-ended enrolment key of this version signed e.
func (id *Identity) Enrols(e *Envelope) bool {
	for _, k := range id.Enrol {
		if !k.Ended && e.SignedBy(k.PublicKey) {
			return true
		}
	}
	return false
}

// Excludes gives the reason why an entry does not count, or "".
func (id *Identity) Excludes(origin string, index uint64, publisher string) string {
	for _, x := range id.Excluded {
		if x.Origin == origin && *x.From <= index && (x.To == nil || index < *x.To) && (x.Publisher == "" || x.Publisher == publisher) {
			return x.Reason
		}
	}
	return ""
}

// ParseOrigin splits "<registry>/countersign/<n>".
func ParseOrigin(s string) (registry string, n uint64, err error) {
	registry, number, ok := strings.Cut(s, "/countersign/")
	if ok {
		n, err = strconv.ParseUint(number, 10, 32)
	}
	if !ok || err != nil || strconv.FormatUint(n, 10) != number || CheckRegistry(registry) != nil {
		return "", 0, fmt.Errorf("origin %.250q is not <registry>/countersign/<n>", s)
	}
	return registry, n, nil
}
