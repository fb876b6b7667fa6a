package strictjson

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func parse(t *testing.T, doc string) Value {
	t.Helper()
	v, err := Parse([]byte(doc), Limits{})
	require.NoError(t, err)
	return v
}

const config = `{
  "hidden_size": 4096,
  "rope_theta": 1e4,
  "tie": false,
  "name": "caf\u00e9 \ud83d\ude00\n",
  "none": null,
  "rope_scaling": {"factor": 16.5, "type": "yarn"},
  "compress_ratios": [0, 4, 128],
  "a.b": {}
}`

func TestAccessors(t *testing.T) {
	v := parse(t, config)
	require.Equal(t, Object, v.Kind())
	require.Equal(t, []string{"hidden_size", "rope_theta", "tie", "name", "none", "rope_scaling",
		"compress_ratios", "a.b"}, v.Keys())
	n, err := v.Get("hidden_size").Int()
	require.NoError(t, err)
	require.Equal(t, int64(4096), n)
	f, err := v.Get("rope_theta").Float()
	require.NoError(t, err)
	require.Equal(t, 1e4, f)
	require.Equal(t, "1e4", v.Get("rope_theta").Text())
	f, err = v.Get("rope_scaling.factor").Float()
	require.NoError(t, err)
	require.Equal(t, 16.5, f)
	b, err := v.Get("tie").Bool()
	require.NoError(t, err)
	require.False(t, b)
	s, err := v.Get("name").Str()
	require.NoError(t, err)
	require.Equal(t, "café 😀\n", s)
	require.Equal(t, Null, v.Get("none").Kind())
	require.True(t, v.Get("none").Exists())
	ints, err := v.Get("compress_ratios").Ints()
	require.NoError(t, err)
	require.Equal(t, []int{0, 4, 128}, ints)
	require.Equal(t, 3, v.Get("compress_ratios").Len())
	n, err = v.Get("compress_ratios.2").Int()
	require.NoError(t, err)
	require.Equal(t, int64(128), n)
	require.Equal(t, Object, v.Field("a.b").Kind())
	require.Equal(t, Pos{7, 30}, v.Get("rope_scaling.factor").Pos)
	require.Equal(t, "compress_ratios.2", v.Get("compress_ratios.2").Path())
	var keys []string
	for k, e := range v.Get("rope_scaling").Fields() {
		require.Equal(t, "rope_scaling."+k, e.Path())
		keys = append(keys, k)
	}
	require.Equal(t, []string{"factor", "type"}, keys)
	items, err := v.Get("compress_ratios").Items()
	require.NoError(t, err)
	require.Len(t, items, 3)
}

func TestAccessErrors(t *testing.T) {
	v := parse(t, config)
	second := func(_ any, err error) error { return err }
	for _, c := range []struct {
		err  error
		want string
	}{
		{second(v.Get("tie").Int()), "4:10: tie: expected a number, found a boolean"},
		{second(v.Get("rope_theta").Int()),
			"3:17: rope_theta: expected an integer of at most 64 bits, found 1e4"},
		{second(v.Get("name").Float()), "5:11: name: expected a number, found a string"},
		{second(v.Get("nope").Str()), "1:1: nope: missing; expected a string"},
		{second(v.Get("rope_scaling.x.y").Bool()), "7:19: rope_scaling.x.y: missing; expected a boolean"},
		{second(v.Get("rope_scaling.x").Get("y").Bool()),
			"7:19: rope_scaling.x.y: missing; expected a boolean"},
		{second(v.Get("compress_ratios.3").Int()), "8:22: compress_ratios.3: missing; expected a number"},
		{second(v.Get("name").Items()), "5:11: name: expected an array, found a string"},
		{second(v.Get("none").Ints()), "6:11: none: expected an array, found null"},
		{second(parse(t, "[1, 1.5]").Ints()), "1:5: 1: expected an integer of at most 64 bits, found 1.5"},
		{second(parse(t, "9223372036854775808").Int()),
			"1:1: expected an integer of at most 64 bits, found 9223372036854775808"},
		{second(parse(t, "-1e999").Float()), "1:1: -1e999 is beyond the range of 64-bit floats"},
		{v.Field("a.b").Errorf("must have %d members", 2), "9:10: a.b: must have 2 members"},
	} {
		require.EqualError(t, c.err, c.want)
		require.Equal(t, Content, c.err.(*Error).Reason)
	}
}

func TestParseErrors(t *testing.T) {
	many := &strings.Builder{}
	for i := range 100 {
		fmt.Fprintf(many, `"k%d":%d,`, i, i)
	}
	for _, c := range []struct {
		doc    string
		reason Reason
		want   string
	}{
		{``, Syntax, "1:1: expected a value, found end of the document"},
		{` `, Syntax, "1:2: expected a value, found end of the document"},
		{`{`, Syntax, "1:2: expected a key in quotes, found end of the document"},
		{`{"a":1,}`, Syntax, "1:8: expected a key in quotes, found '}'"},
		{`{"a" 1}`, Syntax, "1:6: a: expected ':' after the key, found '1'"},
		{`{"a":{"b":[1,{"c":tru}]}}`, Syntax, "1:19: a.b.1.c: expected a value, found 't'"},
		{`{"a":[1 2]}`, Syntax, "1:9: a: expected ',' or ']', found '2'"},
		{`[1,]`, Syntax, "1:4: 1: expected a value, found ']'"},
		{"{\n \"a\": 1,\n \"b\": 2,\n \"a\": 3}", Duplicate, `4:2: key "a" occurs twice in this object`},
		{`{"x":{` + many.String() + `"k7":0}}`, Duplicate, `1:887: x: key "k7" occurs twice in this object`},
		{`{"a":1,"\u0061":2}`, Duplicate, `1:8: key "a" occurs twice in this object`},
		{`{} x`, Syntax, "1:4: unexpected 'x' after the end of the document"},
		{`{}{}`, Syntax, "1:3: unexpected '{' after the end of the document"},
		{`01`, Syntax, "1:1: a number may not begin with a superfluous zero"},
		{`-`, Syntax, "1:2: expected a digit, found end of the document"},
		{`+1`, Syntax, "1:1: expected a value, found '+'"},
		{`.5`, Syntax, "1:1: expected a value, found '.'"},
		{`1.`, Syntax, "1:3: expected a digit, found end of the document"},
		{`1e+`, Syntax, "1:4: expected a digit, found end of the document"},
		{`NaN`, Syntax, "1:1: expected a value, found 'N'"},
		{`'a'`, Syntax, `1:1: expected a value, found '\''`},
		{`"abc`, Syntax, "1:5: the document ends inside a string"},
		{`"a\n`, Syntax, "1:5: the document ends inside a string"},
		{`"a\x"`, Syntax, `1:4: expected one of " \ / b f n r t u after a backslash, found 'x'`},
		{`"\u12g4"`, Syntax, `1:4: expected four hexadecimal digits after \u`},
		{`"\u+123"`, Syntax, `1:4: expected four hexadecimal digits after \u`},
		{"\"a\tb\"", Syntax, `1:3: control character 0x09 inside a string; write it as \u0009`},
		{"\"\\n\x01\"", Syntax, `1:4: control character 0x01 inside a string; write it as \u0001`},
		{`"\ud83d"`, Encoding, `1:2: \ud83d is half of a surrogate pair`},
		{`"\ude00\ud83d"`, Encoding, `1:2: \ude00 is half of a surrogate pair`},
		{"[\n\"\xff\"]", Encoding, "2:2: byte 0xFF is not valid UTF-8"},
		{"\uFEFF{}", Syntax, "1:1: the document begins with a byte order mark; remove it"},
		{strings.Repeat("[", 65), Limit, "1:65: " + strings.Repeat("0.", 63) + "0: nested more than 64 deep"},
		{strings.Repeat("[", 1_000_000), Limit,
			"1:65: " + strings.Repeat("0.", 63) + "0: nested more than 64 deep"},
	} {
		_, err := Parse([]byte(c.doc), Limits{})
		require.EqualError(t, err, c.want)
		require.Equal(t, c.reason, err.(*Error).Reason, "%s", c.want)
	}
}

func TestLimits(t *testing.T) {
	_, err := Parse([]byte(`[1,2]`), Limits{MaxBytes: 4})
	require.EqualError(t, err, "1:1: the document has 5 bytes, more than the limit of 4")
	_, err = Parse([]byte(`[1,2]`), Limits{MaxBytes: 5, MaxValues: 3, MaxDepth: 1})
	require.NoError(t, err)
	_, err = Parse([]byte(`[1,2]`), Limits{MaxValues: 2})
	require.EqualError(t, err, "1:4: 1: the document has more than 2 values")
	_, err = Parse([]byte(`[[]]`), Limits{MaxDepth: 1})
	require.EqualError(t, err, "1:2: 0: nested more than 1 deep")
	_, err = Parse([]byte(strings.Repeat("[", 64)+strings.Repeat("]", 64)), Limits{})
	require.NoError(t, err)
	deep := strings.Repeat("[", 20_000)
	_, err = Parse([]byte(deep), Limits{MaxDepth: 1 << 30})
	require.ErrorContains(t, err, "nested more than 10000 deep")
}

func TestLongPathsAreClipped(t *testing.T) {
	_, err := Parse([]byte(`{"`+strings.Repeat("a\u001b", 1000)+`":x}`), Limits{})
	require.ErrorContains(t, err, "control character")
	_, err = Parse([]byte(`{"`+strings.Repeat(`a\u001b`, 1000)+`":x}`), Limits{})
	require.Less(t, len(err.Error()), 1000)
	require.NotContains(t, err.Error(), "\x1b")
}
