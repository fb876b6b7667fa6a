package verify

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/internal/tritoncheck"
	"flagc/ir"
	"flagc/ir/ops"
	"flagc/ir/roles"
	"flagc/ir/tile"
	"flagc/passes"
	"flagc/targets"
)

// TestPartedCodes checks products by experts kept in FP4 both ways that codes are parted: moved to two places by what
// becomes one multiplication, and shift by shift where it is not known that multiplications are cheap.
func TestPartedCodes(t *testing.T) {
	cheap, _ := targets.Find("h200")
	shifts := cheap
	shifts.Ops.Multiply = targets.Known[targets.Use]{}
	for name, target := range map[string]targets.Target{"multiplied": cheap, "shifted": shifts} {
		t.Run(name, func(t *testing.T) {
			m := builtin(t, "deepseek-v4-nano")
			_, err := passes.Run(m, passes.Options{Target: target, TP: 2, Precision: targets.PolicyW4A16}, "")
			require.NoError(t, err)
			for _, f := range m.Kernels {
				if f.Mode != ir.Decode || !roles.Uses(f, ops.ExpertLinear) {
					continue
				}
				t.Run(f.FullName(), func(t *testing.T) {
					t.Parallel()
					s := subject(t, m, f, target, StandardCases(m, f))
					parted := false
					for _, p := range s.Kernel.Programs {
						parted = parted || strings.Contains(p.String(), "int 983055 ") // a mask of two codes that are moved to two places
					}
					require.Equal(t, name == "multiplied", parted)
					cell := s.CheckTiles(t.Context())
					require.Equal(t, tritoncheck.Passed, cell.State, cell.Why)
				})
			}
		})
	}
}

// TestCodesAndScalesByWords checks products by experts kept in FP4 where no pointers to bytes arrive: for a machine that
// wants long vectors, and for one that multiplies blocks of rows by dots, whether or not it has numbers below the normal ones.
func TestCodesAndScalesByWords(t *testing.T) {
	p800, _ := targets.Find("p800")
	noBytes, _ := targets.Find("h200")
	noBytes.Launch.BytePointers = p800.Launch.BytePointers
	flushed := noBytes
	flushed.Ops.Subnormals = targets.Known[targets.Use]{}
	for name, target := range map[string]targets.Target{"long vectors": p800, "dots": flushed, "dots with subnormals": noBytes} {
		t.Run(name, func(t *testing.T) {
			m := builtin(t, "deepseek-v4-nano")
			_, err := passes.Run(m, passes.Options{Target: target, TP: 2, Precision: targets.PolicyW4A16}, "")
			require.NoError(t, err)
			for _, f := range m.Kernels {
				if !roles.Uses(f, ops.ExpertLinear) {
					continue
				}
				t.Run(f.FullName(), func(t *testing.T) {
					t.Parallel()
					s := subject(t, m, f, target, StandardCases(m, f))
					for _, p := range s.Kernel.Programs {
						for _, q := range p.Params {
							require.NotEqual(t, tile.I8, q.DType, "%s: %s", p.Name, q.Name)
						}
					}
					cell := s.CheckTiles(t.Context())
					require.Equal(t, tritoncheck.Passed, cell.State, cell.Why)
				})
			}
		})
	}
}
