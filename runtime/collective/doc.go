// Package collective is where the ranks of a program meet: every rank brings numbers and leaves with a sum, a part
// of a sum, or the numbers of all.
//
// All meetings are held by one hub, which lives with rank 0. Ranks in its process reach it directly, ranks in
// other processes through a local socket; the arithmetic is the hub's in both cases.
//
// It must not know models or graphs: it knows ranks, communicators and slices.
//
// Invariants:
//   - Sums are taken in the order of ranks, so results are the same bits in every run and however the ranks reach
//     the hub.
//   - Every rank issues the same calls in the same order. The hub compares them as they come in, so that ranks
//     which disagree end with an error that names both, and never wait for each other.
//   - A rank that ends, is lost or does not come in time ends the others with one message. A failure is kept:
//     calls after it return at once and yield zeros, until the caller looks at Err.
package collective
