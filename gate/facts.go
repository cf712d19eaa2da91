package gate

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
)

// facts are what the summary says of a verified package.
type facts struct {
	basis      provenance.Basis
	publishers []string
	claims     []provenance.AIGeneration // of each file that differs
	unknown    []string                  // attributes without a defined meaning
	ended      bool                      // a publisher's enrolment ended since
}

func factsOf(results []*provenance.Result) facts {
	f := facts{basis: provenance.ByPublisher}
	for _, r := range results {
		if r.Basis == provenance.ByRegistry {
			f.basis = provenance.ByRegistry
		} else if !slices.Contains(f.publishers, r.Publisher) {
			f.publishers = append(f.publishers, r.Publisher)
		}
		f.ended = f.ended || !r.PublisherEnded.IsZero()
		f.attributes(r.Attributes)
	}
	return f
}

func (f *facts) attributes(claims jsontext.Value) {
	var all map[string]jsontext.Value
	if len(claims) == 0 || json.Unmarshal(claims, &all) != nil {
		return
	}
	for name, value := range all {
		if name != "aiGeneration" {
			if !slices.Contains(f.unknown, name) {
				f.unknown = append(f.unknown, name)
			}
			continue
		}
		var ai provenance.AIGeneration
		same := func(b provenance.AIGeneration) bool {
			return ai.Extent == b.Extent && slices.Equal(ai.Tools, b.Tools) && slices.Equal(ai.ReviewedBy, b.ReviewedBy)
		}
		if json.Unmarshal(value, &ai) == nil && !slices.ContainsFunc(f.claims, same) {
			f.claims = append(f.claims, ai)
		}
	}
	slices.Sort(f.unknown)
}
