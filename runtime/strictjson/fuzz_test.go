package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParse compares with encoding/json: the same documents are JSON, and they mean the same, except for
// those that this package refuses on purpose.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		config, `[]`, `{"a":[{"b":null}],"c":-0.5e+10}`, `"\ud83d\ude00"`, `"\ud83d"`, `{"a":1,"a":2}`,
		"\"\xff\"", `[1,]`, `01`, "\t{ }\r\n", `[[[[[]]]]]`, `"\u+123"`, "\uFEFF1", `1e999`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		v, err := Parse(doc, Limits{})
		if err != nil {
			var e *Error
			require.True(t, errors.As(err, &e))
			if e.Reason == Syntax {
				require.False(t, json.Valid(doc), "refused: %v", err)
			}
			return
		}
		require.True(t, json.Valid(doc))
		var want any
		dec := json.NewDecoder(bytes.NewReader(doc))
		dec.UseNumber()
		require.NoError(t, dec.Decode(&want))
		requireSame(t, want, v)
	})
}

func requireSame(t *testing.T, want any, v Value) {
	switch w := want.(type) {
	case nil:
		require.Equal(t, Null, v.Kind())
	case bool:
		got, err := v.Bool()
		require.NoError(t, err)
		require.Equal(t, w, got)
	case json.Number:
		require.Equal(t, w.String(), v.Text())
		f, err := w.Float64()
		got, gotErr := v.Float()
		require.Equal(t, err == nil, gotErr == nil)
		if err == nil {
			require.Equal(t, f, got)
		}
	case string:
		got, err := v.Str()
		require.NoError(t, err)
		require.Equal(t, w, got)
	case []any:
		require.Equal(t, Array, v.Kind())
		require.Equal(t, len(w), v.Len())
		for i, e := range w {
			requireSame(t, e, v.Get(strconv.Itoa(i)))
		}
	case map[string]any:
		require.Equal(t, Object, v.Kind())
		require.Equal(t, len(w), v.Len())
		for k, e := range w {
			requireSame(t, e, v.Field(k))
		}
	}
}
