package fit

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"flagc/passes"
)

// Text is the answer for people: a sentence, the table, where the time goes, what is legal. name is the model as the
// user gave it.
func (a *Answer) Text(name string) string {
	var b strings.Builder
	u := a.unit()
	fmt.Fprintf(&b, "%s on %s: %s\n", name, a.Target, a.sentence(u))
	fmt.Fprintf(&b, "batch %d, context %s, prefill calls of at most %s tokens; %s on each card\n", a.Batch, thousands(a.Context),
		thousands(a.Chunk), u.name)
	if a.Device.Known {
		fmt.Fprintf(&b, "a card has %s %s, usable %s: %s\n", u.text(a.Device.Bytes), u.name, u.text(a.Device.Usable), a.Device.Basis)
	}
	b.WriteString("\n" + a.table(u) + "\n")
	if a.Best >= 0 {
		b.WriteString(a.Rows[a.Best].reading())
	}
	fmt.Fprintf(&b, "  legal degrees up to %d: %s\n", MaxCards, strings.Trim(fmt.Sprint(a.Legal), "[]"))
	return b.String()
}

// sentence is the answer in one line.
func (a *Answer) sentence(u unit) string {
	if !a.Device.Known {
		return a.Device.Basis + ", so whether it fits is for you to say"
	}
	if a.Best < 0 {
		text := "does not fit in any of the ways below"
		if a.Fewest > 0 {
			text += fmt.Sprintf("; the fewest cards that fit are %d", a.Fewest)
		}
		return text
	}
	best := a.Rows[a.Best]
	text := fmt.Sprintf("fits %s with policy %s, %s %s free on each", cards(best.Cards), best.Policy, u.text(best.Free), u.name)
	var not []string
	for _, r := range a.Rows {
		if r.Cards == best.Cards && r.Verdict == TooMuch {
			not = append(not, string(r.Policy))
		}
	}
	if not != nil {
		text += "; not with " + strings.Join(not, ", ")
	}
	return text
}

func cards(n int) string {
	if n == 1 {
		return "1 card"
	}
	return strconv.Itoa(n) + " cards"
}

// table prints one line for each policy and degree.
func (a *Answer) table(u unit) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "policy\tcards\texperts\tlinears\tembed, head\tothers\tweights\tcaches\twork\tcomm\ttotal\tms/token\t\n")
	for _, r := range a.Rows {
		m := r.Memory
		bytes := map[string]int{}
		for _, p := range m.Weights {
			bytes[p.Name] = p.Bytes
		}
		fmt.Fprintf(w, "%s\t%d", r.Policy, r.Cards)
		for _, n := range []int{bytes[string(passes.ClassExperts)], bytes[string(passes.ClassLinears)],
			bytes[string(passes.ClassEmbedding)] + bytes[string(passes.ClassHead)], bytes[string(passes.ClassOther)],
			m.WeightBytes(), m.StateBytes(), m.Workspace(), m.Communication, m.Total} {
			fmt.Fprintf(w, "\t%s", u.text(n))
		}
		fmt.Fprintf(w, "\t%.2f\t  %s\n", r.Seconds*1e3, r.verdict(u))
	}
	w.Flush()
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// verdict is the last column.
func (r Row) verdict(u unit) string {
	switch r.Verdict {
	case Fits:
		return fmt.Sprintf("yes: %s %s free, up to %s tokens", u.text(r.Free), u.name, thousands(r.Longest))
	case TooMuch:
		text := fmt.Sprintf("no: %s %s over", u.text(-r.Free), u.name)
		if len(r.Changes) > 0 {
			text += "; would fit: " + strings.Join(r.Changes, ", or ")
		}
		return text
	}
	return ""
}

// reading says where the time of a token goes.
func (r Row) reading() string {
	c := r.Cost
	var parts []string
	for _, p := range append(append([]passes.Part{}, c.Weights...), passes.Part{Name: "caches", Bytes: c.States}) {
		if mb := float64(p.Bytes) / 1e6; mb >= 1 {
			parts = append(parts, fmt.Sprintf("%s %.0f", p.Name, mb))
		}
	}
	text := fmt.Sprintf("  %s on %s: a token reads %.0f MB per card (%s): %.2f ms at %.0f GB/s (%s)\n", r.Policy, cards(r.Cards),
		float64(c.Read())/1e6, strings.Join(parts, ", "), c.ReadSeconds*1e3, c.ReadRate/1e9, c.RateBasis)
	if c.Meetings > 0 {
		text += fmt.Sprintf("  and %d meetings of ranks: %.2f ms\n", c.Meetings, c.MeetSeconds*1e3)
	}
	text += "  a bound, estimated, without launches"
	if len(c.Assumed) > 0 {
		text += "; assumed: " + strings.Join(c.Assumed, ", ")
	}
	return text + "\n"
}

// unit is what a table's bytes are counted in.
type unit struct {
	name  string
	bytes float64
}

// unit is GiB, or MiB where nothing reaches one GiB.
func (a *Answer) unit() unit {
	for _, r := range a.Rows {
		if r.Memory.Total >= 1<<30 {
			return unit{"GiB", 1 << 30}
		}
	}
	return unit{"MiB", 1 << 20}
}

// text prints bytes with one decimal, amounts below one with two.
func (u unit) text(bytes int) string {
	n := float64(bytes) / u.bytes
	if n < 1 {
		return strconv.FormatFloat(n, 'f', 2, 64)
	}
	return strconv.FormatFloat(n, 'f', 1, 64)
}

// thousands prints 65536 as 65,536.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
