// Package tritoncheck holds printed kernels against Triton itself, on a machine without any accelerator: it runs
// them under Triton's interpreter, compiles them ahead of time for several devices, and lowers them with the
// public front end for Ascend.
//
// A folder of kernels is kernels.json and one .py file per kernel, see Manifest. The checks are Python programs,
// embedded here and run in virtual environments of this package's own, which are made from pinned requirements on
// first use and kept in the user's cache folder. Results of the compilers are kept there too, by content. The
// package must not know how kernels are made.
//
// What cannot run on this machine is no failure: see Unavailable and Cell.
package tritoncheck
