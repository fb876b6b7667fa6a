// Package host is the part of a generated program that does not depend on the model: its command line, its ranks, the
// loop over tokens, binding the checkpoint's tensors, recording traces, and memory for intermediate values.
//
// It must not know models, graphs or targets: a generated program describes itself with a Program and computes
// through the Model interface.
//
// Invariants:
//   - Mistakes of the user end with one clear sentence and exit code 1 (2 for the command line itself).
//   - A run is determined by the checkpoint, the tokens and the seed; the number of threads does not matter, nor do
//     ranks as goroutines or as processes. Every rank chooses the same tokens, rank 0 alone shows them.
//   - Converted weights are bound only where they follow a plan that the program was built with; others are refused with
//     the command that makes the right ones.
//   - However a run ends, no process, socket or folder of it is left.
//   - Output files appear complete or not at all.
package host
