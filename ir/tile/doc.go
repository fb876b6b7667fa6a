// Package tile is the second level of IR: the body of one kernel. A program of it reads and writes tiles, which are
// arrays of static shape that live on chip; many instances of the program run side by side, each knowing its number.
//
// There is one level and it is small: a kernel reads like its algorithm. A Builder fills it, Verify checks that it is
// well formed, Interpret runs it with the arithmetic of a device (bf16 and fp8 rounded to nearest even, sums in
// float32), Print and Parse carry it as text, and code generation prints it as Triton. Rules of machines are checks
// and rewrites on it.
//
// Numbers are computed in float32 or int32, whatever they are stored as: a load widens, a store rounds. So no result
// depends on how a device, or an interpreter of Triton, computes in bf16. Only Dot takes narrow operands.
//
// The package knows nothing of models, operators or vendors.
package tile
