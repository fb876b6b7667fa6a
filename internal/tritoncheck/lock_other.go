//go:build !unix

package tritoncheck

import "errors"

// lock says that the checks are for systems that Triton supports.
func lock(string) (func(), error) { return nil, errors.New("Triton runs on Linux only") }
