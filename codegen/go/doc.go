// Package gohost turns a verified graph into the Go program that runs it: a module of its own, complete with the
// runtime's sources, that builds with nothing but the Go toolchain.
//
// Every function of the graph becomes a method of Model, each instruction one statement that calls a kernel
// (table rules). Names come from the graph: sizes are constants under their letters, weights and states are
// fields along their dotted names, intermediate values are fields of the function's temporaries.
//
// Go is built as values of package jen, which formats it and finds its imports; type expr adds what larger
// expressions need to know of smaller ones.
//
// The package must not know the model, passes or Triton. It knows operators only through the table, which a test
// holds complete.
//
// Invariants of what Generate returns:
//   - the files depend on the module and the options alone, byte for byte;
//   - go build, go vet and gofmt have nothing to say about them;
//   - memory for values is allocated only where a call is larger than all before it, and a decoded token takes none;
//   - a value's memory is written to again only when nothing reads the value any more.
package gohost
