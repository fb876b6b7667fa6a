package weights

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/diag"
	"flagc/ir"
	"flagc/runtime/safetensors"
)

// loose is a checkpoint in memory, to be changed and written again.
type loose struct {
	t       testing.TB
	tensors map[string]*safetensors.Data
	files   map[string]string
}

func loosen(t testing.TB, c *safetensors.Checkpoint) *loose {
	l := &loose{t, map[string]*safetensors.Data{}, map[string]string{}}
	for _, name := range c.Names() {
		x, _ := c.Tensor(name)
		spec := safetensors.Spec{Name: name, DType: x.DType, Shape: x.Shape}
		l.tensors[name] = &safetensors.Data{Spec: spec, Bytes: slices.Clone(x.Data)}
		l.files[name] = filepath.Base(x.File)
	}
	return l
}

// write puts the tensors into a new folder, in the files that they came from.
func (l *loose) write() string {
	dir := l.t.TempDir()
	byFile := map[string][]safetensors.Data{}
	total := int64(0)
	for _, name := range slices.Sorted(maps.Keys(l.tensors)) {
		byFile[l.files[name]] = append(byFile[l.files[name]], *l.tensors[name])
		total += int64(len(l.tensors[name].Bytes))
	}
	for file, tensors := range byFile {
		writePlain(l.t, filepath.Join(dir, file), tensors)
	}
	require.NoError(l.t, safetensors.WriteIndex(dir, l.files, total))
	return dir
}

// writePlain writes a file without flushing it to the disk, which the package's own writer does and which
// takes most of a test's time.
func writePlain(t testing.TB, path string, tensors []safetensors.Data) {
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, data := map[string]entry{}, []byte{}
	for _, x := range tensors {
		header[x.Name] = entry{x.DType, x.Shape, [2]int{len(data), len(data) + len(x.Bytes)}}
		data = append(data, x.Bytes...)
	}
	text, err := json.Marshal(header)
	require.NoError(t, err)
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	require.NoError(t, os.WriteFile(path, append(append(file, text...), data...), 0o666))
}

func (l *loose) get(name string) *safetensors.Data {
	require.Contains(l.t, l.tensors, name)
	return l.tensors[name]
}

// remove takes out all tensors whose names match.
func (l *loose) remove(match func(name string) bool) {
	n := len(l.tensors)
	for name := range l.tensors {
		if match(name) {
			delete(l.tensors, name)
			delete(l.files, name)
		}
	}
	require.Less(l.t, len(l.tensors), n)
}

func (l *loose) drop(names ...string) {
	l.remove(func(name string) bool { return slices.Contains(names, name) })
}

func (l *loose) dropPrefix(prefix string) {
	l.remove(func(name string) bool { return strings.HasPrefix(name, prefix) })
}

// add puts a tensor of zeros in.
func (l *loose) add(name, dtype string, shape ...int) {
	n, ok := safetensors.DTypeSize(dtype)
	require.True(l.t, ok)
	for _, s := range shape {
		n *= s
	}
	spec := safetensors.Spec{Name: name, DType: dtype, Shape: shape}
	l.tensors[name] = &safetensors.Data{Spec: spec, Bytes: make([]byte, n)}
	l.files[name] = "model-00002-of-00007.safetensors"
}

// rename changes all names.
func (l *loose) rename(to func(name string) string) {
	for _, name := range slices.Sorted(maps.Keys(l.tensors)) {
		x, file, now := l.tensors[name], l.files[name], to(name)
		delete(l.tensors, name)
		delete(l.files, name)
		x.Name = now
		l.tensors[now], l.files[now] = x, file
	}
}

// replace stores tensors whose names match with another dtype, as zeros.
func (l *loose) replace(match func(name string) bool, dtype string, shape func(old []int) []int) {
	for _, name := range slices.Sorted(maps.Keys(l.tensors)) {
		if match(name) {
			file := l.files[name]
			l.add(name, dtype, shape(l.tensors[name].Shape)...)
			l.files[name] = file
		}
	}
}

func same(shape []int) []int { return shape }

// replaced is the same text with other numbers in compress_ratios and the like.
func replaced(t testing.TB, pairs ...string) *ir.Module {
	text := strings.NewReplacer(pairs...).Replace(tinyConfig)
	require.NotEqual(t, tinyConfig, text)
	return testModule(t, []byte(text))
}

func TestDamagedCheckpoints(t *testing.T) {
	intact := open(t, makeTiny(t))
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			m, found := tinyModule(t), intact
			if c.edit != nil {
				l := loosen(t, intact)
				c.edit(l)
				found = open(t, l.write())
			} else {
				m = replaced(t, c.config...)
			}
			err := Check(m, found, CheckOptions{Values: true})
			var wrong *CheckError
			require.ErrorAs(t, err, &wrong)
			text := err.Error()
			for _, want := range c.want {
				at := strings.Index(text, want)
				require.GreaterOrEqual(t, at, 0, "%q is not in, or not behind the others in:\n%s", want, err)
				text = text[at:]
			}
			if c.n > 0 {
				require.Equal(t, c.n, len(wrong.Problems)+wrong.More, "%v", err)
			}
			require.LessOrEqual(t, len(wrong.Problems), diag.Limit)
			require.Equal(t, err.Error(), Check(m, found, CheckOptions{Values: true}).Error())
			for _, p := range wrong.Problems {
				require.NotEmpty(t, p.Help)
				require.NotEmpty(t, p.Span.File)
			}
		})
	}
}

// TestCheckErrorIsRendered: renderers of diagnostics find the problems and how many are left out.
func TestCheckErrorIsRendered(t *testing.T) {
	var items []*diag.Diagnostic
	for i := range 3 {
		items = append(items, diag.New(diag.Span{File: "f"}, "x", "problem %d", i))
	}
	err := &CheckError{Dir: "d", Problems: items, More: 5}
	require.Len(t, diag.All(err), 3)
	require.Contains(t, diag.RenderAll(err, nil), "note: and 5 problems more")
	require.Empty(t, items[2].Notes)
	var all *diag.Errors
	require.True(t, errors.As(err, &all))
	require.Equal(t, 5, all.Dropped)
}

// TestValuesOnlyWhenAsked: without Values the content is not read.
func TestValuesOnlyWhenAsked(t *testing.T) {
	l := loosen(t, open(t, makeTiny(t)))
	l.get("mtp.0.e_proj.scale").Bytes[0] = 255
	require.NoError(t, Check(tinyModule(t), open(t, l.write()), CheckOptions{}))
}

// TestHostileShapes gives every tensor the same shape and dtype that it should not have: all that look at a
// checkpoint must answer with words.
func TestHostileShapes(t *testing.T) {
	m := tinyModule(t)
	intact := open(t, makeTiny(t))
	for _, dtype := range []string{"F8_E8M0", "I64", "BOOL"} {
		for _, shape := range [][]int{{}, {0}, {2}, {0, 3}, {3, 0}, {1, 1, 1, 1}} {
			l := loosen(t, intact)
			l.replace(func(string) bool { return true }, dtype, func([]int) []int { return shape })
			dir := l.write()
			c := open(t, dir)
			require.Error(t, Check(m, c, CheckOptions{Values: true}))
			r, err := Inspect(m, dir, InspectOptions{Full: true})
			require.NoError(t, err)
			require.NotEmpty(t, r.Problems)
			require.NotEmpty(t, r.Text())
			s := NewSource(m, c)
			for _, set := range m.Params {
				for _, w := range set.Weights {
					_, err := s.Tensor(set.Instances[0], w)
					require.ErrorContains(t, err, w.Tensor[len(w.Tensor)-4:])
				}
			}
		}
	}
}

func TestWords(t *testing.T) {
	require.Equal(t, "1 tensor", plural(1, "tensor"))
	require.Equal(t, "1,606 tensors", plural(1606, "tensor"))
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		require.Equal(t, want, grouped(n))
	}
	require.Equal(t, "a", list([]string{"a"}))
	require.Equal(t, "a and b", list([]string{"a", "b"}))
	require.Equal(t, "a, b and c", list([]string{"a", "b", "c"}))
	require.Equal(t, "a, b, c and 2 more", list([]string{"a", "b", "c", "d", "e"}))
	require.Equal(t, "12 B", size(12))
	require.Equal(t, "148.65 GiB", size(159_609_485_896))
	require.Equal(t, "284.33 billion", parameters(284_332_240_471))
	require.Equal(t, "1, 2", firstOf([]string{"1", "2"}))
	require.Equal(t, "1, 2, 3, 4, 5, 6, 7, 8, …", firstOf(strings.Split("1 2 3 4 5 6 7 8 9 10", " ")))
}
