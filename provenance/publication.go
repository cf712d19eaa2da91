package provenance

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/strict"
)

const publicationType = "https://countersign.dev/publication/v1"

// Publication is a publisher's signed word: this file is this coordinate, for this registry, with these attributes.
type Publication struct {
	Envelope   *Envelope
	Subject    Subject
	Registry   string
	Coordinate Coordinate
	SignedAt   time.Time
	Attributes jsontext.Value // a JSON object: claims of the publisher
}

type publicationPredicate struct {
	Registry   string         `json:"registry"`
	Purl       string         `json:"purl"`
	SignedAt   Time           `json:"signedAt"`
	Attributes jsontext.Value `json:"attributes"`
}

// AIGeneration is the one attribute with a defined shape.
type AIGeneration struct {
	Extent     string   `json:"extent"` // none, assisted or generated
	Tools      []Tool   `json:"tools"`
	ReviewedBy []string `json:"reviewedBy"` // key fingerprints
}

// Tool is a generator of code.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// ParsePublication checks everything about a publication but its signature, which needs the enrolled key:
// see Envelope.SignedBy. A purl that is not canonical gives a *CanonicalError.
func ParsePublication(e *Envelope) (*Publication, error) {
	if err := e.open(inTotoPayload, MaxPublication); err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	if _, err := e.single(); err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	subject, pred, attributes, err := decodePublication(e.Payload)
	if err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	p := &Publication{Envelope: e, Subject: subject, Registry: pred.Registry, SignedAt: pred.SignedAt.Time, Attributes: pred.Attributes}
	if p.Coordinate, err = ParseCoordinate(pred.Purl); err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	return p, p.check(attributes)
}

// decodePublication also gives the attributes by their names.
func decodePublication(payload []byte) (Subject, publicationPredicate, map[string]jsontext.Value, error) {
	s := spelling{rest: string(payload)}
	if subject, pred, ok := s.publication(); ok {
		if attributes, err := byName(pred.Attributes); err == nil {
			return subject, pred, attributes, nil
		}
	}
	subject, pred, err := decodeStatement[publicationPredicate](payload, publicationType)
	if err != nil {
		return subject, pred, nil, err
	}
	attributes, err := byName(pred.Attributes)
	if err != nil {
		err = fmt.Errorf("attributes: %w", err)
	}
	return subject, pred, attributes, err
}

// byName reads the attributes strictly.
func byName(attributes jsontext.Value) (all map[string]jsontext.Value, err error) {
	switch {
	case string(attributes) == "{}":
		return nil, nil
	case attributes.Kind() != '{':
		return nil, errors.New("not a JSON object")
	}
	err = strict.JSON(attributes, &all)
	return all, err
}

func (p *Publication) check(attributes map[string]jsontext.Value) error {
	if err := CheckRegistry(p.Registry); err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	if err := p.Subject.check(p.Coordinate); err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	if p.SignedAt.IsZero() {
		return errors.New("publication: signedAt is missing")
	}
	if _, err := aiGeneration(attributes); err != nil {
		return fmt.Errorf("publication: attributes: %w", err)
	}
	return nil
}

// AIGeneration gives the publisher's claim about generated code, or nil where there is none.
func (p *Publication) AIGeneration() (*AIGeneration, error) {
	all, err := byName(p.Attributes)
	if err != nil {
		return nil, err
	}
	return aiGeneration(all)
}

func aiGeneration(all map[string]jsontext.Value) (*AIGeneration, error) {
	for name := range all {
		if name != "aiGeneration" && strings.EqualFold(name, "aiGeneration") {
			return nil, fmt.Errorf("%q: write aiGeneration", name) // lenient readers would take it for that
		}
	}
	raw, ok := all["aiGeneration"]
	if !ok {
		return nil, nil
	}
	ai := new(AIGeneration)
	if err := strict.JSON(raw, ai); err != nil {
		return nil, fmt.Errorf("aiGeneration: %w", err)
	}
	return ai, ai.check()
}

func (ai *AIGeneration) check() error {
	switch ai.Extent {
	case "none", "assisted", "generated":
	default:
		return fmt.Errorf(`aiGeneration: extent %.40q is not "none", "assisted" or "generated"`, ai.Extent)
	}
	if ai.Tools == nil || ai.ReviewedBy == nil {
		return errors.New("aiGeneration: tools and reviewedBy must be there, empty lists if need be")
	}
	for _, t := range ai.Tools {
		if t.Name == "" || t.Version == "" {
			return errors.New("aiGeneration: a tool needs a name and a version")
		}
	}
	for i, id := range ai.ReviewedBy {
		if err := checkDigest("aiGeneration: reviewedBy", id); err != nil {
			return err
		}
		if slices.Contains(ai.ReviewedBy[:i], id) { // policies count them
			return fmt.Errorf("aiGeneration: reviewedBy: %s is there twice", id)
		}
	}
	return nil
}

// Draft is what a publisher is about to sign.
type Draft struct {
	Registry   string
	Coordinate Coordinate
	FileName   string // informative, except for PyPI where it must be the coordinate's
	Digests    Digests
	SignedAt   time.Time
	Attributes jsontext.Value // a JSON object; empty means {}
}

// Sign makes the publication and holds it to the rules that the registry will apply.
func (d Draft) Sign(key crypto.Signer) (*Publication, error) {
	if len(d.Attributes) == 0 {
		d.Attributes = jsontext.Value("{}")
	}
	payload, err := encodeStatement(Subject{d.FileName, d.Digests}, publicationType,
		publicationPredicate{d.Registry, d.Coordinate.String(), At(d.SignedAt), d.Attributes})
	if err != nil {
		return nil, fmt.Errorf("publication: attributes: %w", err)
	}
	e, err := Sign(inTotoPayload, payload, key)
	if err != nil {
		return nil, err
	}
	return ParsePublication(e)
}

// Publisher is the fingerprint under which the publication is signed, as its envelope says.
func (p *Publication) Publisher() string { return p.Envelope.Signatures[0].KeyID }
