// Package policy decides by a consumer's own rules about what a verified bundle says: who signed, when, and what the
// publisher claims about the package.
//
// A policy file is strict TOML. Each rule has a name, a severity, a message for people, and an expression in CEL, the
// Common Expression Language, that says what must hold:
//
//	version = 1
//
//	[[rule]]
//	name      = "reviewed-ai"
//	severity  = "error"
//	message   = "generated code that nobody reviewed"
//	namespace = ["pkg:npm/@acme/*"]
//	allow     = 'ai.extent != "generated" || size(ai.reviewedBy) > 0'
//
//	[[example]]
//	purl       = "pkg:npm/%40acme/widget@1.0.0"
//	attributes = '{"aiGeneration": {"extent": "generated", "tools": [], "reviewedBy": []}}'
//	violates   = ["reviewed-ai"]
//
// A severity of "error", which leaving it out means too, is for packages to refuse; "warning" and "note" are said. A
// rule with namespaces, patterns as in pins, applies to these names alone. The examples are the policy's own tests: each
// names the rules that it violates, and every rule needs one example that violates it and one that it applies to and
// that does not. docs/attributes.md is the manual of the language.
//
// # What a rule sees
//
// The variables are those of the function variables. Everything about generated code is in ai, which has a type: a
// mistaken field, or a word that is none of the extents, is an error when the policy is loaded and not a rule that never
// applies. Everything else that a publisher claims is in attributes, whose names and types nobody vouches for.
//
// # Nothing passes by accident
//
// A rule is violated when its expression is false, and also when it has no answer: an attribute that is not there, a
// value of another type, more work than a rule may take. The finding then says so. signedAt has no value where no
// publisher signed, so a rule that asks for it is violated there, unless it asks for the basis first.
//
// # Nothing takes long
//
// The attributes are an attacker's. Their size is bounded by the format; the expression, its nesting and its regular
// expressions are bounded here. An expression whose work could grow with the square of the attributes is refused when
// it is loaded, by an estimate; what it does is counted as it runs, and stopped at MaxCost. Both count steps, not time:
// a policy has the same answer on every machine.
package policy
