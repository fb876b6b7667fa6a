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
	fmt.Fprintf(&b, "%s on %s: %s\n", name, a.Target, a.sentence())
	fmt.Fprintf(&b, "batch %d, context %s, prefill calls of at most %s tokens", a.Batch, thousands(a.Context), thousands(a.Chunk))
	if a.Device.Known {
		fmt.Fprintf(&b, "; a card has %s GiB, usable %s (%s)", gib(a.Device.Bytes), gib(a.Device.Usable), a.Device.Basis)
	}
	b.WriteString("\n\n")
	a.table(&b)
	if a.Best >= 0 {
		b.WriteString("\n" + a.Rows[a.Best].reading())
	}
	fmt.Fprintf(&b, "  legal degrees up to %d: %s\n", MaxCards, numbers(a.Legal))
	return b.String()
}

// sentence is the answer in one line.
func (a *Answer) sentence() string {
	if !a.Device.Known {
		return a.Device.Basis + ", so whether it fits is yours to say"
	}
	if a.Best < 0 {
		return "does not fit in any of the ways below"
	}
	r := a.Rows[a.Best]
	cards := "cards"
	if r.Cards == 1 {
		cards = "card"
	}
	return fmt.Sprintf("fits %d %s with policy %s, %s GiB free on each", r.Cards, cards, r.Policy, gib(r.Free))
}

// table prints one line for each policy and degree; sizes in GiB of one card.
func (a *Answer) table(b *strings.Builder) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "policy\tcards\texperts\tlinears\tembed, head\tothers\tweights\tcaches\twork\tcomm\ttotal\tms/token\t \n")
	for _, r := range a.Rows {
		m := r.Memory
		part := func(class passes.Class) int {
			for _, p := range m.Weights {
				if p.Name == string(class) {
					return p.Bytes
				}
			}
			return 0
		}
		fmt.Fprintf(w, "%s\t%d", r.Policy, r.Cards)
		for _, n := range []int{part(passes.ClassExperts), part(passes.ClassLinears),
			part(passes.ClassEmbedding) + part(passes.ClassHead), part(passes.ClassOther), m.WeightBytes(), m.StateBytes(),
			m.Workspace(), m.Communication, m.Total} {
			fmt.Fprintf(w, "\t%s", gib(n))
		}
		fmt.Fprintf(w, "\t%.2f\t  %s\n", r.Seconds*1e3, r.verdict())
	}
	w.Flush()
}

// verdict is the last column.
func (r Row) verdict() string {
	switch r.Verdict {
	case Fits:
		return fmt.Sprintf("yes: %s GiB free, up to %s tokens", gib(r.Free), thousands(r.Longest))
	case TooMuch:
		text := fmt.Sprintf("no: %s GiB over", gib(-r.Free))
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
	text := fmt.Sprintf("  %s on %d: a token reads %.0f MB (%s): %.2f ms at %.0f GB/s (%s)", r.Policy, r.Cards,
		float64(c.Read())/1e6, strings.Join(parts, ", "), c.ReadSeconds*1e3, c.ReadRate/1e9, c.RateBasis)
	if c.Meetings > 0 {
		text += fmt.Sprintf("\n  and %d meetings of ranks: %.2f ms", c.Meetings, c.MeetSeconds*1e3)
	}
	text += ". A bound, estimated"
	if len(c.Assumed) > 0 {
		text += "; assumed: " + strings.Join(c.Assumed, ", ")
	}
	return text + "\n"
}

// gib prints bytes in GiB with one decimal, small amounts with two.
func gib(bytes int) string {
	n := float64(bytes) / (1 << 30)
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

func numbers(list []int) string {
	return strings.Trim(fmt.Sprint(list), "[]")
}
