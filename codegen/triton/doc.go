// Package triton turns kernel functions of a graph into tile programs, holds these against a target's rules and
// prints them as Triton.
//
// A kernel is written once. What a machine needs is a rewrite of the tile program that asks for a trait, and what
// it cannot do is refused before any text is printed. The text is that of a careful author: the mathematics in the
// docstring, small expressions inlined, one statement for each value that has a name.
//
// The text is valid for Triton 3.2 to 3.6 and under Triton's interpreter. It depends on the program alone, byte for
// byte.
//
// The package must not know passes or vendors by name.
package triton
