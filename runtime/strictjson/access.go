package strictjson

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Errorf returns an error about v, with its position and path, for checks that the caller makes.
func (v Value) Errorf(format string, args ...any) error {
	return &Error{Pos: v.Pos, Path: v.Path(), Reason: Content, Msg: fmt.Sprintf(format, args...)}
}

// want fails unless v has the kind.
func (v Value) want(k Kind) error {
	switch v.kind {
	case k:
		return nil
	case Missing:
		return v.Errorf("missing; expected %v", k)
	}
	return v.Errorf("expected %v, found %v", k, v.kind)
}

// Str returns the text of a string.
func (v Value) Str() (string, error) {
	if err := v.want(String); err != nil {
		return "", err
	}
	return v.text, nil
}

// Bool returns the value of a boolean.
func (v Value) Bool() (bool, error) {
	if err := v.want(Bool); err != nil {
		return false, err
	}
	return v.text == "true", nil
}

// Text returns a number as it is written, "" for other kinds.
func (v Value) Text() string {
	if v.kind != Number {
		return ""
	}
	return v.text
}

// Int returns a number that is written as an integer, without fraction and exponent, and fits in 64 bits.
func (v Value) Int() (int64, error) {
	if err := v.want(Number); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil {
		return 0, v.Errorf("expected an integer of at most 64 bits, found %s", clip(v.text))
	}
	return n, nil
}

// Float returns the float64 nearest to a number. A number beyond the range of float64 is an error.
func (v Value) Float() (float64, error) {
	if err := v.want(Number); err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, v.Errorf("%s is beyond the range of 64-bit floats", clip(v.text))
	}
	return f, nil
}

// Items returns the elements of an array.
func (v Value) Items() ([]Value, error) {
	if err := v.want(Array); err != nil {
		return nil, err
	}
	return slices.Clone(v.box.vals), nil
}

// Ints returns the elements of an array of integers, each within the range of int.
func (v Value) Ints() ([]int, error) {
	if err := v.want(Array); err != nil {
		return nil, err
	}
	out := make([]int, len(v.box.vals))
	for i, e := range v.box.vals {
		n, err := e.Int()
		if err != nil {
			return nil, err
		}
		if int64(int(n)) != n {
			return nil, e.Errorf("%d is beyond the range of integers of this machine", n)
		}
		out[i] = int(n)
	}
	return out, nil
}
