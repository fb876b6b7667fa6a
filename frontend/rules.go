package frontend

import (
	"math"
	"strconv"
	"strings"

	"flagc/runtime/strictjson"
)

// maxConfig bounds integers of a configuration, so that products of some of them stay exact.
const maxConfig = 1<<31 - 1

// int reads an integer. Unless a rule says otherwise it must be positive.
func (c *config) int(s *Setting, v strictjson.Value) (int, bool) {
	k, err := v.Int()
	least, word := int64(1), "positive"
	for _, r := range s.Rules {
		if r.AtLeast != nil || r.OneOf != nil {
			least, word = 0, "at least 0"
		}
	}
	switch {
	case err != nil:
		c.refuse(s, v, "%s must be an integer, but is %s", nameOf(v), c.textOf(v))
	case k < least:
		c.refuse(s, v, "%s must be %s, but is %d", nameOf(v), word, k)
	case k > maxConfig:
		c.refuse(s, v, "%s is %d, out of the range that a model can have", nameOf(v), k)
	default:
		return int(k), true
	}
	return 0, false
}

// refuse reports a value of config.json, with the line of the model that it breaks.
func (c *config) refuse(s *Setting, v strictjson.Value, format string, args ...any) {
	c.report(c.place(v), format, args...).WithNote(c.span(s.node), "%s is read here", s.Name.Text)
}

// checkInt holds an integer against the rules of its line.
func (c *config) checkInt(s *Setting, v strictjson.Value, k int) bool {
	for _, r := range s.Rules {
		if !c.checkRule(s, r, v, k) {
			return false
		}
	}
	return true
}

func (c *config) checkRule(s *Setting, r *Rule, v strictjson.Value, k int) bool {
	if r.OneOf != nil {
		if _, ok := r.choice(k); !ok {
			c.refuse(s, v, "%s is %d, but must be %s", nameOf(v), k, r.choices())
			return false
		}
		return true
	}
	bound, word := r.bound()
	if bound == nil {
		return true
	}
	n, ok := c.integer(bound, "the bound of "+s.Name.Text)
	if !ok {
		return false
	}
	limit, fixed := n.size.IsConst()
	if !fixed || limit < 1 && (r.Divides != nil || r.Multiple != nil) || r.Power != nil && limit != 2 {
		c.fail(bound.node, "the bound must be a fixed number that makes sense here, not %s", show(n))
		return false
	}
	if r.holds(k, limit) {
		return true
	}
	c.refuse(s, v, "%s is %d, but must %s %s", nameOf(v), k, word, show(n))
	return false
}

// bound is the number that a rule compares with, and how messages say it.
func (r *Rule) bound() (*Expr, string) {
	switch {
	case r.Divides != nil:
		return r.Divides, "divide"
	case r.Multiple != nil:
		return r.Multiple, "be a multiple of"
	case r.Power != nil:
		return r.Power, "be a power of"
	case r.AtLeast != nil:
		return r.AtLeast, "be at least"
	case r.AtMost != nil:
		return r.AtMost, "be at most"
	}
	return nil, ""
}

func (r *Rule) holds(k, limit int) bool {
	switch {
	case r.Divides != nil:
		return k != 0 && limit%k == 0
	case r.Multiple != nil:
		return k%limit == 0
	case r.Power != nil:
		return k > 0 && k&(k-1) == 0
	case r.AtLeast != nil:
		return k >= limit
	}
	return k <= limit
}

// choice finds an allowed value.
func (r *Rule) choice(k int) (label string, ok bool) {
	for _, x := range r.OneOf {
		if x.Value == k {
			return x.Label, true
		}
	}
	return "", false
}

// choices lists the allowed values: "0 (swa), 4 (csa) or 128 (hca)".
func (r *Rule) choices() string {
	words := make([]string, len(r.OneOf))
	for i, x := range r.OneOf {
		words[i] = strconv.Itoa(x.Value)
		if x.Label != "" {
			words[i] += " (" + x.Label + ")"
		}
	}
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// checkFloat holds a number against the rules of its line; without a bound it must be positive.
func (c *config) checkFloat(s *Setting, key *Name, v strictjson.Value, x float64) bool {
	positive := true
	for _, r := range s.Rules {
		bound, word := r.bound()
		if r.Default != nil {
			continue
		}
		if bound == nil || r.AtLeast == nil && r.AtMost == nil {
			c.fail(r.node, "a number can be demanded to be at least or at most something, nothing else")
			return false
		}
		positive = positive && r.AtLeast == nil
		limit, ok := c.static(c.eval(bound), bound.node, "the bound of "+s.Name.Text)
		y, isNumber := toFloat(limit)
		if !ok || !isNumber {
			return false
		}
		if r.AtLeast != nil && x < y || r.AtMost != nil && x > y {
			c.refuse(s, v, "%s is %s, but must %s %s", key.Text, c.textOf(v), word, show(limit))
			return false
		}
	}
	if positive && x <= 0 {
		c.refuse(s, v, "%s must be positive, but is %s", key.Text, c.textOf(v))
		return false
	}
	return true
}

// listValue reads a list of integers of a given length.
func (c *config) listValue(s *Setting, key *Name, v strictjson.Value, n *entity) {
	want, ok := c.count(s.Length, "the length of "+s.Name.Text, maxLoop)
	items, err := v.Items()
	if err != nil {
		c.refuse(s, v, "%s must be a list of integers, but is %s", key.Text, c.textOf(v))
		return
	}
	if !ok {
		return
	}
	if len(items) != want {
		c.refuse(s, v, "%s has %s, but must have %d: one for each of %s", key.Text,
			plural(len(items), "element"), want, c.inKeys(s.Length))
		return
	}
	out := make(list, len(items))
	for i, item := range items {
		k, ok := c.int(s, item)
		if !ok || !c.checkInt(s, item, k) {
			return
		}
		out[i] = constant(k)
		for _, r := range s.Rules {
			if label, ok := r.choice(k); ok {
				out[i].label = label
			}
		}
	}
	n.static, n.bad = out, false
}

// inKeys is a length in the words of config.json: "num_hidden_layers + num_nextn_predict_layers".
func (c *config) inKeys(x *Expr) string {
	word := func(o *Operand) string {
		text := c.src.text(o.node)
		if key := c.keys[text]; key != "" {
			return key
		}
		return text
	}
	text := word(x.First)
	for _, t := range x.Rest {
		text += " " + t.Op + " " + word(t.Value)
	}
	return text
}

// nameOf names a value in messages: "head_dim", or "element 3 of compress_ratios".
func nameOf(v strictjson.Value) string {
	path := v.Path()
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		if _, err := strconv.Atoi(path[i+1:]); err == nil {
			return "element " + path[i+1:] + " of " + path[:i]
		}
	}
	return path
}

// literalNumber is a literal's value, where it is a number.
func literalNumber(l *Literal) (float64, bool) {
	if l.Number == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(*l.Number, 64)
	return v, err == nil && !math.IsInf(v, 0)
}

// matches compares a literal with a JSON value.
func matches(l *Literal, v strictjson.Value) bool {
	switch {
	case l.Number != nil:
		want, ok := literalNumber(l)
		got, err := v.Float()
		return ok && err == nil && got == want
	case l.String != nil:
		got, err := v.Str()
		return err == nil && got == *l.String
	case l.Word != nil:
		got, err := v.Bool()
		return err == nil && got == (*l.Word == "true")
	}
	items, err := v.Items()
	if err != nil || len(items) != len(l.List) {
		return false
	}
	for i, item := range items {
		if !matches(l.List[i], item) {
			return false
		}
	}
	return true
}
