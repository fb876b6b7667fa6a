package host

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/runtime/cpu"
	"flagc/runtime/safetensors"
)

const fakeVocab = 8

// fake is a model whose logits favour the token after the last one, as those of its draft do. It notes its calls.
type fake struct {
	calls []string
	batch int
	rec   *Recorder
	bad   bool // yields logits that are no numbers
}

func (f *fake) note(call string, ids []int32, p int) {
	text, _ := json.Marshal(ids)
	f.calls = append(f.calls, call+string(text)+"@"+string(rune('0'+p)))
}

func (f *fake) logits(ids []int32, ahead int32) []float32 {
	out := make([]float32, f.batch*fakeVocab)
	s := len(ids) / f.batch
	for b := range f.batch {
		out[b*fakeVocab+int(ids[(b+1)*s-1]+ahead)%fakeVocab] = 1
	}
	if f.bad {
		out[3] = float32(math.NaN())
	}
	return out
}

func (f *fake) Reset(batch, maxSeq int) { f.batch = batch }
func (f *fake) Prefill(ids []int32) []float32 {
	f.note("prefill", ids, 0)
	f.rec.F32("layers.0", "x", []float32{1, 2}, 1, 2)
	f.rec.I32("", "none", nil, 0)
	return f.logits(ids, 1)
}
func (f *fake) Decode(ids []int32, p int) []float32 {
	f.note("decode", ids, p)
	f.rec.BF16("", "y", []float32{1.5}, 1)
	return f.logits(ids, 1)
}
func (f *fake) Record(rec *Recorder) { f.rec = rec }
func (f *fake) Close()               {}

// drafting is a fake with an MTP block.
type drafting struct{ fake }

func (f *drafting) DraftPrefill(ids []int32) []float32 {
	f.note("draft prefill", ids, 0)
	return f.logits(ids, 1)
}
func (f *drafting) DraftDecode(ids []int32, p int) []float32 {
	f.note("draft decode", ids, p)
	return f.logits(ids, 1)
}

func TestDraftTrailsByOneToken(t *testing.T) {
	m := &drafting{}
	r, err := Run(m, fakeVocab, Request{Prompt: [][]int32{{1, 2, 3}, {4, 5, 6}}, MaxNew: 3, MTP: true, MaxSeq: 6,
		KeepLogits: true})
	require.NoError(t, err)
	require.Equal(t, []string{
		"prefill[1,2,3,4,5,6]@0",
		"draft prefill[2,3,4,5,6,7]@0", "decode[4,7]@3",
		"draft decode[5,0]@3", "decode[5,0]@4",
		"draft decode[6,1]@4", "decode[6,1]@5",
	}, m.calls)
	require.Equal(t, [][]int32{{4, 5, 6}, {7, 0, 1}}, r.Fed)
	require.Equal(t, []int{4, 4}, []int{r.Drafts, r.DraftsRight})
	shapes := map[string][]int{}
	for _, d := range r.Tensors() {
		shapes[d.Name] = d.Shape
	}
	require.Equal(t, map[string][]int{"prefill.logits": {2, 8}, "decode.logits": {2, 3, 8}, "fed": {2, 3},
		"prefill.mtp.logits": {2, 8}, "decode.mtp.logits": {2, 2, 8}}, shapes)
}

func TestDraftsAreJudgedByWhatIsFed(t *testing.T) {
	r, err := Run(&drafting{}, fakeVocab, Request{Prompt: [][]int32{{1}}, Feed: [][]int32{{2, 3, 7, 0}}, MTP: true, MaxSeq: 5})
	require.NoError(t, err)
	require.Equal(t, []int{3, 2}, []int{r.Drafts, r.DraftsRight}, "3 and 0 follow their tokens, 7 does not")
}

func TestLogitsThatAreNoNumbersEndTheRun(t *testing.T) {
	_, err := Run(&fake{bad: true}, fakeVocab, Request{Prompt: [][]int32{{1}}, MaxNew: 2, MaxSeq: 3})
	require.ErrorContains(t, err, "the logits before step 0 are not finite")
}

func TestFedTokensAreNotChosen(t *testing.T) {
	m := &fake{}
	r, err := Run(m, fakeVocab, Request{Prompt: [][]int32{{1}}, Feed: [][]int32{{7, 7}}, MaxSeq: 3})
	require.NoError(t, err)
	require.Equal(t, [][]int32{{7, 7}}, r.Fed)
	require.Nil(t, r.Prefill)
	_, err = Run(m, fakeVocab, Request{Prompt: [][]int32{{1}}, MTP: true, MaxSeq: 1})
	require.EqualError(t, err, "this model has no MTP block")
}

func TestSamplingIsDeterminedByTheSeed(t *testing.T) {
	run := func(seed uint64) [][]int32 {
		r, err := Run(&fake{}, fakeVocab, Request{Prompt: [][]int32{{1}, {2}}, MaxNew: 20, MaxSeq: 21, Temperature: 2,
			TopP: 0.95, Seed: seed})
		require.NoError(t, err)
		return r.Fed
	}
	require.Equal(t, run(1), run(1))
	require.NotEqual(t, run(1), run(2))
}

func TestTracesCarryTheCall(t *testing.T) {
	rec := &Recorder{}
	_, err := Run(&fake{}, fakeVocab, Request{Prompt: [][]int32{{1}}, MaxNew: 2, MaxSeq: 3, Trace: rec})
	require.NoError(t, err)
	var names []string
	for _, d := range rec.tensors {
		names = append(names, d.Name+" "+d.DType)
	}
	require.Equal(t, []string{"prefill.layers.0.x F32", "decode.0.y BF16", "decode.1.y BF16"}, names)
}

func TestParseTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ids.json")
	write := func(text string) string {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		return "@" + file
	}
	for _, c := range []struct {
		text string
		want [][]int32
		err  string
	}{
		{text: "0,1, 7", want: [][]int32{{0, 1, 7}}},
		{text: "1,2;3,4", want: [][]int32{{1, 2}, {3, 4}}},
		{text: write("[1,2]"), want: [][]int32{{1, 2}}},
		{text: "1,2;3", err: "row 1 has 1 tokens and row 0 has 2; the rows of a batch must be equally long"},
		{text: "1,8", err: "token 8 (row 0, place 1) is outside the vocabulary of 8 tokens"},
		{text: "-1", err: "token -1 (row 0, place 0) is outside the vocabulary of 8 tokens"},
		{text: "1,,2", err: `"" is not a token id; expected numbers such as 0,1,2`},
		{text: "99999999999", err: `"99999999999" is not a token id; expected numbers such as 0,1,2`},
	} {
		got, err := ParseTokens(c.text, fakeVocab)
		if c.err != "" {
			require.EqualError(t, err, c.err, c.text)
			continue
		}
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got, c.text)
	}
	rows, err := ParseTokens(write("[[1],[2]]"), fakeVocab)
	require.NoError(t, err)
	require.Equal(t, [][]int32{{1}, {2}}, rows)
	for _, bad := range []string{"[]", "[[]]", "{}", "[1.5]", "[4294967296]", "[1", "[[1],2]"} {
		_, err := ParseTokens(write(bad), fakeVocab)
		require.Error(t, err, bad)
	}
}

func FuzzParseTokens(f *testing.F) {
	f.Add("1,2;3,4")
	f.Add("-0,+1;;")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.HasPrefix(text, "@") {
			t.Skip("would read files")
		}
		rows, err := ParseTokens(text, fakeVocab)
		if err != nil {
			return
		}
		for _, row := range rows {
			require.Len(t, row, len(rows[0]))
			for _, id := range row {
				require.True(t, id >= 0 && id < fakeVocab)
			}
		}
	})
}

// checkpoint writes tensors as a checkpoint folder.
func checkpoint(t *testing.T, tensors ...safetensors.Data) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, safetensors.WriteFile(filepath.Join(dir, safetensors.SingleName), nil, tensors))
	return dir
}

func bind(t *testing.T, dir string) *Binder {
	t.Helper()
	c, err := safetensors.OpenCheckpoint(dir)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return NewBinder(c, nil)
}

func TestBinderBindsWhatFits(t *testing.T) {
	b := bind(t, checkpoint(t,
		newData("norm", "BF16", []byte{0x80, 0x3f, 0, 0x40}, 2),
		newData("e.0.w.weight", "I8", make([]byte, 2*16), 2, 16), newData("e.0.w.scale", "F8_E8M0", make([]byte, 2), 2, 1),
		newData("e.1.w.weight", "I8", make([]byte, 2*16), 2, 16), newData("e.1.w.scale", "F8_E8M0", make([]byte, 2), 2, 1),
		newData("q.weight", "F8_E4M3", make([]byte, 130*3), 130, 3), newData("q.scale", "F8_E8M0", make([]byte, 2), 2, 1),
		newData("ids", "I64", append([]byte{3}, make([]byte, 7)...), 1, 1)))
	require.Equal(t, []float32{1, 2}, b.Floats("norm", "BF16", 2))
	experts := b.Experts("e.*.w.weight", cpu.FP4, 2, 2, 32)
	require.Len(t, experts.W, 2)
	require.Equal(t, 130, b.Matrix("q.weight", cpu.FP8, 130, 3).N)
	require.Equal(t, []int32{3}, b.Indices("ids", "I64", 4, 1, 1))
	require.NoError(t, b.Err())
}

func TestBinderCollectsProblems(t *testing.T) {
	dir := checkpoint(t,
		newData("a", "BF16", make([]byte, 4), 2),
		newData("ids", "I64", append([]byte{3}, make([]byte, 7)...), 1),
		newData("twice", "I32", []byte{1, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0}, 2, 2),
		newData("extra", "BF16", make([]byte, 2), 1))
	b := bind(t, dir)
	b.Floats("a", "F32", 2)
	b.Floats("a", "BF16", 3)
	b.Matrix("gone.weight", cpu.BF16, 2, 2)
	b.Indices("ids", "I64", 3, 1)
	b.Indices("twice", "I32", 9, 2, 2)
	file := filepath.Join(dir, safetensors.SingleName)
	require.EqualError(t, b.Err(), strings.Join([]string{
		"the checkpoint does not fit this program (was it built for another configuration?):",
		file + `: tensor "a": expected dtype F32, found BF16`,
		file + `: tensor "a": expected shape [3], found [2]`,
		`tensor "gone.weight" is missing from ` + dir + `; expected BF16 [2 2]`,
		file + `: tensor "ids": element 0 is 3, which is not an index below 3`,
		file + `: tensor "twice": row 1 lists 5 twice`,
		`tensor "extra" of ` + dir + ` has no place in this model`,
	}, "\n"))
}

func TestCommandLine(t *testing.T) {
	dir := checkpoint(t, newData("a", "BF16", make([]byte, 2), 1))
	program := Program{Name: "fake", Source: "fake.flag", Target: "cpu", Vocab: fakeVocab,
		Load: func(b *Binder, threads int) Model { b.Floats("a", "BF16", 1); return &fake{} }}
	run := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = Main(program, args, &out, &errs)
		return code, out.String(), errs.String()
	}
	for _, c := range []struct {
		code    int
		message string
		args    []string
	}{
		{ExitUsage, "--weights DIR is missing", nil},
		{ExitUsage, "--prompt is missing", []string{"--weights", dir}},
		{ExitUsage, "--help lists the flags", []string{"--what"}},
		{ExitUsage, "unexpected argument \"x\"", []string{"x"}},
		{ExitUsage, "--feed and --max-new exclude each other",
			[]string{"--weights", dir, "--prompt", "1", "--feed", "1", "--max-new", "1"}},
		{ExitUsage, "--temperature must be at least 0", []string{"--weights", dir, "--prompt", "1", "--temperature", "nan"}},
		{ExitUsage, "cannot be negative", []string{"--weights", dir, "--prompt", "1", "--max-new", "-1"}},
		{ExitError, "--prompt: token 9 (row 0, place 0) is outside", []string{"--weights", dir, "--prompt", "9"}},
		{ExitError, "--feed has 1 rows and --prompt 2", []string{"--weights", dir, "--prompt", "1;2", "--feed", "1"}},
		{ExitError, "2 tokens of prompt and 3 new ones exceed --max-seq 4",
			[]string{"--weights", dir, "--prompt", "1,2", "--max-new", "3", "--max-seq", "4"}},
		{ExitError, "neither", []string{"--weights", t.TempDir(), "--prompt", "1"}},
		{ExitError, "this model has no MTP block", []string{"--weights", dir, "--prompt", "1", "--mtp"}},
	} {
		code, _, stderr := run(c.args...)
		require.Equal(t, c.code, code, "%v: %s", c.args, stderr)
		require.Contains(t, stderr, c.message)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}

	code, stdout, stderr := run("--help")
	require.Equal(t, ExitOK, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "-max-seq")

	code, stdout, stderr = run("--weights", dir, "--prompt", "1;2", "--max-new", "2")
	require.Equal(t, ExitOK, code)
	require.Equal(t, "2,3\n3,4\n", stdout)
	require.True(t, strings.HasPrefix(stderr, "first token after "), stderr)

	code, stdout, _ = run("--weights", dir, "--prompt", "1", "--max-new", "3")
	require.Equal(t, ExitOK, code)
	require.Equal(t, "2,3,4\n", stdout)

	logits, trace := filepath.Join(t.TempDir(), "l"), filepath.Join(t.TempDir(), "t")
	code, stdout, _ = run("--weights", dir, "--prompt", "1", "--max-new", "0", "--json", "--logits", logits, "--trace", trace)
	require.Equal(t, ExitOK, code)
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	require.Equal(t, []any{[]any{}}, report["tokens"])
	for path, name := range map[string]string{logits: "prefill.logits", trace: "prefill.layers.0.x"} {
		f, err := safetensors.Open(path)
		require.NoError(t, err)
		_, ok := f.Tensor(name)
		require.True(t, ok)
		require.NoError(t, f.Close())
	}
}

func TestArenaSharesAndGrows(t *testing.T) {
	var a Arena
	x := a.Floats(1, 4)
	y := a.Floats(1, 2)
	y[0] = 5
	require.Equal(t, float32(5), x[0])
	require.Len(t, a.Floats(1, 100), 100)
	require.Len(t, a.Ints(0, 3), 3)
	require.Len(t, a.Doubles(0, 3), 3)
	require.Len(t, a.Halves(2, 3), 3)
	require.Zero(t, testing.AllocsPerRun(10, func() { a.Floats(1, 50) }))
	require.Equal(t, []int{7, 7, 7}, Fill([]int{1}, 3, 7))
	require.Len(t, Resize([]int{1, 2, 3}, 2), 2)
}
