package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"flagc/ir"
)

// setting is one key of a configuration with its value as it is written.
type setting struct {
	key   string
	value json.RawMessage
}

// settings reads the keys of a configuration in their order.
func settings(config []byte) ([]setting, error) {
	d := json.NewDecoder(bytes.NewReader(config))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.Join(errors.New("config.json is no JSON object"), err)
	}
	var all []setting
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("config.json: %w", err)
		}
		s := setting{key: fmt.Sprint(key)}
		if err := d.Decode(&s.value); err != nil {
			return nil, fmt.Errorf("config.json: %s: %w", s.key, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// configText writes settings as config.json has them.
func configText(all []setting) ([]byte, error) {
	var line, out bytes.Buffer
	line.WriteByte('{')
	for i, s := range all {
		if i > 0 {
			line.WriteByte(',')
		}
		key, err := json.Marshal(s.key)
		if err != nil {
			return nil, err
		}
		line.Write(key)
		line.WriteByte(':')
		line.Write(s.value)
	}
	line.WriteByte('}')
	err := json.Indent(&out, line.Bytes(), "", "  ")
	out.WriteByte('\n')
	return out.Bytes(), err
}

// set gives a key a value, at its place or at the end.
func set(all []setting, key string, value any) ([]setting, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(s setting) bool { return s.key == key }); i >= 0 {
		all[i].value = text
		return all, nil
	}
	return append(all, setting{key, text}), nil
}

func without(all []setting, key string) []setting {
	return slices.DeleteFunc(all, func(s setting) bool { return s.key == key })
}

// WithoutMTP is the configuration of the same model without its MTP blocks.
func WithoutMTP(config []byte) ([]byte, error) {
	all, err := settings(config)
	if err != nil {
		return nil, err
	}
	var sizes struct {
		Layers int   `json:"num_hidden_layers"`
		Ratios []int `json:"compress_ratios"`
	}
	if err := json.Unmarshal(config, &sizes); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if sizes.Layers < 0 || sizes.Layers > len(sizes.Ratios) {
		return nil, fmt.Errorf("config.json: num_hidden_layers is %d, but compress_ratios has %d entries",
			sizes.Layers, len(sizes.Ratios))
	}
	if all, err = set(all, "num_nextn_predict_layers", 0); err != nil {
		return nil, err
	}
	if all, err = set(all, "compress_ratios", sizes.Ratios[:sizes.Layers]); err != nil {
		return nil, err
	}
	return configText(all)
}

// config is the configuration of the result: what it says of the formats is what the files hold. Without
// quantization_config weights are plain; without expert_dtype experts are stored as other weights are.
func (p *Plan) config(text []byte) ([]byte, error) {
	all, err := settings(text)
	if err != nil {
		return nil, err
	}
	fp4, fp8 := false, false
	for _, it := range p.Items {
		fp4 = fp4 || it.To.DType == ir.FP4
		fp8 = fp8 || it.To.DType == ir.FP8
	}
	if !fp8 {
		all = without(all, "quantization_config")
	}
	if !fp4 {
		all = without(all, "expert_dtype")
	} else if all, err = set(all, "expert_dtype", "fp4"); err != nil {
		return nil, err
	}
	if corrected, err := configText(all); err != nil || len(changes(text, corrected)) > 0 {
		return corrected, err
	}
	return text, nil // nothing to correct: the very bytes
}

// changes says in which keys a configuration was corrected, in the order of their names.
func changes(before, after []byte) (out []string) {
	var old, now map[string]any
	if json.Unmarshal(before, &old) != nil || json.Unmarshal(after, &now) != nil {
		return nil // both were read before
	}
	for key, value := range old {
		switch other, left := now[key]; {
		case !left:
			out = append(out, key+" taken out, since the files do not hold what it says")
		case !reflect.DeepEqual(value, other):
			out = append(out, key+" corrected to what the files hold")
		}
	}
	for key := range now {
		if _, was := old[key]; !was {
			out = append(out, key+" added: it says what the files hold")
		}
	}
	slices.Sort(out)
	return out
}
