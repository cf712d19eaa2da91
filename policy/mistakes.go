package policy

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
)

// mistakes finds what CEL has a type for and our language no use: comparisons that never hold, and values that could
// grow without a step for each of their parts.
type mistakes struct{}

func (mistakes) Name() string { return "countersign.mistakes" }

func (mistakes) Validate(_ *cel.Env, _ cel.ValidatorConfig, a *ast.AST, issues *cel.Issues) {
	ast.PostOrderVisit(a.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if generationByName(e) {
			issues.ReportErrorAtID(e.ID(), "write ai, whose fields have types: declared, extent, tools, reviewedBy")
		}
		switch e.Kind() {
		case ast.CallKind:
			checkCall(e.AsCall(), issues)
		case ast.ListKind:
			for _, element := range e.AsList().Elements() {
				checkPart(a, element, issues)
			}
		case ast.MapKind:
			for _, entry := range e.AsMap().Entries() {
				checkPart(a, entry.AsMapEntry().Value(), issues)
			}
		case ast.StructKind:
			issues.ReportErrorAtID(e.ID(), "%s cannot be made here", e.AsStruct().TypeName())
		}
	}))
}

// generationByName reports whether e looks for aiGeneration among the attributes, where it never is: what a rule forbids
// of it would be allowed.
func generationByName(e ast.Expr) bool {
	if name := field(e); name != "" && e.Kind() != ast.CallKind {
		return strings.EqualFold(name, "attributes.aiGeneration")
	}
	name, ok := literal(e)
	return ok && strings.EqualFold(name, "aiGeneration")
}

// literal is a text that is written in the expression.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().Value().(string)
	return text, ok
}

func checkCall(call ast.CallExpr, issues *cel.Issues) {
	switch args := call.Args(); call.FunctionName() {
	case overloads.Matches:
		if pattern := args[len(args)-1]; pattern.Kind() != ast.LiteralKind {
			issues.ReportErrorAtID(pattern.ID(), "the regular expression must be written here: it may not come from a value")
		}
	case overloads.StartsWith, overloads.Contains:
		if call.IsMemberFunction() {
			checkSpelling(call.Target(), args[0], issues)
		}
	case operators.Equals, operators.NotEquals:
		checkWord(args[0], args[1], issues)
		checkWord(args[1], args[0], issues)
	case operators.In:
		if args[1].Kind() == ast.ListKind {
			for _, element := range args[1].AsList().Elements() {
				checkWord(args[0], element, issues)
			}
		}
	}
}

// checkWord refuses a comparison of a variable with a text that it never is.
func checkWord(variable, text ast.Expr, issues *cel.Issues) {
	checkSpelling(variable, text, issues)
	name := field(variable)
	known, limited := words[name]
	if word, ok := literal(text); ok && limited && !slices.Contains(known, word) {
		issues.ReportErrorAtID(text.ID(), "%s is never %q: it is one of %s", name, word, strings.Join(known, ", "))
	}
}

// checkSpelling refuses to compare a purl, which is percent-encoded, with a pattern, which is not, or the other way round.
func checkSpelling(variable, text ast.Expr, issues *cel.Issues) {
	word, _ := literal(text)
	switch name := field(variable); {
	case name == "purl" && strings.Contains(word, "/@"):
		issues.ReportErrorAtID(text.ID(), "no purl has %q: write %%40 for the @ of a scope", word)
	case name == "pinNamespace" && strings.Contains(word, "%"):
		issues.ReportErrorAtID(text.ID(), "no pinNamespace has %q: it is not percent-encoded", word)
	}
}

// field is the name of a variable, or of a field of one, however it is selected.
func field(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		return field(e.AsSelect().Operand()) + "." + e.AsSelect().FieldName()
	case ast.CallKind:
		args := e.AsCall().Args()
		if e.AsCall().FunctionName() == operators.Index && args[1].Kind() == ast.LiteralKind {
			return fmt.Sprintf("%s.%v", field(args[0]), args[1].AsLiteral().Value())
		}
	}
	return ""
}

// checkPart refuses a list or map of values that were put together here. With such, a few lines could nest lists whose
// parts number more than anything can count: each holding the one before it many times.
func checkPart(a *ast.AST, e ast.Expr, issues *cel.Issues) {
	switch a.GetType(e.ID()).Kind() {
	case types.ListKind, types.MapKind, types.DynKind, types.AnyKind, types.TypeParamKind:
		if !named(e) {
			issues.ReportErrorAtID(e.ID(), "a list holds texts, numbers and other single values, or attributes as they are")
		}
	}
}

// named reports whether e is a variable or a part of one.
func named(e ast.Expr) bool {
	switch e.Kind() {
	case ast.IdentKind:
		return true
	case ast.SelectKind:
		return named(e.AsSelect().Operand())
	case ast.CallKind:
		return e.AsCall().FunctionName() == operators.Index && named(e.AsCall().Args()[0])
	}
	return false
}
