// Package py holds the Python that is written beside kernels as it stands, and not generated.
package py

import "embed"

// Files are the modules, by their names in a folder of kernels.
//
//go:embed *.py
var Files embed.FS

// Numerics is the module that repairs the number formats of Triton's interpreter.
const Numerics = "numerics.py"
