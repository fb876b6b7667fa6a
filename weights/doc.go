// Package weights knows how a model's weights lie in a checkpoint of the official format: which tensors there
// are and how they are stored, whether a checkpoint is what a configuration says, how its bytes become numbers,
// and how to make a checkpoint of random weights.
//
// Everything follows from the parameter sets of an ir.Module. Names of single tensors appear in names.go only,
// for messages, classes in reports, the official split into files, and the magnitudes of made weights.
// The package must not know passes, targets or generated code.
//
// Invariants:
//   - Expected is the one list of tensors; Check, Source, Make and Inspect all start from it.
//   - Widening is exact: a stored code times its power-of-two scale, as float64.
//   - Make writes the same bytes for the same module, configuration and seed on every machine.
//   - A damaged or foreign checkpoint gives an error that names the tensor; it never panics.
package weights
