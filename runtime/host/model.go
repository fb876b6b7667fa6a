package host

import "flagc/runtime/collective"

// Program describes a generated program to Main.
type Program struct {
	Name   string // of the model
	Source string // the model's source file
	Target string
	Vocab  int // token ids lie below it
	// Weights says which weights the program takes.
	Weights Weights
	// Mesh is how the ranks stand on which the program runs; nil for one.
	Mesh collective.Mesh
	// Load binds the weights of a rank and returns a model that runs on the given number of threads (below 1: one for
	// each processor). Problems with tensors are collected by the binder.
	Load func(w *Binder, threads int) Model
}

// Model is what generated code implements. Ids are row-major [batch, s]; logits are [batch, Vocab] and are
// valid until the next call of the same method.
type Model interface {
	// Reset gives all states their initial values, for batch sequences of at most maxSeq tokens.
	Reset(batch, maxSeq int)
	// Prefill runs the first tokens of each sequence.
	Prefill(ids []int32) (logits []float32)
	// Decode runs one token of each sequence after p others.
	Decode(ids []int32, p int) (logits []float32)
	// Record sends traced values to rec from now on; nil ends it.
	Record(rec *Recorder)
	// Close ends the workers. The model must not be used afterwards.
	Close()
}

// Drafter is a Model with a multi-token prediction block. Both methods continue from what the preceding
// Prefill or Decode left, and take for each of its tokens the one that follows.
type Drafter interface {
	DraftPrefill(ids []int32) (logits []float32)
	DraftDecode(ids []int32, p int) (logits []float32)
}
