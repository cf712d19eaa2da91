package provenance_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// A stranger's verifier of statuses, written from docs/format.md (sections 1, 2, 8, 9, 11.2, 12.1 and step 7 of 12) and
// sharing nothing with ours. Of step 1 to 6, which are about bundles, it believes that they passed; of a purl it knows the
// spelling of what the vectors have.

// refusal is a stranger's code, by panic: his functions read like the page.
type refusal string

func demand(ok bool, code refusal) {
	if !ok {
		panic(code)
	}
}

type (
	strangerEnvelope struct {
		PayloadType *string              `json:"payloadType"`
		Payload     *string              `json:"payload"`
		Signatures  *[]strangerSignature `json:"signatures"`
	}
	strangerSignature struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	}
	strangerAnchor struct {
		Size uint64 `json:"size"`
		Root string `json:"root"`
	}
	strangerBridge struct {
		Origin     *string         `json:"origin"`
		From       *strangerAnchor `json:"from"`
		To         *strangerAnchor `json:"to"`
		Hashes     *[]string       `json:"hashes"`
		Checkpoint string          `json:"checkpoint"`
	}
	strangerStatus struct {
		MediaType *string             `json:"mediaType"`
		Statement *string             `json:"statement"`
		Proof     *string             `json:"proof"`
		Document  *string             `json:"document"`
		Identity  *[]strangerEnvelope `json:"identity"`
		Bridge    *strangerBridge     `json:"bridge"`
	}
	strangerLog struct {
		Origin    string `json:"origin"`
		Threshold int    `json:"threshold"`
		Keys      []struct {
			PublicKey string          `json:"publicKey"`
			Ended     *strangerAnchor `json:"ended"`
		} `json:"keys"`
		Closed *strangerAnchor `json:"closed"`
	}
	strangerIdentity struct {
		Registry string `json:"registry"`
		Version  int    `json:"version"`
		Previous string `json:"previous"`
		Root     struct {
			Threshold int      `json:"threshold"`
			Keys      []string `json:"keys"`
		} `json:"root"`
		Logs     []strangerLog `json:"logs"`
		Excluded []struct {
			Origin    string  `json:"origin"`
			From      uint64  `json:"from"`
			To        *uint64 `json:"to"`
			Publisher string  `json:"publisher"`
		} `json:"excluded"`
		Expires time.Time `json:"expires"`
		payload []byte
	}
	strangerStatement struct {
		Type    string `json:"_type"`
		Subject []struct {
			Name   string            `json:"name"`
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
		PredicateType string `json:"predicateType"`
		Predicate     struct {
			Registry *string `json:"registry"`
			Origin   *string `json:"origin"`
			Identity *string `json:"identity"`
			Size     *uint64 `json:"size"`
			StatusAt *string `json:"statusAt"`
		} `json:"predicate"`
	}
	strangerDocument struct {
		Registry *string `json:"registry"`
		Logs     *[]struct {
			Origin string `json:"origin"`
			Size   uint64 `json:"size"`
		} `json:"logs"`
		Withdrawals *[]struct {
			Purl        string `json:"purl"`
			Origin      string `json:"origin"`
			Index       uint64 `json:"index"`
			WithdrawnAt string `json:"withdrawnAt"`
			Reason      string `json:"reason"`
		} `json:"withdrawals"`
		Ended *[]struct {
			Enrolment string `json:"enrolment"`
			Publisher string `json:"publisher"`
			Origin    string `json:"origin"`
			Index     uint64 `json:"index"`
			Ended     string `json:"ended"`
			Reason    string `json:"reason"`
		} `json:"endedEnrolments"`
	}
)

// strangerNames are all member names of the above: encoding/json does not look at their case.
var strangerNames = strings.Fields(`payloadType payload signatures keyid sig size root origin from to hashes checkpoint mediaType statement proof
	document identity bridge _type subject name digest sha256 sha512 predicateType predicate registry statusAt logs withdrawals purl index withdrawnAt
	reason endedEnrolments enrolment publisher ended`)

// readStrict is section 1.2, for documents without attributes.
func readStrict(data []byte, v any) {
	var walk func(d *json.Decoder)
	walk = func(d *json.Decoder) {
		tok, err := d.Token()
		demand(err == nil && tok != nil, "malformed")
		switch tok {
		case json.Delim('{'):
			seen := make(map[string]bool)
			for d.More() {
				name, err := d.Token()
				text, ok := name.(string)
				demand(err == nil && ok && !seen[text] && slices.Contains(strangerNames, text), "malformed")
				seen[text] = true
				walk(d)
			}
			_, err = d.Token()
		case json.Delim('['):
			for d.More() {
				walk(d)
			}
			_, err = d.Token()
		}
		demand(err == nil, "malformed")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	walk(d)
	_, err := d.Token()
	demand(err == io.EOF, "malformed")
	d = json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	demand(d.Decode(v) == nil, "malformed")
}

func readBase64(text *string, most int) []byte {
	demand(text != nil && *text != "", "malformed")
	data, err := base64.StdEncoding.Strict().DecodeString(*text)
	demand(err == nil && base64.StdEncoding.EncodeToString(data) == *text && len(data) <= most, "malformed")
	return data
}

func readTime(text string) time.Time {
	at, err := time.Parse("2006-01-02T15:04:05Z", text)
	demand(err == nil && at.Format("2006-01-02T15:04:05Z") == text, "malformed")
	return at
}

var strangerDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func strangerNumber(origin string) uint64 {
	n, err := strconv.ParseUint(origin[strings.LastIndex(origin, "/")+1:], 10, 32)
	demand(err == nil, "malformed")
	return n
}

func strangerRegistry(origin string) string {
	registry, _, ok := strings.Cut(origin, "/countersign/")
	demand(ok, "malformed")
	return registry
}

func strangerSum(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// readChain is section 9.2 as far as signatures and succession go: what versions may forget is for the vectors of bundles.
func readChain(list []strangerEnvelope) (chain []strangerIdentity) {
	for i, e := range list {
		payload := readBase64(e.Payload, 40960)
		var id strangerIdentity
		demand(json.Unmarshal(payload, &id) == nil && id.Version == i+1, "identity-mismatch")
		id.payload = payload
		roots := [][]string{id.Root.Keys}
		thresholds := []int{id.Root.Threshold}
		if i > 0 {
			demand(id.Previous == strangerSum(chain[i-1].payload), "identity-mismatch")
			roots, thresholds = append(roots, chain[i-1].Root.Keys), append(thresholds, chain[i-1].Root.Threshold)
		}
		pae := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(*e.PayloadType), *e.PayloadType, len(payload), payload)
		for r, keys := range roots {
			signed := 0
			for _, s := range *e.Signatures {
				for _, k := range keys {
					spki := readBase64(&k, 44)
					if strangerSum(spki) == s.KeyID && ed25519.Verify(spki[12:], pae, readBase64(&s.Sig, 64)) {
						signed++
					}
				}
			}
			demand(signed >= thresholds[r], "identity-mismatch")
		}
		chain = append(chain, id)
	}
	return chain
}

// longest is the first item of step 2.
func longest(fingerprint string, chains ...[]strangerIdentity) (best []strangerIdentity) {
	for _, c := range chains {
		for i := range min(len(best), len(c)) {
			demand(bytes.Equal(best[i].payload, c[i].payload), "identity-mismatch")
		}
		if len(c) > 0 {
			demand(strangerSum(c[0].payload) == fingerprint, "identity-mismatch")
		}
		if len(c) > len(best) {
			best = c
		}
	}
	demand(len(best) > 0, "unchecked")
	return best
}

type strangerHead struct {
	origin string
	tree   tlog.Tree
	lines  []string
	text   string
}

func readCheckpoint(note string) (h strangerHead) {
	text, lines, ok := strings.Cut(note, "\n\n")
	parts := strings.Split(text, "\n")
	demand(ok && len(parts) == 3 && strings.HasSuffix(lines, "\n"), "malformed")
	size, err := strconv.ParseInt(parts[1], 10, 64)
	root := readBase64(&parts[2], 32)
	demand(err == nil && len(root) == 32 && strconv.FormatInt(size, 10) == parts[1], "malformed")
	return strangerHead{parts[0], tlog.Tree{N: size, Hash: tlog.Hash(root)}, strings.Split(strings.TrimSuffix(lines, "\n"), "\n"), text + "\n"}
}

// signed is step 1 of section 9.3.
func (h strangerHead) signed(l *strangerLog) (active, ended int) {
	seen := make(map[uint32]bool)
	for _, line := range h.lines {
		name, sig, ok := strings.Cut(strings.TrimPrefix(line, "— "), " ")
		demand(ok, "malformed")
		if name != l.Origin {
			continue
		}
		raw := readBase64(&sig, 1<<14)
		demand(len(raw) > 4, "malformed")
		id, good := binary.BigEndian.Uint32(raw), false
		demand(!seen[id], "malformed")
		seen[id] = true
		for _, k := range l.Keys {
			key := readBase64(&k.PublicKey, 44)[12:]
			sum := sha256.Sum256(append([]byte(l.Origin+"\n\x01"), key...))
			if binary.BigEndian.Uint32(sum[:]) != id {
				continue
			}
			good = len(raw) == 68 && ed25519.Verify(key, []byte(h.text), raw[4:])
			if k.Ended == nil {
				active++
			} else {
				ended++
			}
		}
		demand(good, "checkpoint-signature-invalid")
	}
	return active, ended
}

func (a *strangerAnchor) is(t tlog.Tree) bool {
	return a != nil && a.Size == uint64(t.N) && a.Root == base64.StdEncoding.EncodeToString(t.Hash[:])
}

func (l *strangerLog) anchored(t tlog.Tree) bool {
	for _, k := range l.Keys {
		if k.Ended.is(t) {
			return true
		}
	}
	return l.Closed.is(t)
}

// counts is step 2 and 3 of section 9.3.
func (h strangerHead) counts(l *strangerLog, bridges []*strangerBridge) {
	active, ended := h.signed(l)
	if l.Closed == nil && active >= l.Threshold || l.anchored(h.tree) {
		return
	}
	for _, b := range bridges {
		if b == nil || *b.Origin != l.Origin || !b.From.is(h.tree) {
			continue
		}
		to := tlog.Tree{N: int64(b.To.Size), Hash: tlog.Hash(readBase64(&b.To.Root, 32))}
		var proof tlog.TreeProof
		for _, text := range *b.Hashes {
			proof = append(proof, tlog.Hash(readBase64(&text, 32)))
		}
		demand(tlog.CheckTree(proof, to.N, to.Hash, h.tree.N, h.tree.Hash) == nil, "malformed")
		enough := 0
		if b.Checkpoint != "" {
			far := readCheckpoint(b.Checkpoint)
			demand(far.tree == to, "malformed")
			enough, _ = far.signed(l)
		}
		if l.anchored(to) || l.Closed == nil && enough >= l.Threshold {
			return
		}
	}
	demand(active+ended < l.Threshold, "key-ended")
	demand(false, "checkpoint-signature-invalid")
}
