package targets

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// Fact is one known fact of a target, for people and scripts.
type Fact struct {
	Group    string   `json:"group"`
	Name     string   `json:"name"`
	Value    any      `json:"value"` // a text, a truth, or a number: bytes, per second, µs or a count
	Text     string   `json:"text"`  // the value with its unit
	Evidence Evidence `json:"evidence"`
	Source   string   `json:"source"`
}

// Facts returns what is known of the target, in the order of the declarations.
func (t Target) Facts() []Fact {
	facts, _ := t.walk()
	return facts
}

// Unknown returns the names of the facts that have no source, as "group: name, name", in the order of the
// declarations. A target without a device has none: the groups do not apply to it.
func (t Target) Unknown() []string {
	if t.Host.Executes {
		return nil
	}
	_, unknown := t.walk()
	return unknown
}

// walk reads the groups by their declarations, so that a new field is listed without a second mention.
func (t Target) walk() (facts []Fact, unknown []string) {
	groups := reflect.ValueOf(t)
	for i := range groups.NumField() {
		name, group := words(groups.Type().Field(i).Name), reflect.Indirect(groups.Field(i))
		if group.Kind() != reflect.Struct {
			continue
		}
		var missing []string
		for j := range group.NumField() {
			k, ok := group.Field(j).Interface().(interface {
				about() (any, Evidence, string)
			})
			if !ok {
				continue
			}
			label := words(group.Type().Field(j).Name)
			value, evidence, source := k.about()
			if evidence == "" {
				missing = append(missing, label)
				continue
			}
			facts = append(facts, Fact{name, label, value, text(value), evidence, source})
		}
		if missing != nil {
			unknown = append(unknown, name+": "+strings.Join(missing, ", "))
		}
	}
	return facts, unknown
}

// words turns a field's name into words: ReadRate to "read rate", MinK8 to "min K8", L0A to "L0A".
func words(field string) string {
	var out []string
	start := 0
	for i, r := range field {
		if i > start && unicode.IsUpper(r) && unicode.IsLower(rune(field[i-1])) {
			out, start = append(out, field[start:i]), i
		}
	}
	out = append(out, field[start:])
	for i, w := range out {
		if strings.ToUpper(w) != w {
			out[i] = strings.ToLower(w)
		}
	}
	return strings.Join(out, " ")
}

func text(value any) string {
	switch v := value.(type) {
	case bool:
		if v {
			return "yes"
		}
		return "no"
	default:
		return fmt.Sprint(v)
	}
}

// MarshalJSON gives scripts the known facts with their sources and the names of the unknown ones.
func (t Target) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name     string   `json:"name"`
		Doc      string   `json:"doc"`
		Vendor   string   `json:"vendor"`
		Like     string   `json:"like,omitempty"`
		Tier     Tier     `json:"tier"`
		Policy   Policy   `json:"policy"`
		Executes bool     `json:"executes"`
		Facts    []Fact   `json:"facts"`
		Unknown  []string `json:"unknown"`
		Notes    []Note   `json:"notes"`
	}{t.Name, t.Doc, t.Vendor, t.Like, t.Tier, t.Policy, t.Host.Executes, append([]Fact{}, t.Facts()...),
		append([]string{}, t.Unknown()...), append([]Note{}, t.Notes...)})
}

// unknownMark stands in the table for a figure without a source.
const unknownMark = "?"

// Table lists targets, a line each under a header: memory, bandwidth, the operand types of native products,
// the default policy, the tier.
func Table(list []Target) string {
	rows := [][]string{{"NAME", "MEMORY", "BANDWIDTH", "NATIVE PRODUCTS", "POLICY", "TIER"}}
	for _, t := range list {
		row := []string{t.Name, figure(t.Memory.Bytes), figure(t.Memory.Bandwidth), t.Dot.native(),
			string(t.Policy), string(t.Tier)}
		if t.Host.Executes {
			row[1], row[2], row[3] = "the host's", "the host's", "float32"
		}
		rows = append(rows, row)
	}
	return columns(rows, "")
}

// figure is a fact for the table.
func figure[T comparable](k Known[T]) string {
	if v, ok := k.Get(); ok {
		return fmt.Sprint(v)
	}
	return unknownMark
}

// native lists the types below float32 that the machine multiplies by units made for them.
func (d Dot) native() string {
	var names []string
	for _, o := range []struct {
		name    string
		support Known[Support]
	}{{"bf16", d.BF16}, {"fp16", d.FP16}, {"int8", d.INT8}, {"fp8", d.FP8}, {"fp4", d.FP4}} {
		if o.support.Is(Native) {
			names = append(names, o.name)
		}
	}
	return strings.Join(names, " ")
}

// Page explains a target in Markdown: every fact with its source, then what is unknown.
func (t Target) Page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s.\n\n", t.Name, t.Doc)
	fmt.Fprintf(&b, "- tier: %s\n- default precision policy: %s\n", t.Tier, t.Policy)
	if t.Like != "" {
		fmt.Fprintf(&b, "- written as: like %s, except for what differs\n", t.Like)
	}
	group := ""
	var rows [][]string
	flush := func() {
		if rows != nil {
			fmt.Fprintf(&b, "\n%s\n\n%s", group, columns(rows, "    "))
		}
		rows = nil
	}
	for _, f := range t.Facts() {
		if f.Group != group {
			flush()
			group = f.Group
		}
		rows = append(rows, []string{f.Name, f.Text, string(f.Evidence), f.Source})
	}
	flush()
	if unknown := t.Unknown(); unknown != nil {
		fmt.Fprintf(&b, "\nunknown\n\n    %s\n", strings.Join(unknown, "\n    "))
	}
	if t.Notes != nil {
		b.WriteString("\nto know\n\n")
		for _, n := range t.Notes {
			fmt.Fprintf(&b, "- %s (%s)\n", n.Text, n.Source)
		}
	}
	return b.String()
}

// columns aligns rows of equal length; the last column runs free.
func columns(rows [][]string, indent string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(indent)
		for i, cell := range row[:len(row)-1] {
			fmt.Fprintf(&b, "%-*s  ", width[i], cell)
		}
		b.WriteString(row[len(row)-1] + "\n")
	}
	return b.String()
}
