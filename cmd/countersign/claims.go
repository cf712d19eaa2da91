package main

import (
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/provenance"
	"countersign.dev/strict"
)

// claims are what a publisher says about how a file was made.
type claims struct {
	file, extent    string
	tools, reviewed list
}

func claimFlags(flags *flag.FlagSet) *claims {
	c := new(claims)
	flags.StringVar(&c.file, "attribute-file", "", "")
	flags.StringVar(&c.extent, "ai", "", "")
	flags.Var(&c.tools, "ai-tool", "")
	flags.Var(&c.reviewed, "reviewed-by", "")
	return c
}

// attributes are those of the file with the defined one added.
func (c *claims) attributes() (jsontext.Value, error) {
	all := make(map[string]jsontext.Value)
	if c.file != "" {
		data, err := readDocument(c.file)
		if err != nil {
			return nil, err
		}
		if err := strict.JSON(data, &all); err != nil {
			return nil, hint(fmt.Errorf("%s: %w", c.file, err), `it must hold one JSON object, for example {"build": "https://ci.example/42"}`)
		}
	}
	ai, err := c.aiGeneration()
	if err != nil {
		return nil, err
	}
	if ai != nil {
		if _, twice := all["aiGeneration"]; twice {
			return nil, misused("aiGeneration is in %s and in --ai: leave one out", c.file)
		}
		if all["aiGeneration"], err = json.Marshal(ai); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all, json.Deterministic(true))
}

func (c *claims) aiGeneration() (*provenance.AIGeneration, error) {
	switch c.extent {
	case "":
		if c.tools != nil || c.reviewed != nil {
			return nil, hint(misuse{errors.New("--ai-tool and --reviewed-by say more about --ai, which is missing")}, "add --ai assisted, or --ai generated")
		}
		return nil, nil
	case "none":
		if c.tools != nil {
			return nil, misused("--ai none contradicts --ai-tool %s", c.tools[0])
		}
	case "assisted", "generated":
	default:
		return nil, misused("--ai %q is not none, assisted or generated", c.extent)
	}
	ai := &provenance.AIGeneration{Extent: c.extent, Tools: []provenance.Tool{}, ReviewedBy: append([]string{}, c.reviewed...)}
	for _, s := range c.tools {
		name, version, _ := strings.Cut(s, "=")
		if name == "" || version == "" {
			return nil, hint(misused("--ai-tool %q is not NAME=VERSION", s), "for example --ai-tool scribe=2.1")
		}
		ai.Tools = append(ai.Tools, provenance.Tool{Name: name, Version: version})
	}
	return ai, nil
}
