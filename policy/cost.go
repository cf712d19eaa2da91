package policy

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"countersign.dev/provenance"
)

// maxEstimate refuses a loop over attributes within a loop over attributes, and lets through what does one thing for each
// of them.
const maxEstimate = 1_000_000_000

// bounds are the sizes of what expressions see, for the estimate.
type bounds struct{}

func (bounds) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// EstimateSize knows that no part of the attributes, ai among them, is larger than the whole.
func (bounds) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if len(n.Path()) == 0 {
		return nil
	}
	size := cost.SizeEstimate{Max: provenance.MaxPurl}
	if root := n.Path()[0]; root == "attributes" || root == "ai" {
		size.Max = provenance.MaxPublication
	}
	return &size
}

// prices are those of regular expressions: CEL takes the length of one for the size of its program, which we bound.
func prices() []cost.OverloadModel {
	return []cost.OverloadModel{
		cost.Overload(overloads.Matches, cost.EvalCost(cost.Sum(cost.Const(1), cost.Arg(0)))),
		cost.MemberOverload(overloads.MatchesString, cost.EvalCost(cost.Sum(cost.Const(1), cost.Target()))),
	}
}

// limits hold an evaluation to MaxCost.
func limits() []cel.ProgramOption {
	return []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize), cel.CostTracking(meter{types.NewSizeCalculator()}), cel.CostLimit(MaxCost)}
}

// meter counts the steps of calls whose work grows with their values where CEL counts one, or looks at the outermost list
// alone. It goes by the function: which overload it is, CEL does not know where a value is an attribute.
type meter struct{ sizes *types.SizeCalculator }

func (m meter) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	var n uint64
	switch function {
	case operators.Equals, operators.NotEquals:
		n = 1 + m.compared(args[0], args[1])
	case operators.In:
		n = 1
		if _, list := args[1].(traits.Lister); list {
			n += m.size(args[1])
		}
	case operators.Add:
		n = 1 + added(args[0], args[1])
	case overloads.TypeConvertBool, overloads.TypeConvertInt, overloads.TypeConvertUint, overloads.TypeConvertDouble, overloads.TypeConvertString,
		overloads.TypeConvertBytes, overloads.TypeConvertTimestamp, overloads.TypeConvertDuration:
		n = 1 + scalar(args[0])
	default:
		return nil
	}
	return &n
}

// compared counts a comparison: containers of different lengths differ at once, others are looked at as a whole.
func (m meter) compared(a, b ref.Val) uint64 {
	x, xOK := a.(traits.Sizer)
	y, yOK := b.(traits.Sizer)
	if !container(a) || !container(b) {
		return min(scalar(a), scalar(b))
	}
	if !xOK || !yOK || x.Size().Equal(y.Size()) != types.True {
		return 0
	}
	return m.size(a) + m.size(b)
}

func container(v ref.Val) bool {
	switch v.(type) {
	case traits.Lister, traits.Mapper:
		return true
	}
	return false
}

// size counts all that a value contains.
func (m meter) size(v ref.Val) uint64 { return uint64(m.sizes.AggregateSize(v)) }

// added counts what is copied, and for lists what comes in: a sum of lists is only looked through.
func added(a, b ref.Val) uint64 {
	if list, ok := b.(traits.Lister); ok {
		n, _ := list.Size().Value().(int64)
		return uint64(n)
	}
	return scalar(a) + scalar(b)
}

// scalar counts ten characters as a step.
func scalar(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v) / 10)
	case types.Bytes:
		return uint64(len(v) / 10)
	}
	return 0
}
