package policy

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"countersign.dev/provenance"
)

// The limits of an expression.
const (
	MaxExpression = 4096    // characters of its text
	MaxCost       = 100_000 // steps that one evaluation may take
	maxLoops      = 3       // within one another
	maxRegexp     = 200     // instructions of a compiled regular expression
	maxNesting    = 50
)

// variables are what expressions see. CEL keeps the word namespace to itself.
func variables() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable("purl", cel.StringType),
		cel.Variable("pinNamespace", cel.StringType),
		cel.Variable("registry", cel.StringType),
		cel.Variable("basis", cel.StringType),
		cel.Variable("publisher", cel.StringType),
		cel.Variable("publisherEnded", cel.BoolType),
		cel.Variable("attributes", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("ai", cel.ObjectType("ai")),
		cel.Variable("signedAt", cel.TimestampType),
		cel.Variable("countersignedAt", cel.TimestampType),
		cel.Variable("now", cel.TimestampType),
	}
}

// generation is the variable ai.
type generation struct {
	Declared   bool     `cel:"declared"`
	Extent     string   `cel:"extent"`
	Tools      []tool   `cel:"tools"`
	ReviewedBy []string `cel:"reviewedBy"`
}

type tool struct {
	Name    string `cel:"name"`
	Version string `cel:"version"`
}

// words are all that a variable can be: a comparison with another is a mistake.
var words = map[string][]string{
	"basis":     {string(provenance.ByPublisher), string(provenance.ByRegistry)},
	"ai.extent": {"none", "assisted", "generated"},
}

func newLanguage() (*cel.Env, error) {
	tags := types.ParseStructTags(true)
	return cel.NewCustomEnv(append(variables(),
		cel.StdLib(cel.StdLibSubset(without())),
		cel.Types(cel.NativeTypeFor[tool](cel.NativeTypeAlias("tool"), tags), cel.NativeTypeFor[generation](cel.NativeTypeAlias("ai"), tags)),
		cel.ParserExpressionSizeLimit(MaxExpression),
		cel.ParserRecursionLimit(maxNesting),
		cel.RegexProgramSizeLimit(maxRegexp),
		cel.CostModel(prices()...),
		cel.ExtendedValidations(),
		cel.ASTValidators(cel.ValidateComprehensionNestingLimit(maxLoops), mistakes{}),
	)...)
}

// without is what our language leaves out of CEL: dyn and type, which turn type checking off, and time zones by name, of
// which each machine has its own table.
func without() *env.LibrarySubset {
	leaveOut := func(function string, ids ...string) *env.Function {
		f := &env.Function{Name: function}
		for _, id := range ids {
			f.Overloads = append(f.Overloads, &env.Overload{ID: id})
		}
		return f
	}
	return &env.LibrarySubset{ExcludeFunctions: []*env.Function{
		leaveOut(overloads.TypeConvertDyn),
		leaveOut(overloads.TypeConvertType),
		leaveOut(overloads.TimeGetFullYear, overloads.TimestampToYearWithTz),
		leaveOut(overloads.TimeGetMonth, overloads.TimestampToMonthWithTz),
		leaveOut(overloads.TimeGetDayOfYear, overloads.TimestampToDayOfYearWithTz),
		leaveOut(overloads.TimeGetDayOfMonth, overloads.TimestampToDayOfMonthZeroBasedWithTz),
		leaveOut(overloads.TimeGetDate, overloads.TimestampToDayOfMonthOneBasedWithTz),
		leaveOut(overloads.TimeGetDayOfWeek, overloads.TimestampToDayOfWeekWithTz),
		leaveOut(overloads.TimeGetHours, overloads.TimestampToHoursWithTz),
		leaveOut(overloads.TimeGetMinutes, overloads.TimestampToMinutesWithTz),
		leaveOut(overloads.TimeGetSeconds, overloads.TimestampToSecondsWithTz),
		leaveOut(overloads.TimeGetMilliseconds, overloads.TimestampToMillisecondsWithTz),
	}}
}
