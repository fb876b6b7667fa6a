// Package formats converts between float64 or float32 and the storage formats of the model:
// bf16, fp8 E4M3FN, fp4 E2M1 and the power-of-two scales UE8M0, and computes the scales of the two
// activation quantisers (spec §2.1, §2.2).
//
// It works on single scalars. It must not know tensors, shapes, files or the model.
//
// Invariants:
//   - Every conversion to a narrower format rounds exactly once, to nearest with ties to even.
//     A float64 is never sent through float32 on its way: that would round twice, and differ.
//   - Signs survive, those of zeros included.
//   - The Round functions return what storing and loading again would return; NaN stays NaN where the
//     format has one.
//   - Results are the same on every platform: no operation here may be fused or reordered.
package formats
