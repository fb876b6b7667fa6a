// Package weights knows how a model's weights lie in a checkpoint of the official format: which tensors it
// has and how they are stored, whether a checkpoint is what its configuration says, how its bytes become
// numbers, how to make a checkpoint of random weights, and how to convert one to what a build keeps: planned first,
// streamed in bounded memory, verified.
//
// Everything follows from the parameter sets of an ir.Module. Names of single tensors decide about messages
// (names.go, variants.go), classes in reports, the split into files, and the magnitudes of made weights
// (recipe.go), and about nothing else.
// The package must not know passes, targets or generated code.
//
// Invariants:
//   - Expected is the one list of tensors; Check, Source, Make and Inspect all start from it.
//   - Widening is exact: a stored code times its power-of-two scale, as float64.
//   - A Plan says of every output byte where it comes from; Convert, Verify and weights.json follow from it.
//   - Convert keeps every number or refuses; its result has its name only when it is complete; an interrupted
//     conversion goes on to the same bytes.
//   - Make writes the same bytes for the same module, configuration and seed on every machine.
//   - A damaged or foreign checkpoint gives an error that names the tensor; it never panics.
package weights
