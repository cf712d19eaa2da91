package provenance

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"countersign.dev/strict"
)

// ParseEntry reads one log entry: a *Countersignature, *RegistryStatement, *Withdrawal, *StatusStatement, *Identity,
// *Enrolment or *EnrolmentEnd. It verifies no signature. Anything else is an error, and a ledger holding it does not open.
func ParseEntry(data []byte) (any, error) {
	if len(data) > MaxEntry {
		return nil, fmt.Errorf("log entry has %d bytes, at most %d are allowed", len(data), MaxEntry)
	}
	if s := (spelling{rest: string(data)}); s.follows(statementBegin) {
		if subject, w, ok := s.countersignature(); ok {
			return named("countersignature", func([]byte) (*Countersignature, error) { return newCountersignature(subject, w) }, data)
		}
	}
	// Only the type is read here; the parser for that type is strict about everything, the type included.
	var kind struct {
		PredicateType string `json:"predicateType"`
		PayloadType   string `json:"payloadType"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return nil, errors.New("log entry is not a JSON object")
	}
	switch {
	case kind.PredicateType != "" && kind.PayloadType != "":
	case kind.PredicateType == countersignatureType:
		return named("countersignature", parseCountersignature, data)
	case kind.PredicateType == registryStatementType:
		return named("registry statement", parseRegistryStatement, data)
	case kind.PredicateType == withdrawalType:
		return named("withdrawal", parseWithdrawal, data)
	case kind.PredicateType == statusType:
		return named("status", parseStatusStatement, data)
	case kind.PayloadType != "":
		return parseEnvelopeEntry(data)
	}
	return nil, errors.New("log entry is of no known type")
}

// parseEnvelopeEntry insists on the one spelling of an envelope, so that an entry can be rebuilt from what it holds.
func parseEnvelopeEntry(data []byte) (any, error) {
	e := new(Envelope)
	if err := strict.JSON(data, e); err != nil {
		return nil, fmt.Errorf("log entry: %w", err)
	}
	if string(e.JSON()) != string(data) {
		return nil, errors.New("log entry: envelope is not in its compact form")
	}
	switch e.PayloadType {
	case identityPayload:
		return ParseIdentity(e)
	case enrolmentPayload:
		return ParseEnrolment(e)
	case enrolmentEndPayload:
		return ParseEnrolmentEnd(e)
	}
	return nil, fmt.Errorf("log entry: payloadType %.80q is not known", e.PayloadType)
}

// named keeps a Refusal as it is, so that its code survives, and says of other errors which document they are about.
func named[T any](what string, parse func([]byte) (T, error), data []byte) (any, error) {
	v, err := parse(data)
	if err == nil {
		return v, nil
	}
	var r *Refusal
	if errors.As(err, &r) {
		return nil, err
	}
	return nil, fmt.Errorf("%s: %w", what, err)
}
