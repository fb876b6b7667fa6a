package weights

import "flagc/ir"

// Amount counts tensors and their bytes.
type Amount struct {
	Tensors int   `json:"tensors"`
	Bytes   int64 `json:"bytes"`
}

func (a *Amount) add(bytes int64) {
	a.Tensors++
	a.Bytes += bytes
}

// Totals are the figures by which checkpoints are published.
type Totals struct {
	Amount                     // all tensors; Bytes is the index's total_size
	MTP      Amount            `json:"mtp"`              // the part under "mtp."
	ByDType  map[string]Amount `json:"by_dtype"`         // by safetensors tag
	Elements int64             `json:"elements"`         // as stored: scales count, two FP4 codes are one
	Main     int64             `json:"parameters_main"`  // model parameters without the MTP block
	All      int64             `json:"parameters_total"` // with it
}

// Summary adds up what Expected lists.
func Summary(m *ir.Module) Totals {
	s := Totals{ByDType: map[string]Amount{}}
	for _, t := range Expected(m) {
		bytes, parameters := t.Bytes(), t.Parameters()
		s.add(bytes)
		of := s.ByDType[t.DType]
		of.add(bytes)
		s.ByDType[t.DType] = of
		s.Elements += t.Count()
		s.All += parameters
		if t.MTP() {
			s.MTP.add(bytes)
		} else {
			s.Main += parameters
		}
	}
	return s
}
