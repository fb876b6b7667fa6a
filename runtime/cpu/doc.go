// Package cpu holds the kernels that a generated host program calls when it runs on the CPU: linears over
// weights as the checkpoint stores them, and the model's other operators.
//
// It knows numbers and shapes only. It must not know graphs, targets, tensor names or files: weights come
// as byte slices in checkpoint layout, usually of a mapped file.
//
// Invariants:
//
//   - Activations are []float32, row-major. Where the model stores bf16 the values are bf16 numbers, and
//     the kernel that produces them rounds to nearest even (spec §11).
//   - Every output element is computed by one worker in an order that depends on the shapes alone, so
//     results do not depend on the number of threads or on timing.
//   - Linears that are rounded to bf16 (see Linear) and the dot products of index scores may accumulate in
//     float32. Other sums of several terms, attention's included, go through float64 and round once: one bf16
//     value that comes out as its neighbour makes whole runs part from exact arithmetic.
//   - A kernel whose slices do not fit its shape panics, naming the kernel and the operand: the caller is
//     generated, so this is a mistake of the generator, never of a user.
//
// Vector kernels for AVX-512, or for AVX2 with FMA, are chosen when the program starts; other machines run
// portable ones. FLAGC_CPU in the environment asks for avx512, avx2 or generic; a name that is unknown or
// that the machine cannot run has no effect (see Implementation). Implementations differ in the order of
// sums, hence in last bits.
package cpu
