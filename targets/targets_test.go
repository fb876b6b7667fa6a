package targets

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/golden"
)

func TestEveryTargetIsDescribed(t *testing.T) {
	kebab := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, x := range All() {
		require.Regexp(t, kebab, x.Name)
		require.False(t, seen[x.Name], "two targets are called %s", x.Name)
		seen[x.Name] = true
		require.NotEmpty(t, x.Doc, x.Name)
		require.NotEmpty(t, x.Vendor, x.Name)
		found, ok := Find(x.Name)
		require.True(t, ok)
		require.Equal(t, x, found)
	}
	_, ok := Find("h1000")
	require.False(t, ok)
}

// TestTiersAreHonest holds that nothing is called proved on hardware but the host's own program, which the tests run,
// and nothing compiled by a vendor's toolchain where that is not public. Which targets' kernels keep the documented
// rules, so that they are more than described, is held where kernels are made.
func TestTiersAreHonest(t *testing.T) {
	for _, x := range All() {
		require.Equal(t, x.Host.Executes, x.Tier == Verified, x.Name)
		if x.Tier == Compiled {
			require.True(t, x.Toolchain.AheadOfTime.Is(true), x.Name)
		}
	}
}

func TestVariantsDifferFromTheirRelative(t *testing.T) {
	for _, x := range All() {
		if x.Like == "" {
			continue
		}
		base, ok := Find(x.Like)
		require.True(t, ok, "%s is like %s, which is no target", x.Name, x.Like)
		require.Equal(t, base.Vendor, x.Vendor)
		require.NotEqual(t, base.Doc, x.Doc)
		values := func(t Target) map[string]any {
			m := map[string]any{"policy": t.Policy}
			for _, f := range t.Facts() {
				m[f.Group+" "+f.Name] = f.Value
			}
			return m
		}
		require.NotEqual(t, values(base), values(x), "%s differs from %s in nothing", x.Name, x.Like)
	}
}

// TestVariantsLeaveTheirRelativeAlone would fail if a variant wrote through something that the copy shares.
func TestVariantsLeaveTheirRelativeAlone(t *testing.T) {
	base := H100
	base.Notes = append(make([]Note, 0, 8), Note{"a", "b"})
	variant := base.like("variant", "a variant", func(t *Target) {
		t.Memory.Bytes.forget()
		t.note("c", "d")
	})
	require.True(t, base.Memory.Bytes.Is(80*GB))
	require.Equal(t, []Note{{"a", "b"}}, base.Notes)
	require.Empty(t, base.Notes[:2][1], "the variant wrote into the relative's spare room")
	require.Len(t, variant.Notes, 2)
	require.Equal(t, Known[Bytes]{}, variant.Memory.Bytes)
}

// TestEveryFactHasASource also asks that sources say more than that there is one.
func TestEveryFactHasASource(t *testing.T) {
	kinds := map[Evidence]bool{Measured: true, Code: true, VendorDoc: true, ThirdParty: true, Derived: true}
	for _, x := range All() {
		for _, f := range x.Facts() {
			require.True(t, kinds[f.Evidence], "%s, %s %s: evidence %q", x.Name, f.Group, f.Name, f.Evidence)
			require.NotEqual(t, "public page", f.Source, "%s, %s %s: about what?", x.Name, f.Group, f.Name)
			require.GreaterOrEqual(t, len(f.Source), len("geektopia"), "%s, %s %s", x.Name, f.Group, f.Name)
			require.NotEmpty(t, f.Text)
		}
		for _, n := range x.Notes {
			require.NotEmpty(t, n.Text, x.Name)
			require.NotEmpty(t, n.Source, x.Name)
		}
		if !x.Host.Executes {
			require.NotEmpty(t, x.Facts(), x.Name)
			require.NotEmpty(t, x.Unknown(), "%s claims that everything is known", x.Name)
		}
	}
}

// within requires a known figure to lie in the range that machines of this class have: a slip of a unit is a
// factor of a thousand, or of 1024 against 1000 in the checks that name exact values.
func within[T Bytes | Rate | Speed | int](t *testing.T, what string, k Known[T], low, high T) {
	t.Helper()
	if v, ok := k.Get(); ok {
		require.GreaterOrEqual(t, v, low, what)
		require.LessOrEqual(t, v, high, what)
	}
}

func TestFiguresArePlausible(t *testing.T) {
	for _, x := range All() {
		within(t, x.Name+" memory", x.Memory.Bytes, 16*GB, 300*GB)
		within(t, x.Name+" bandwidth", x.Memory.Bandwidth, 0.4*TBs, 10*TBs)
		within(t, x.Name+" read rate", x.Memory.ReadRate, 0.4*TBs, x.Memory.Bandwidth.Or(10*TBs))
		within(t, x.Name+" copy rate", x.Memory.CopyRate, 0.4*TBs, x.Memory.Bandwidth.Or(10*TBs))
		within(t, x.Name+" usable memory", x.Memory.Usable, 16*GB, x.Memory.Bytes.Or(0))
		within(t, x.Name+" L2", x.Memory.L2, MiB, 300*MB)
		within(t, x.Name+" link", x.Link.Bandwidth, 50*GBs, 2*TBs)
		within(t, x.Name+" on chip", x.OnChip.Bytes, 16*KiB, MiB)
		within(t, x.Name+" usable on chip", x.OnChip.Usable, 16*KiB, x.OnChip.Bytes.Or(0))
		within(t, x.Name+" units", x.Compute.Units, 8, 200)
		within(t, x.Name+" warps", x.Warps.Max, 1, 64)
		if width, ok := x.Warps.Width.Get(); ok {
			require.Contains(t, []int{1, 32, 64}, width, x.Name)
		}
		c := x.Compute
		for _, s := range []Known[Speed]{c.FP32, c.TF32, c.FP16, c.BF16, c.INT8, c.FP8, c.FP4} {
			within(t, x.Name+" arithmetic", s, TF, 10000*TF)
		}
		if narrow, ok := c.FP8.Get(); ok {
			require.GreaterOrEqual(t, narrow, c.BF16.Or(0), x.Name)
		}
	}
}

// TestPeaksBelongToSupportedTypes holds that a peak is stated only for a type that the machine multiplies
// natively.
func TestPeaksBelongToSupportedTypes(t *testing.T) {
	for _, x := range All() {
		for _, p := range []struct {
			name    string
			peak    Known[Speed]
			support Known[Support]
		}{
			{"TF32", x.Compute.TF32, x.Dot.TF32},
			{"FP16", x.Compute.FP16, x.Dot.FP16},
			{"BF16", x.Compute.BF16, x.Dot.BF16},
			{"INT8", x.Compute.INT8, x.Dot.INT8},
			{"FP8", x.Compute.FP8, x.Dot.FP8},
			{"FP4", x.Compute.FP4, x.Dot.FP4},
		} {
			if _, ok := p.peak.Get(); ok {
				require.True(t, p.support.Is(Native), "%s: a peak in %s, no native products", x.Name, p.name)
			}
		}
	}
}

func TestDefaultPoliciesAreLegal(t *testing.T) {
	for _, x := range All() {
		require.Contains(t, Policies(), x.Policy, x.Name)
		require.NoError(t, x.Allows(x.Policy))
	}
	require.Len(t, needs, len(Policies()))
}

func TestPoliciesAreRefusedWithAReason(t *testing.T) {
	require.NoError(t, B200.Allows(PolicyNative))
	require.NoError(t, H100.Allows(PolicyW4A8))
	require.NoError(t, H100.Allows(PolicyBF16))
	require.EqualError(t, H100.Allows(PolicyNative),
		"target h100 cannot compute the policy native: its FP4 products are none; fp8 is its default")
	require.EqualError(t, BW1000.Allows(PolicyFP8),
		"target bw1000 cannot compute the policy fp8: its FP8 products are emulated; bf16 is its default")
	require.EqualError(t, BW1100.Allows(PolicyFP8),
		"target bw1100 cannot compute the policy fp8: its FP8 products are not known to be native; "+
			"bf16 is its default")
	for _, p := range Policies() {
		require.NoError(t, CPU.Allows(p), "float32 holds every stored type")
	}
	require.ErrorContains(t, CPU.Allows("fp6"), `unknown precision policy "fp6"`)
}

func TestAnUnknownFactIsNoValue(t *testing.T) {
	var k Known[int]
	_, ok := k.Get()
	require.False(t, ok)
	require.False(t, k.Is(0), "an unknown number is not zero")
	require.Equal(t, 7, k.Or(7))
	k = vendor(0, "a data sheet")
	require.True(t, k.Is(0))
	require.Equal(t, 0, k.Or(7))
	require.Equal(t, VendorDoc, k.Evidence())
	require.Equal(t, "a data sheet", k.Source())
	k.forget()
	require.Empty(t, k.Source())
	require.Equal(t, 7, k.Or(7))
}

func TestSmallestTiles(t *testing.T) {
	tile := func(d Dot, bits int) [3]int {
		m, n, k := d.Tile(bits)
		return [3]int{m, n, k}
	}
	require.Equal(t, [3]int{1, 1, 16}, tile(H100.Dot, 16))
	require.Equal(t, [3]int{1, 1, 32}, tile(H100.Dot, 8))
	require.Equal(t, [3]int{16, 16, 16}, tile(P800.Dot, 16), "unknown: what every target takes")
	require.Equal(t, [3]int{16, 16, 32}, tile(P800.Dot, 8))
}

func TestOnChipLimits(t *testing.T) {
	limit, ok := S5000.OnChip.Limit()
	require.True(t, ok)
	require.Equal(t, 128*KiB, limit, "what can be used, not what is reported")
	limit, ok = A100.OnChip.Limit()
	require.True(t, ok)
	require.Equal(t, 163*KiB, limit)
	_, ok = Zhenwu810E.OnChip.Limit()
	require.False(t, ok)
}

func TestUnitsPrint(t *testing.T) {
	for want, v := range map[string]any{
		"80 GB": 80 * GB, "64 GiB": 64 * GiB, "97920 MiB": 97920 * MiB, "79.91 GB": 79910 * MB,
		"227 KiB": 227 * KiB, "50 MB": 50 * MB, "512 B": Bytes(512),
		"3.35 TB/s": 3.35 * TBs, "784 GB/s": 784 * GBs, "989 Top/s": 989 * TF,
		"3.4 µs": Microseconds(3.4), "900 ns": Microseconds(0.9),
	} {
		require.Equal(t, want, text(v))
	}
	for field, want := range map[string]string{
		"ReadRate": "read rate", "MinK8": "min K8", "L0A": "L0A", "FP8": "FP8",
		"AheadOfTime": "ahead of time",
	} {
		require.Equal(t, want, words(field))
	}
}

// TestEveryFieldIsListed holds that no field is silently left out: on a target that has every group, each is
// either among the facts or named as unknown.
func TestEveryFieldIsListed(t *testing.T) {
	fields := 0
	for _, g := range reflect.VisibleFields(reflect.TypeOf(Target{})) {
		typ := g.Type
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || g.Name == "Host" {
			continue
		}
		fields += typ.NumField()
	}
	listed := len(Ascend910B64.Facts())
	for _, line := range Ascend910B64.Unknown() {
		listed += strings.Count(line, ",") + 1
	}
	require.Equal(t, fields, listed)
}

func TestListing(t *testing.T) {
	golden.Check(t, "testdata/table.golden", Table(All()))
	golden.Check(t, "testdata/ascend-910b-32g.golden", Ascend910B32.Page())
	golden.Check(t, "testdata/cpu.golden", CPU.Page())
	for range 3 {
		require.Equal(t, P800.Page(), P800.Page())
		require.Equal(t, Names(), Names())
	}
}

func TestJSON(t *testing.T) {
	text, err := json.Marshal(All())
	require.NoError(t, err)
	var list []struct {
		Name    string
		Tier    string
		Facts   []struct{ Group, Name, Text, Evidence, Source string }
		Unknown []string
	}
	require.NoError(t, json.Unmarshal(text, &list))
	require.Len(t, list, len(All()))
	for i, x := range All() {
		require.Equal(t, x.Name, list[i].Name)
		require.Len(t, list[i].Facts, len(x.Facts()))
		require.NotNil(t, list[i].Unknown, "an empty list, not null")
	}
}
