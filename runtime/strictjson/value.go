package strictjson

import (
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Kind says what a Value is.
type Kind uint8

// The kinds of values. Missing is what Get and Field return for a key that does not exist.
const (
	Missing Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

func (k Kind) String() string {
	return [...]string{"missing", "null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// Pos is a place in the document: line and column count from 1, columns in bytes.
type Pos struct{ Line, Column int32 }

func (p Pos) String() string {
	return strconv.Itoa(int(p.Line)) + ":" + strconv.Itoa(int(p.Column))
}

// Value is one value of a document, or the absence of one. It is small and passed by value.
type Value struct {
	// Pos is where the value begins; for a missing value, where the object begins that lacks it.
	Pos Pos

	kind Kind
	slot int32      // index among the children of up
	text string     // number text, decoded string, true or false, or the path that is missing
	up   *container // the enclosing array or object, nil at the root
	box  *container // the children of an array or object
}

// container holds the children of an array or object; keys and index belong to objects only.
type container struct {
	up    *container
	slot  int32
	keys  []string
	vals  []Value
	index map[string]int32 // nil for small objects, which are searched
}

// indexFrom is the number of keys from which an object gets an index.
const indexFrom = 12

func (c *container) find(key string) (int32, bool) {
	if c.index != nil {
		i, ok := c.index[key]
		return i, ok
	}
	i := slices.Index(c.keys, key)
	return int32(i), i >= 0
}

// label is the path component of the child in a slot.
func (c *container) label(slot int32) string {
	if int(slot) < len(c.keys) {
		return c.keys[slot]
	}
	return strconv.Itoa(int(slot))
}

func (c *container) path(slot int32) string {
	var parts []string
	for ; c != nil; c, slot = c.up, c.slot {
		parts = append(parts, c.label(slot))
	}
	slices.Reverse(parts)
	return strings.Join(parts, ".")
}

// Kind returns what v is.
func (v Value) Kind() Kind { return v.kind }

// Exists reports whether v stands in the document, null included.
func (v Value) Exists() bool { return v.kind != Missing }

// Path returns the dotted path of keys and array indices from the root to v; the root's is empty.
func (v Value) Path() string {
	if v.kind != Missing {
		return v.up.path(v.slot)
	}
	if at := v.up.path(v.slot); at != "" {
		return at + "." + v.text
	}
	return v.text
}

// Field returns the member of object v under exactly this key, dots and all. It returns a missing
// value when there is none or v is not an object.
func (v Value) Field(key string) Value {
	if v.kind == Object {
		if i, ok := v.box.find(key); ok {
			return v.box.vals[i]
		}
	}
	return v.missing(key)
}

// Get follows a dotted path of object keys and array indices, as in "rope_scaling.factor" or
// "layers.3". Where the path ends early it returns a missing value, whose accessors give the error.
// Keys that contain dots are reached by Field.
func (v Value) Get(path string) Value {
	for path != "" {
		key, rest, _ := strings.Cut(path, ".")
		next := v.child(key)
		if next.kind == Missing {
			return v.missing(path)
		}
		v, path = next, rest
	}
	return v
}

func (v Value) child(key string) Value {
	if v.kind == Array {
		if i, err := strconv.ParseUint(key, 10, 31); err == nil && int(i) < len(v.box.vals) {
			return v.box.vals[i]
		}
	}
	return v.Field(key)
}

func (v Value) missing(path string) Value {
	if v.kind == Missing {
		path = v.text + "." + path
	}
	return Value{Pos: v.Pos, slot: v.slot, up: v.up, text: path}
}

// Keys returns the keys of an object in document order, nil for other kinds. The caller may keep it.
func (v Value) Keys() []string {
	if v.kind != Object {
		return nil
	}
	return slices.Clone(v.box.keys)
}

// Len returns the number of members of an object or array, 0 for other kinds.
func (v Value) Len() int {
	if v.box == nil {
		return 0
	}
	return len(v.box.vals)
}

// Fields yields the members of an object in document order, nothing for other kinds.
func (v Value) Fields() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.kind != Object {
			return
		}
		for i, k := range v.box.keys {
			if !yield(k, v.box.vals[i]) {
				return
			}
		}
	}
}
