package agent

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"countersign.dev/strict"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	maxBody  = 64 << 10 // bytes of a request or an answer
	maxProof = 128      // hashes; a consistency proof of a tree below 2^53 has at most 53
)

// No legal value of a wire field is its zero value, so check finds absent fields as zero ones.
type message interface{ check() error }

func decode(body []byte, m message) error {
	if err := strict.JSON(body, m); err != nil {
		return err
	}
	return m.check()
}

// hash travels as canonical base64.
type hash [32]byte

func (h hash) MarshalText() ([]byte, error)     { return base64.StdEncoding.AppendEncode(nil, h[:]), nil }
func (h *hash) UnmarshalText(text []byte) error { return decode64(h[:], text) }

// wireHead is a Head as it travels.
type wireHead struct {
	Size uint64 `json:"size"`
	Root hash   `json:"root"`
}

// MarshalJSONTo writes {"size", "root"}, the root as base64.
func (h Head) MarshalJSONTo(enc *jsontext.Encoder) error {
	return json.MarshalEncode(enc, wireHead{h.Size, h.Root})
}

// UnmarshalJSONFrom reads what MarshalJSONTo writes, with no member missing or unknown.
func (h *Head) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var w wireHead
	if err := json.UnmarshalDecode(dec, &w, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	*h = Head{w.Size, w.Root}
	return h.check()
}

type wireProof []hash

func (p wireProof) check() error {
	if p == nil {
		return errors.New("no proof: send [] for none")
	}
	if len(p) > maxProof {
		return fmt.Errorf("proof has %d hashes, at most %d", len(p), maxProof)
	}
	return nil
}

func (p wireProof) hashes() []tlog.Hash {
	hashes := make([]tlog.Hash, len(p))
	for i, h := range p {
		hashes[i] = tlog.Hash(h)
	}
	return hashes
}

func wire(proof []tlog.Hash) wireProof {
	p := make(wireProof, len(proof))
	for i, h := range proof {
		p[i] = hash(h)
	}
	return p
}

type watermarkRequest struct {
	Origin string `json:"origin"`
}

func (r *watermarkRequest) check() error { return checkOrigin(r.Origin) }

type signRequest struct {
	Origin string    `json:"origin"`
	Size   uint64    `json:"size"`
	Root   hash      `json:"root"`
	Proof  wireProof `json:"proof"`
}

func (r *signRequest) check() error {
	return cmp.Or(checkOrigin(r.Origin), Head{r.Size, r.Root}.check(), r.Proof.check())
}

type signAnswer struct {
	Signature signature `json:"signature"`
	Watermark Head      `json:"watermark"`
}

func (a *signAnswer) check() error {
	if a.Signature == (signature{}) {
		return errors.New("no signature")
	}
	return a.Watermark.check()
}

// signature travels as canonical base64.
type signature [64]byte

func (s signature) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, s[:]), nil
}
func (s *signature) UnmarshalText(text []byte) error { return decode64(s[:], text) }

type recordRequest struct {
	Origin     string    `json:"origin"`
	Checkpoint string    `json:"checkpoint"`
	Proof      wireProof `json:"proof"`
}

func (r *recordRequest) check() error {
	if r.Checkpoint == "" {
		return errors.New("no checkpoint")
	}
	return cmp.Or(checkOrigin(r.Origin), r.Proof.check())
}

// LogStatus is what an agent tells about one of its logs.
type LogStatus struct {
	Origin    string   `json:"origin"`
	PublicKey string   `json:"publicKey"` // the agent's own key: base64 SubjectPublicKeyInfo
	KeyID     string   `json:"keyId"`     // its note key id, eight hex digits
	KeyIDs    []string `json:"keyIds"`    // those of all the log's keys
	Threshold int      `json:"threshold"`
	Watermark Head     `json:"watermark"`
	Device    string   `json:"device,omitzero"`  // "up", or since when it is not and why; "" if the signer does not tell
	Stopped   string   `json:"stopped,omitzero"` // why the guard latched
}

func (l LogStatus) check() error {
	if _, err := ParsePublicKey(l.PublicKey); err != nil {
		return err
	}
	if l.Threshold < 1 || l.Threshold > len(l.KeyIDs) || !slices.Contains(l.KeyIDs, l.KeyID) {
		return fmt.Errorf("log %.300q: threshold %d of %d keys, own key id %.20q", l.Origin, l.Threshold, len(l.KeyIDs), l.KeyID)
	}
	return cmp.Or(checkOrigin(l.Origin), l.Watermark.check())
}

type logsAnswer struct {
	Logs []LogStatus `json:"logs"`
}

func (a *logsAnswer) check() error {
	if len(a.Logs) == 0 {
		return errors.New("no logs")
	}
	for _, l := range a.Logs {
		if err := l.check(); err != nil {
			return err
		}
	}
	return nil
}

// healthAnswer has what shows a leak from outside.
type healthAnswer struct {
	Status     string `json:"status"` // "ok"
	Goroutines int    `json:"goroutines"`
	Signatures uint64 `json:"signatures"` // since the process began, or began again
}

// problem is the body of every answer that is not a success. The package comment lists the codes.
type problem struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Watermark Head   `json:"watermark,omitzero"`
}

func (p *problem) check() error {
	if p.Code == "" || p.Message == "" {
		return errors.New("no code or message")
	}
	return nil
}

const (
	codeMalformed     = "malformed"
	codeForbidden     = "forbidden"
	codeUnknownOrigin = "unknown-origin"
	codeRefused       = "refused"
	codeFailed        = "failed"
	codeBusy          = "busy"
	codeStopped       = "stopped"
)
