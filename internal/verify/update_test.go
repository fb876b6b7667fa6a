package verify

import _ "flagc/internal/golden" // go test ./... -update reaches every package
