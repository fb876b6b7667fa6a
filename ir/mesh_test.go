package ir_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"flagc/ir"
	"flagc/ir/ops"
)

func TestMesh(t *testing.T) {
	grid := ir.Mesh{{Name: "group", Size: 3}, {Name: "lane", Size: 2}}
	require.Equal(t, 6, grid.Ranks())
	require.Equal(t, 3, grid.Size("group"))
	require.Equal(t, 0, grid.Size("pipe"))
	require.Equal(t, [][]int{{0, 1}, {2, 3}, {4, 5}}, grid.Communicators("lane"))
	require.Equal(t, [][]int{{0, 2, 4}, {1, 3, 5}}, grid.Communicators("group"))
	require.Equal(t, [][]int{{0, 1, 2, 3, 4, 5}}, grid.Communicators(""))
	require.Equal(t, []int{1, 3, 5}, grid.Members(3, "group"))
	require.Equal(t, 1, grid.Index(3, "group"))
	require.Equal(t, 1, grid.Index(3, "lane"))
	require.Equal(t, 3, grid.Index(3, ""))

	var one ir.Mesh
	require.Equal(t, 1, one.Ranks())
	require.Equal(t, [][]int{{0}}, one.Communicators(""))
}

// grid is one rank's program of four in a grid of two by two: heads over all ranks become groups over one axis of
// the mesh, each shared by the ranks of the other, by gather and by reduce.
const grid = `module grid from "grid.flag"
dims D=128 H=8 d=32 G=2 P=4 R=64
mesh group=2 lane=2

params main {
  weight wq: bf16[H|4, d, D] from "wq.weight"
  weight wa: bf16[G|group, R, P*d] from "wa.weight"
  weight wb: bf16[D, G*R|group] from "wb.weight"
  weight ra: bf16[G|group, R, P*d|lane] from "ra.weight"
  weight rb: bf16[D, G*R|4] from "rb.weight"
}

func main.prefill(%x: bf16[s, D]) -> (bf16[s, D], bf16[s, D]) uses main {
  %q  = linear %x, $wq                               : bf16[s, H|4, d]
  %h  = all_gather %q {axis=1, over="lane"}          : bf16[s, H|group, d]
  %v  = view %h                                      : bf16[s, G|group, P*d]
  %m  = grouped_linear %v, $wa                       : bf16[s, G|group, R]
  %w  = view %m                                      : bf16[s, G*R|group]
  %o  = linear %w, $wb                               : bf16[s, D] partial over group
  %y  = all_reduce %o {over="group"}                 : bf16[s, D]
  %rv = view %q                                      : bf16[s, G|group, P*d|lane]
  %rm = grouped_linear %rv, $ra                      : bf16[s, G|group, R] partial over lane
  %rs = reduce_scatter %rm {axis=2, over="lane"}     : bf16[s, G|group, R|lane]
  %rw = view %rs                                     : bf16[s, G*R|4]
  %ro = linear %rw, $rb                              : bf16[s, D] partial
  %ry = all_reduce %ro                               : bf16[s, D]
  return %y, %ry
}
`

func TestGridOfRanks(t *testing.T) {
	m, err := ir.ParseModule(grid, "grid.ir", ops.All)
	require.NoError(t, err)
	require.NoError(t, m.Verify())
	again, err := ir.ParseModule(m.String(), "grid.ir", ops.All)
	require.NoError(t, err)
	require.Equal(t, m.String(), again.String())
	require.Equal(t, m.String(), m.Clone().String())
	for _, b := range []struct{ old, new, label, message string }{
		{`{over="group"}                 : bf16[s, D]`, `{over="lane"} : bf16[s, D]`, "type1", `all_reduce over "lane": %o is a part of a sum over "group"`},
		{`{over="group"}                 : bf16[s, D]`, `: bf16[s, D]`, "type1", `all_reduce over "": %o is a part of a sum over "group"`},
		{`{over="group"}                 : bf16[s, D]`, `{over="pipe"} : bf16[s, D]`, "mesh2", `there is no communicator over "pipe" in the mesh (group=2 lane=2)`},
		{`all_gather %q {axis=1, over="lane"}          : bf16[s, H|group, d]`, `all_gather %q {axis=1, over="group"} : bf16[s, H|lane, d]`,
			"mesh2", "only the last axis of the mesh (lane) has neighbouring parts"},
		{"bf16[s, G|group, P*d|lane]", "bf16[s, G|lane, P*d|group]", "mesh1", `out of the order of the mesh`},
		{"$wa                       : bf16[s, G|group, R]", "$ra : bf16[s, G|group, R]", "type1", "axis k of %v is P*d = 128, but $ra has k = P*d|lane = 64"},
		{"bf16[G|group, R, P*d] ", "bf16[G|group, R|4, P*d] ", "mesh1", "uses ranks that the type"},
		{"bf16[D, G*R|4]", "bf16[D, G*R|2]", "mesh1", "axis G*R is split into 2 parts, but there are 4 ranks"},
		{"%rw = view %rs                                     : bf16[s, G*R|4]", "%rw = view %rs : bf16[s, G*R|group]", "type1", "do not regroup in order"},
		{"mesh group=2 lane=2", "mesh group=2 lane=4", "mesh1", "axis H is split into 4 parts, but there are 8 ranks"},
	} {
		require.Contains(t, grid, b.old)
		m, err := ir.ParseModule(strings.Replace(grid, b.old, b.new, 1), "grid.ir", ops.All)
		require.NoError(t, err)
		err = m.Verify()
		require.ErrorContains(t, err, b.message)
		require.Contains(t, labels(err), b.label)
	}
	for _, b := range []struct{ old, new, message string }{
		{"mesh group=2 lane=2\n", "", "the mesh has no axis group"},
		{"lane=2", "lane=1", "2 ranks or more"},
		{"lane=2", "lane=200000", "at most 65536"},
		{"group=2 lane=2", "group=2 group=2", "two axes group"},
		{"group=2 lane=2", "", "expected the axes of the mesh"},
	} {
		_, err := ir.ParseModule(strings.Replace(grid, b.old, b.new, 1), "grid.ir", ops.All)
		require.ErrorContains(t, err, b.message)
	}
}
