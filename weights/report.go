package weights

import (
	"encoding/json"
	"fmt"
	"strings"
)

// JSON is the report as an indented document.
func (r *Report) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// Text is the report as a person reads it.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", r.Dir, r.Model)
	fmt.Fprintf(&b, "  %s, %s in %s\n",
		plural(r.Found.Tensors, "tensor"), size(r.Found.Bytes), plural(r.Files, "file"))
	fmt.Fprintf(&b, "  %s parameters, with MTP %s\n", parameters(r.Totals.Main), parameters(r.Totals.All))
	if r.From != nil {
		fmt.Fprintf(&b, "  converted: %s for target %s, precision %s\n", r.From.Layout, r.From.Target, r.From.Precision)
	}
	b.WriteString("\n  layers\n")
	for _, l := range r.Layers {
		fmt.Fprintf(&b, "    %-16s %4d  %s\n", l.Kind, len(l.Instances), firstOf(l.Instances))
	}
	fmt.Fprintf(&b, "\n  %-18s %9s %14s   largest |weight|%s\n",
		"class", "tensors", "size", sampleMark(r.Sampled))
	for _, c := range r.Classes {
		fmt.Fprintf(&b, "  %-18s %9s %14s   %s\n", c.Class, grouped(int64(c.Tensors)), size(c.Bytes), largest(c))
	}
	fmt.Fprintf(&b, "\n  %-18s %9s %14s\n", "dtype", "tensors", "size")
	for _, d := range r.DTypes {
		fmt.Fprintf(&b, "  %-18s %9s %14s\n", d.DType, grouped(int64(d.Tensors)), size(d.Bytes))
	}
	r.spreadText(&b)
	r.problemText(&b)
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

func (r *Report) spreadText(b *strings.Builder) {
	if len(r.Spread) == 0 {
		return
	}
	total, lossless := int64(0), int64(0)
	for _, s := range r.Spread {
		total += s.Tiles
		if s.Exponents <= MaxLossless {
			lossless += s.Tiles
		}
	}
	fmt.Fprintf(b, "\n  FP4 scales in 128×128 tiles%s: largest exponent less smallest\n", sampleMark(r.Sampled))
	for _, s := range r.Spread {
		const width = 40
		bar := strings.Repeat("#", int((s.Tiles*width+total-1)/total))
		fmt.Fprintf(b, "    %3d %12s  %s\n", s.Exponents, grouped(s.Tiles), bar)
	}
	fmt.Fprintf(b, "    %s of %s can be recast to FP8 exactly whatever their codes (spread up to %d)\n",
		grouped(lossless), plural(int(total), "tile"), MaxLossless)
	if r.Inexact > 0 {
		fmt.Fprintf(b, "    %s cannot be recast: %s\n", plural(int(r.Inexact), "tile"), r.Example)
	}
}

func (r *Report) problemText(b *strings.Builder) {
	if len(r.Problems) == 0 {
		b.WriteString("\n  nothing odd found\n")
		return
	}
	fmt.Fprintf(b, "\n  %s\n", problems(len(r.Problems)+r.More))
	for _, p := range r.Problems {
		fmt.Fprintf(b, "    %s: %s\n", p.File, p.Message)
		if p.Help != "" {
			fmt.Fprintf(b, "      %s\n", p.Help)
		}
	}
	if r.More > 0 {
		fmt.Fprintf(b, "    and %s more\n", problems(r.More))
	}
}

func sampleMark(sampled bool) string {
	if sampled {
		return " (sample)"
	}
	return ""
}

func largest(c ClassReport) string {
	if c.Where == "" {
		return ""
	}
	return fmt.Sprintf("%-9.4g %s", c.Largest, c.Where)
}

// size writes bytes in the unit that gives at most four digits before the point.
func size(n int64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.2f %s", value, unit)
}

// parameters writes a parameter count in millions or billions.
func parameters(n int64) string {
	if n >= 1e9 {
		return fmt.Sprintf("%.2f billion", float64(n)/1e9)
	}
	return fmt.Sprintf("%.2f million", float64(n)/1e6)
}

// firstOf lists instances, cut after eight.
func firstOf(instances []string) string {
	const shown = 8
	if len(instances) <= shown {
		return strings.Join(instances, ", ")
	}
	return strings.Join(instances[:shown], ", ") + ", …"
}
