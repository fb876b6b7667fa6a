package targets

// CPU computes the whole model in the generated Go program.
var CPU = Target{
	Name:   "cpu",
	Doc:    "the generated Go program on its own: float32 with the official roundings, weights as stored",
	Vendor: "any",
	Tier:   Verified, // the test suite compiles and runs it
	Policy: PolicyNative,
	Host:   Host{Executes: true},
}
