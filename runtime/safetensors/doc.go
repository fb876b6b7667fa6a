// Package safetensors reads and writes checkpoints in the safetensors format: single files, and folders
// of shards with an index.
//
// A file is an 8-byte little-endian header length, a JSON header that gives each tensor's dtype, shape
// and byte range, and the tensor data. Reading maps the file; data is touched only where it is used.
//
// The package must not know what the tensors mean: names, layers and scales belong to its callers.
//
// Invariants of what Open and OpenCheckpoint return:
//   - every byte after the header belongs to exactly one tensor;
//   - every tensor's length is the product of its shape times the size of its dtype;
//   - in a checkpoint every tensor is in the one file that the index names for it, and nothing else is.
//
// Files are hostile until checked: no input makes the package panic, or allocate more than a small
// multiple of the header's size. Errors name the file and the tensor or key.
package safetensors
