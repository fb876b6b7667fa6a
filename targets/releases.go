package targets

// Kind is a form in which converted weights of a model are handed out: for a target, at a precision.
type Kind struct {
	Model     string // as published: "DeepSeek-V4-Flash"
	Target    string
	Policy    Policy
	Published bool // by the integrators of these machines; the others are what flagc adds
	Why       string
}

// Kinds lists the nine published kinds and those that nobody publishes.
var Kinds = []Kind{
	{flash, "h20", PolicyFP8, true, "experts recast from FP4, which the machine does not multiply"},
	{flash, "s5000", PolicyFP8, true, "experts recast from FP4"},
	{flash, "ascend-910b-64g", PolicyBF16, true, "no FP8 products"},
	{flash, "bw1000", PolicyBF16, true, "FP8 products are emulated"},
	{flash, "c550", PolicyBF16, true, "no FP8 products"},
	{flash, "p800", PolicyBF16, true, "no FP8 products"},
	{flash, "zhenwu-810e", PolicyBF16, true, "FP8 products are emulated"},
	{flash, "bi-v150", PolicyBF16, true, "no FP8 products"},
	{pro, "h20", PolicyFP8, true, "experts recast from FP4"},

	{flash, "h20", PolicyW4A8, false, "experts stay FP4 in memory: half the bytes of fp8"},
	{flash, "ascend-910b-32g", PolicyW4A16, false, "cards of 32 GB: experts stay FP4 in memory"},
	{flash, "bi-v150", PolicyW4A16, false, "cards of 32 GB: experts stay FP4 in memory"},
	{flash, "bi-v100", PolicyW4A16, false, "cards of 32 GB: experts stay FP4 in memory"},
	{pro, "h20", PolicyW4A8, false, "experts stay FP4 in memory: half the bytes of fp8"},
	{pro, "ascend-910b-64g", PolicyW4A16, false, "a quarter of the bytes of bf16"},
	{pro, "ascend-910b-32g", PolicyW4A16, false, "cards of 32 GB: experts stay FP4 in memory"},
}

const (
	flash = "DeepSeek-V4-Flash"
	pro   = "DeepSeek-V4-Pro"
)

// KindsOf lists the kinds of a model. A model that is not published, such as a small one for tests, has all those
// that Flash has, and none of them is published.
func KindsOf(model string) (out []Kind) {
	of := model
	if model != flash && model != pro {
		of = flash
	}
	for _, k := range Kinds {
		if k.Model == of {
			k.Model, k.Published = model, k.Published && of == model
			out = append(out, k)
		}
	}
	return out
}
